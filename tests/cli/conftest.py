"""The command, called in this process: arguments in, status and what was printed out."""

import json
from typing import NamedTuple

import pytest

from tests.examples.small_mnist import small_network
from tinycnn.cli import main


class Done(NamedTuple):
    """What a command left: its status and its output."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        """The one object on stdout."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Return a function that runs the command in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Done(status, out, err)

    return call


@pytest.fixture
def model(tmp_path):
    """A network with random weights, in model.h5."""
    network = small_network(None, seed=4)
    network.save(tmp_path / "model.h5")
    return network
