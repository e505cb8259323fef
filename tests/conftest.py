"""Tiers, and kernels that are compiled before the first test.

::

    smoke: under TINYCNN_ALGORITHM=im2col, nothing is compiled     the others: `tinycnn.warmup` first

Where kernels cannot be compiled, the smoke tests are all that run.
"""

import os
import signal
import sys
from functools import cache

import pytest

#: Set in the processes of pytest-xdist, whose parent has done the work.
WORKER = "PYTEST_XDIST_WORKER"


def pytest_configure(config):
    """Compile the kernels of `mnist_cnn`, on all cores, before all tests do it one by one.

    The workers of pytest-xdist share the cores: a thread of one that spins while it waits takes time from
    another, so threads sleep instead.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # pytest was started in the background of a shell, and its children would ignore Ctrl-C too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if getattr(config.option, "numprocesses", None):
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword
    runs_kernels = config.option.markexpr != "smoke" and not config.option.collectonly
    if whole and runs_kernels and WORKER not in os.environ:
        import tinycnn

        tinycnn.warmup()


@cache
def obstacle():
    """Return why nothing but smoke tests can run; an empty string if all can."""
    from tinycnn.kernels.runtime import availability

    return availability.obstacle()


def pytest_report_header(config):
    """Say so when most tests are left out."""
    reason = config.option.markexpr != "smoke" and obstacle()
    return f"smoke tests only, since kernels cannot be compiled: {reason}" if reason else None


def pytest_ignore_collect(collection_path, config):
    """Leave out files without a smoke test: importing the compiled kernels takes longer than these tests."""
    if not collection_path.name.startswith("test_"):
        return None
    if config.option.markexpr != "smoke" and not obstacle():
        return None
    return "pytest.mark.smoke" not in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(config, items):
    """Leave slow tests out of `-m smoke`, which replaces the `-m "not slow"` of pyproject.toml."""
    if config.option.markexpr == "smoke":
        items[:] = [item for item in items if item.get_closest_marker("slow") is None]
    elif obstacle():
        items[:] = [item for item in items if item.get_closest_marker("smoke") is not None]


@pytest.fixture(autouse=True)
def _nothing_compiled(request, monkeypatch):
    """In a smoke test NumPy computes, and a kernel that is compiled is an error."""
    if request.node.get_closest_marker("smoke") is None:
        yield
        return
    monkeypatch.setenv("TINYCNN_ALGORITHM", "im2col")
    if "numba.core.dispatcher" in sys.modules:
        from numba.core.dispatcher import Dispatcher

        def refuse(self, signature):
            raise AssertionError(f"a smoke test compiles {self.py_func.__name__}{signature}")

        monkeypatch.setattr(Dispatcher, "compile", refuse)
    yield
