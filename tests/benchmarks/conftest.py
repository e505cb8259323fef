"""The benchmarks are programs in a folder and no package: modules are found as the programs find them."""

import sys
from pathlib import Path

import numba
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(autouse=True)
def threads_as_they_were():
    """A benchmark pins the number of threads of its process."""
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


@pytest.fixture
def quick_machine(monkeypatch):
    """Peaks that take no time to measure."""
    import machine

    monkeypatch.setattr(machine, "fma_peak", lambda threads: 200.0)
    monkeypatch.setattr(machine, "bandwidth", lambda threads: 40.0)
    monkeypatch.setattr(machine, "busy", lambda: 0.0)
