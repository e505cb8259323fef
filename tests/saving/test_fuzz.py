"""A small part of the fuzz program, and readers that do what it has to see."""

import ctypes
import os
import sys

import numpy as np
import pytest

from tests.saving import fuzz
from tests.saving.mutations import mutated_json

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits of Linux")


@pytest.fixture(autouse=True)
def _nothing_compiled(monkeypatch):
    monkeypatch.setenv("TINYCNN_ALGORITHM", "im2col")


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "idx" else pytest.mark.slow) for name in fuzz.FORMATS]
)
def test_damaged_files_are_loaded_or_refused(tmp_path, name):
    """60 inputs of each format; docs/runs has the logs of longer runs."""
    inputs, log = fuzz.FORMATS[name](tmp_path), fuzz.new_log(name)
    fuzz.count_inputs(inputs, tmp_path / f"input{inputs.suffix}", log, 60)
    assert log["failures"] == []
    assert log["results"]["refused"] > 20
    assert log["results"]["loaded"] > 1
    assert sum(log["results"].values()) == 60


def crash():
    ctypes.string_at(0)


def loop():
    while True:
        pass


def fill():
    try:
        bytearray(2**33)
    except MemoryError as error:
        raise ValueError("input.x: refused") from error


def refuse(error):
    def read():
        raise error

    return read


READERS = {
    "loaded": lambda: None,
    "refused": refuse(ValueError("input.x: expected")),
    "failure: ValueError": refuse(ValueError("expected")),  # it does not name the file
    "failure: KeyError": refuse(KeyError("input.x")),
    "failure: OSError": refuse(OSError("input.x")),
    "failure: SIGSEGV": crash,
    "failure: SIGKILL after": loop,
    "failure: memory": fill,
    "failure: no answer": lambda: os._exit(3),
}


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("expected", READERS)
def test_what_a_reader_does_is_seen(tmp_path, expected, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    assert fuzz.in_child(READERS[expected], tmp_path / "input.x")[0].startswith(expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_run_goes_on_where_its_log_ends(tmp_path):
    """The same inputs, whether in one run or in two."""
    for name, sizes in (("whole", [30]), ("halves", [13, 30])):
        for size in sizes:
            command = ["idx", "--inputs", str(size), "--log", str(tmp_path / f"{name}.json")]
            assert fuzz.main(command) == 0
    logs = [fuzz.json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "halves")]
    assert [log["inputs"] for log in logs] == [30, 30]
    assert logs[0]["results"] == logs[1]["results"]


def test_a_text_of_which_all_has_been_removed():
    """There is nothing left to change then."""
    found = {mutated_json(np.random.default_rng(seed), '{"a": [1]}') for seed in range(200)}
    assert {"{}", '{"a": []}', '{"a": [-1]}'} <= found
