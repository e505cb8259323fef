"""Computations that run side by side share the threads of their process."""

import multiprocessing
import threading

import numba
import pytest

from tinycnn.kernels.runtime import shares
from tinycnn.kernels.runtime.shares import Share, threads_of_process
from tinycnn.kernels.runtime.threads import get_num_threads

MOST = numba.config.NUMBA_NUM_THREADS
pytestmark = pytest.mark.skipif(MOST < 2, reason="one core cannot be shared")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def test_one_computation_has_all_threads_and_two_have_half():
    """The first one adapts when the second begins, and again when it ends."""
    begun, renewed, found = threading.Event(), threading.Event(), []

    def second():
        with Share():
            found.append(get_num_threads())
            begun.set()
            renewed.wait(60)
        found.append(get_num_threads())

    other = threading.Thread(target=second)
    with Share() as share:
        assert get_num_threads() == MOST
        other.start()
        begun.wait(60)
        share.renew()
        assert get_num_threads() == MOST // 2
        renewed.set()
        other.join()
        share.renew()
        assert get_num_threads() == MOST
    assert found == [MOST // 2, MOST]
    assert shares._sharing == 0


def test_the_number_before_comes_back():
    """After an error too; a share is never larger than what the thread had."""
    numba.set_num_threads(1)
    with Share(MOST):
        assert get_num_threads() == 1
    numba.set_num_threads(MOST)
    with Share(1):
        assert get_num_threads() == 1
    with pytest.raises(ZeroDivisionError), Share(1):
        get_num_threads() / 0
    assert get_num_threads() == MOST
    assert shares._sharing == 0


def test_a_number_that_is_given_is_not_shared():
    with Share(MOST), Share():
        assert get_num_threads() == MOST


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, MOST),
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "1,4"}, 1),
        ({"OMP_NUM_THREADS": str(MOST + 1)}, MOST),
        ({"OMP_NUM_THREADS": "many"}, MOST),
        ({"OMP_NUM_THREADS": "0"}, MOST),
        ({"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": str(MOST)}, MOST),
    ],
)
def test_variables_of_the_environment(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert threads_of_process() == expected


def test_a_daemonic_worker_has_one_thread(monkeypatch):
    """It is one of a pool, of which it does not know how large it is."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    assert threads_of_process() == 1
    with Share():
        assert get_num_threads() == 1
    monkeypatch.setenv("NUMBA_NUM_THREADS", str(MOST))
    assert threads_of_process() == MOST
