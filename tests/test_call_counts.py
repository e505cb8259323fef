"""How far it is from a call to the loops: Python calls of the package in a steady step and a prediction."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tinycnn.kernels.runtime import memory

PACKAGE = str(Path(tinycnn.__file__).parent)
IMAGES = 128
#: Most calls, of how many functions, in how many files.
TRAIN_ON_BATCH = 400, 75, 17
PREDICT_ONE = 25, 15, 6


def count(action):
    """Return the calls, functions and files of the package in a call of `action`, and a table of them."""
    calls = Counter()

    def profile(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            code = frame.f_code
            calls[code.co_filename.removeprefix(PACKAGE), code.co_firstlineno, code.co_name] += 1

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    table = "\n".join(
        f"{number:4d}  {file}:{line} {name}" for (file, line, name), number in calls.most_common()
    )
    return (sum(calls.values()), len(calls), len({file for file, *_ in calls})), table


@pytest.fixture(scope="module")
def model():
    memory.release()  # what other tests have left there would be in the way of this network's arrays
    model = tinycnn.mnist_cnn(seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def check(action, most):
    for _ in range(3):  # plans, memory and caches are made
        action()
    counts, table = count(action)
    assert all(number <= limit for number, limit in zip(counts, most, strict=True)), f"{counts}\n{table}"


def test_train_on_batch(model):
    rng = np.random.default_rng(0)
    x, y = rng.random((IMAGES, 28, 28, 1), np.float32), rng.integers(0, 10, IMAGES)
    check(lambda: model.train_on_batch(x, y), TRAIN_ON_BATCH)


def test_predict_of_one_image(model):
    x = np.random.default_rng(0).random((1, 28, 28, 1), np.float32)
    check(lambda: model.predict(x), PREDICT_ONE)


def test_the_counter_counts():
    """Two calls of one function."""
    counts, table = count(lambda: [tinycnn.kernels.choose("maxpool2d") for _ in range(2)])
    assert counts[0] >= 2
    assert "choose" in table
