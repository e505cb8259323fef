"""Kernels from several threads of Python, and in processes that were forked."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import tinycnn
from tinycnn.kernels.runtime import threads

ROOT = Path(tinycnn.__file__).parent.parent
MODEL = """
import hashlib, multiprocessing, sys, threading, time
import numpy as np
from tinycnn import Sequential
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D

x = np.random.default_rng(0).random((7, 9, 8, 1), np.float32)

def trained(seed):
    layers = [Conv2D(5, 3, activation="relu"), Conv2D(17, 3, activation="relu"), MaxPooling2D(2),
              Dropout(0.25), Conv2D(6, 2), Flatten(), Dense(3, activation="softmax")]
    model = Sequential(layers, seed=seed)
    model.compile("adam", "sparse_categorical_crossentropy")
    for _ in range(20):
        model.train_on_batch(x, np.arange(7) % 3)
    return hashlib.sha256(model.parameters.tobytes() + model.predict(x).tobytes()).hexdigest()
"""
THREADS = """
alone = {seed: trained(seed) for seed in range(3)}
together = {}
threads = [threading.Thread(target=lambda s=s: together.update({s: trained(s)})) for s in alone]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert together == alone, (together, alone)
"""
FORK = """
context = multiprocessing.get_context("fork")
expected = trained(0)
if "busy" in sys.argv:  # the lock is taken while the process forks
    from tinycnn.kernels.runtime import threads
    threads._lock.acquire()
with context.Pool(1) as pool:
    try:
        print(pool.apply_async(trained, [0]).get(60) == expected)
    except RuntimeError as error:
        print(error)
"""


def python(code, *arguments, **variables):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("layer", [pytest.param("default", marks=pytest.mark.slow), "workqueue"])
def test_models_that_train_at_once_get_the_same_bits_as_alone(layer):
    """Without a lock, workqueue ends the process: "Concurrent access has been detected"."""
    python(MODEL + THREADS, NUMBA_THREADING_LAYER=layer)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


@needs_fork
@pytest.mark.parametrize("busy", [pytest.param("", marks=pytest.mark.slow), "busy"])
def test_a_forked_child_computes_on_workqueue(busy):
    """Also if another thread of the parent was in a kernel."""
    assert python(MODEL + FORK, busy, NUMBA_THREADING_LAYER="workqueue") == "True\n"


@pytest.mark.slow
@needs_fork
def test_a_forked_child_of_openmp_says_what_to_do():
    """It was ended by Numba, and a Pool waited forever for what it would have sent."""
    code = MODEL + FORK + "import numba; print(numba.threading_layer())"
    printed, layer = python(code).splitlines()
    if layer == "omp" and sys.platform.startswith("linux"):
        assert 'multiprocessing.get_context("spawn")' in printed
    else:
        assert printed == "True"


@needs_fork
@pytest.mark.slow
def test_a_child_forked_before_any_kernel_ran_computes():
    code = FORK.replace("expected = trained(0)", "")
    code = code.replace(
        "print(pool.apply_async(trained, [0]).get(60) == expected)", "print(len(pool.apply(trained, [0])))"
    )
    assert python(MODEL + code) == "64\n"


def test_the_first_kernel_chooses_the_guard(monkeypatch):
    """It starts Numba's threads; from then on there is a lock, or nothing to wait for."""
    monkeypatch.setattr(threads, "guard", threads.ChooseGuard())
    with threads.guard:
        chosen = threads.guard
        assert not isinstance(chosen, threads.ChooseGuard)
    assert threads.guard is chosen
    assert (chosen is threads._lock) == (numba.threading_layer() == "workqueue")


def fail_under_the_guard():
    with threads.guard:
        assert threads._lock.locked()
        raise KeyError


def test_the_lock_is_released_after_an_error(monkeypatch):
    monkeypatch.setattr(threads, "guard", threads.ChooseGuard())
    monkeypatch.setattr(numba, "threading_layer", lambda: "workqueue")
    for _ in range(2):  # with the guard that chooses, and with the one that it chose
        with pytest.raises(KeyError):
            fail_under_the_guard()
        assert not threads._lock.locked()
