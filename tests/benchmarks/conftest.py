"""What the tests of benchmarks/ share; `pythonpath` in pyproject.toml finds the programs."""

import pytest

from tinycnn.kernels.runtime.availability import obstacle


@pytest.fixture(autouse=True)
def threads_as_they_were():
    """A benchmark pins the number of threads of its process."""
    if obstacle():  # no Numba, and no threads of it
        yield
        return
    import numba

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
