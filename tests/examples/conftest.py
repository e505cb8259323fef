"""The programs of examples/, called in this process: argument list in, status and what was printed out."""

from typing import NamedTuple

import pytest

from tests.examples.small_mnist import small_network
from tinycnn.datasets import load_mnist, write_idx


class Done(NamedTuple):
    """What a program left: its exit status, 0 or 1 or the message of `sys.exit`, and its output."""

    status: object
    out: str
    err: str


@pytest.fixture(scope="session")
def small_set(tmp_path_factory):
    """A data set in MNIST's format: 300 and 70 of its images, in the other spelling, without gzip."""
    folder = tmp_path_factory.mktemp("data")
    for name, (images, labels), count in zip(("train", "t10k"), load_mnist(), (300, 70), strict=True):
        write_idx(folder / f"{name}-images.idx3-ubyte", images[:count])
        write_idx(folder / f"{name}-labels.idx1-ubyte", labels[:count])
    return folder


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Return a function that calls a program's `main` in the test's folder, as its last lines do."""
    monkeypatch.chdir(tmp_path)

    def call(main, *arguments):
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as stop:
            status = stop.code
        except (
            FloatingPointError,
            OSError,
            ValueError,
        ) as error:  # these are `sys.exit(f"error: {error}")` at the end of each
            status = f"error: {error}"
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines(True) if "compiling kernels" not in line]
        return Done(status, out, "".join(lines))

    return call


@pytest.fixture
def small(monkeypatch):
    """A network of 300 parameters in the place of mnist_cnn, in tinycnn train."""
    from tinycnn import recipes

    monkeypatch.setattr(recipes, "network", small_network)
