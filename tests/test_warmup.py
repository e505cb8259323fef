"""After `warmup` nothing is compiled any more, and nothing else has changed."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import tinycnn

ROOT = Path(tinycnn.__file__).parent.parent
# Reports each function that is compiled, or loaded from the cache, after warmup: so that this test can fail
# where everything is in the cache. {dtype} is what is warmed up, {used} what is then trained.
USE = """
import sys
import numpy as np
import tinycnn
assert "numba" not in sys.modules
assert tinycnn.warmup("{dtype}") > 0
from numba.core.dispatcher import Dispatcher
compile = Dispatcher.compile
def report(self, signature):
    print(self.py_func.__module__, self.py_func.__name__, signature)
    return compile(self, signature)
Dispatcher.compile = report

config = {{**tinycnn.mnist_cnn(seed=1).get_config(), "dtype": "{used}"}}
x = np.random.default_rng(0).random((133, 28, 28, 1))
y = np.arange(133) % 10
for fuse in (True, False):
    model = tinycnn.Sequential.from_config(config)
    model.predict(x[:5])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], fuse=fuse)
    for size in (1, 5, 128):
        model.train_on_batch(x[:size].astype("{used}"), y[:size])
        model.evaluate(x[:size], y[:size])
    model.fit(x[:7], y[:7], batch_size=5, validation_split=0.2, verbose=0)  # and a last batch of 1
    model.predict(x, batch_size=128)  # and of 5
    assert model.backward(model.forward(model.check_images(x[:2]), training=True)).shape == (2, 28, 28, 1)
"""


def python(code, **variables):
    """Return what a process printed to stdout and to stderr."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
def test_after_warmup_every_step_finds_its_kernels():
    """Training, evaluating, predicting; as stages and layer by layer; any size of batch."""
    out, _ = python(USE.format(dtype="float32", used="float32"))
    assert out == ""


def test_what_the_cache_has_is_not_called_compiling(monkeypatch):
    """A terminal shows the steps only when there is something to wait for."""
    tinycnn.warmup(training_only=True)
    said = []
    monkeypatch.setattr(sys.modules["tinycnn.warmup"], "status", said.append)
    tinycnn.warmup(training_only=True)
    assert set(said) == {""}


@pytest.mark.slow
def test_the_test_sees_what_was_not_warmed_up_and_float64_is_another_dtype():
    out, _ = python(USE.format(dtype="float32", used="float64"))
    assert "tinycnn.kernels" in out
    out, _ = python(USE.format(dtype="float64", used="float64"))
    assert out == ""


@pytest.mark.slow
def test_on_an_empty_cache_two_processes_at_once_and_a_third_that_compiles_nothing(tmp_path):
    """One line before the pause, results that are the same, and a third start in a second."""
    code = """
import hashlib, numba, numpy as np, tinycnn
from numba.core import event
with event.install_recorder("numba:compile") as recorded:
    tinycnn.warmup()
model = tinycnn.mnist_cnn(seed=0)
model.compile()
model.train_on_batch(np.ones((3, 28, 28, 1), np.float32), np.arange(3))
print(hashlib.sha256(model.parameters.tobytes()).hexdigest(), len(recorded.buffer))
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True, env=env)
        for _ in range(2)
    ]
    digests = set()
    for process in processes:
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        assert err == "tinycnn: compiling kernels for this machine, once; up to a minute ...\n"
        digest, events = out.split()
        assert int(events) > 0
        digests.add(digest)
    out, err = python(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert err == ""
    assert out == f"{digests.pop()} 0\n"
    assert not digests


def test_warmup_changes_nothing_else():
    """No random state, no number of threads, no environment."""

    def settings():
        generator = np.random.get_state()  # noqa: NPY002
        return (
            *(generator[0], generator[1].tobytes(), *generator[2:]),
            *(random.getstate(), numba.get_num_threads(), dict(os.environ)),
        )

    numba.get_num_threads()  # its threads are started, and in the list of pools
    tinycnn.warmup()
    before = settings()
    seconds = tinycnn.warmup()
    assert settings() == before
    assert 0 < seconds < 10


def test_another_dtype_is_refused():
    with pytest.raises(ValueError, match="float16"):
        tinycnn.warmup("float16")
