"""Kernels from several threads of Python, and in processes that were forked or spawned."""

import os
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

import tinycnn
from tests.kernels.runtime import thread_uses
from tinycnn.kernels.runtime import threads

ROOT = Path(tinycnn.__file__).parent.parent
MODULE = "tests.kernels.runtime.thread_uses"
LAYERS = "workqueue", "omp", "tbb"
SECONDS = 300  # after which something waits for a lock that it never gets


def python(*arguments, **variables):
    """Return what `thread_uses` printed in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", MODULE, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive", **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@cache
def can_start(layer):
    code = "import numba; numba.get_num_threads()"
    env = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, env=env).returncode == 0


def skip_without(layer):
    if not can_start(layer):
        pytest.skip(f"Numba cannot start {layer} here")


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


def test_sixteen_threads_predict_and_two_train():
    """In this process, on whichever layer it has; the slow form is below."""
    assert thread_uses.differences(steps=3, rounds=1) == []


@pytest.mark.parametrize("first", ["alone", "together"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.slow
def test_all_threads_get_the_same_bits_as_alone(layer, first):
    """Without a lock, workqueue ends the process: "Concurrent access has been detected".

    Threads that begin "together" also load the kernels, choose the guard and make the plans at once.
    """
    skip_without(layer)
    assert python("threads", first, NUMBA_THREADING_LAYER=layer) == f"{layer} []"


@pytest.mark.slow
def test_threads_on_workqueue_get_the_same_bits_as_alone():
    assert python("quick", "together", NUMBA_THREADING_LAYER="workqueue") == "workqueue []"


def test_threads_may_share_a_model_that_is_not_built():
    """All find it so; one of them builds it, and the others wait."""
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for seed in range(12):
            built, shared = thread_uses.small(seed), thread_uses.small(seed, input_shape=None)
            expected = built.predict(thread_uses.X[:20])
            outputs = thread_uses.at_once([lambda m=shared: m.predict(thread_uses.X[:20])] * 6)
            for y in outputs:
                np.testing.assert_array_equal(y, expected)
            np.testing.assert_array_equal(shared.parameters, built.parameters)
    finally:
        sys.setswitchinterval(switching)


@needs_fork
@pytest.mark.parametrize(
    ("layer", "forks"), [slow("workqueue", 12), slow("workqueue", 60), slow("omp", 60), slow("tbb", 20)]
)
def test_forks_in_the_middle_of_other_threads_kernels(layer, forks):
    """A child computes the same bits in each of its threads, or says what to do; the parent goes on.

    A child was left with Numba's locks as they were held, and took the one that is shared with it: then the
    parent's threads waited forever.
    """
    skip_without(layer)
    refused = layer == "tbb" or (layer == "omp" and sys.platform.startswith("linux"))
    found = python("forks", forks, NUMBA_THREADING_LAYER=layer)
    assert found == f"{layer} {[thread_uses.REFUSED if refused else thread_uses.SAME] * forks}"


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_a_process_forked_by_multiprocessing(layer):
    """One that a Pool forks computes, or its error reaches the parent; a Pool waited for it forever."""
    skip_without(layer)
    refused = layer == "omp" and sys.platform.startswith("linux")
    printed = python("pool", "fork", "after", NUMBA_THREADING_LAYER=layer)
    assert ('multiprocessing.get_context("spawn")' in printed) if refused else printed == "True"


@pytest.mark.slow
@pytest.mark.parametrize(("start", "when"), [("fork", "before"), ("spawn", "before"), ("spawn", "after")])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_process_started_before_kernels_ran_or_spawned_computes(layer, start, when):
    skip_without(layer)
    if start == "fork" and not hasattr(os, "fork"):
        pytest.skip("there is no fork on this system")
    assert python("pool", start, when, NUMBA_THREADING_LAYER=layer) == "True"


# What a child would inherit.


class Holder:
    """A thread that holds a lock inside a with-block."""

    def __init__(self, lock):
        self.lock, self.holds, self.may_end = lock, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold, daemon=True)

    def hold(self):
        with self.lock:
            self.holds.set()
            self.may_end.wait(SECONDS)

    def __enter__(self):
        self.thread.start()
        assert self.holds.wait(SECONDS)
        return self

    def __exit__(self, *details):
        self.may_end.set()
        self.thread.join()


@pytest.mark.parametrize("lock", [global_compiler_lock, parallel._backend_init_thread_lock])
def test_a_fork_waits_for_a_thread_that_compiles_or_starts_threads(lock):
    forking = threading.Thread(target=lambda: (threads._before_fork(), threads._release()), daemon=True)
    with Holder(lock):
        forking.start()
        forking.join(0.1)
        assert forking.is_alive()
    forking.join(SECONDS)
    assert not forking.is_alive()


def test_kernels_that_run_take_no_lock_of_numbas():
    """Threads that take it at each call leave it taken in a child."""
    x, model = thread_uses.X[:20], thread_uses.small(0)
    expected, single = model.predict(x), model.predict(x[:1])
    with Holder(parallel._backend_init_thread_lock):
        found = []
        work = threading.Thread(
            target=lambda: found.extend((model.predict(x), model.predict(x[:1]))), daemon=True
        )
        work.start()
        work.join(60)
        assert not work.is_alive()
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], single)


@pytest.mark.parametrize("count", [1, numba.config.NUMBA_NUM_THREADS])
def test_the_number_of_threads_is_that_of_numba(count):
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        assert threads.get_num_threads() == numba.get_num_threads() == count
    finally:
        numba.set_num_threads(before)


# The guard.


def test_living_threads_that_ran_kernels_are_counted():
    """On TBB a child of a process with several of them may wait forever."""
    guard = threads.CountThreads()

    def use():
        with guard:
            pass
        return guard.has_others()

    assert not guard.has_others()
    assert thread_uses.at_once([use]) == [False]
    assert not guard.has_others()  # the other thread has ended
    assert not use()
    assert thread_uses.at_once([guard.has_others, use]) == [True, True]
    with Holder(guard):
        assert use()
    assert not use()


def test_the_first_kernel_chooses_the_guard(monkeypatch):
    """It starts Numba's threads; from then on there is a lock, or nothing to wait for."""
    monkeypatch.setattr(threads, "guard", threads.ChooseGuard())
    with threads.guard:
        chosen = threads.guard
        assert not isinstance(chosen, threads.ChooseGuard)
    assert threads.guard is chosen
    assert (chosen is threads._lock) == (numba.threading_layer() == "workqueue")


def is_locked():
    """Return whether another thread would have to wait for the guard's lock."""

    def attempt():
        taken = threads._lock.acquire(blocking=False)
        if taken:
            threads._lock.release()
        return not taken

    return thread_uses.at_once([attempt])[0]


def fail_under_the_guard():
    with threads.guard:
        assert is_locked()
        raise KeyError


def test_the_lock_is_released_after_an_error(monkeypatch):
    monkeypatch.setattr(threads, "guard", threads.ChooseGuard())
    monkeypatch.setattr(numba, "threading_layer", lambda: "workqueue")
    for _ in range(2):  # with the guard that chooses, and with the one that it chose
        with pytest.raises(KeyError):
            fail_under_the_guard()
        assert not is_locked()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers on this system")
def test_a_signal_handler_may_predict(monkeypatch):
    """Also one that comes while its thread is inside the guard: it waited for itself."""
    monkeypatch.setattr(threads, "guard", threads._lock)
    x, model, found = thread_uses.X[:20], thread_uses.small(0), []
    expected = model.predict(x)
    before = signal.signal(signal.SIGUSR1, lambda *_: found.append(model.predict(x)))
    try:
        with threads.guard:
            assert is_locked()
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    np.testing.assert_array_equal(found[0], expected)
