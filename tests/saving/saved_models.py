"""Data and comparisons that the tests of saving share; the models are in `tests.networks`."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"
FORMATS = ["h5", "keras", "npz"]
INPUT_SHAPE = (13, 11, 2)
CLASSES = 3


def data(shape=INPUT_SHAPE, count=23, dtype="float32"):
    """Random images and labels, the same every time."""
    rng = np.random.default_rng(8)
    return rng.random((count, *shape)).astype(dtype), rng.integers(0, CLASSES, count)


def trained(model, *, epochs=1):
    """The model after a few steps on random data, so that weights, averages and moments all have moved."""
    model.fit(*data(model.input_shape, dtype=model.dtype), batch_size=7, epochs=epochs, verbose=0)
    return model


def assert_same(received, expected):
    """Two models are the same, bit for bit, in all that training or predicting could depend on."""
    assert received.get_config() == expected.get_config()
    assert received.dtype == expected.dtype
    assert [layer.trainable for layer in received] == [layer.trainable for layer in expected]
    for a, b in zip(received.get_weights(), expected.get_weights(), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert received.epochs_trained == expected.epochs_trained
    assert received.steps_trained == expected.steps_trained
    assert (received.optimizer is None) == (expected.optimizer is None)
    if expected.optimizer is not None:
        assert_same_training(received, expected)


def assert_same_training(received, expected):
    """How two compiled models are trained is the same. A moment of zeros is one that has not begun."""
    assert type(received.optimizer) is type(expected.optimizer)
    assert received.optimizer.get_config() == expected.optimizer.get_config()
    assert received.optimizer.iterations == expected.optimizer.iterations
    for name in expected.optimizer.slot_names():
        zeros = np.zeros_like(expected.parameters)
        slot = received.optimizer.slots.get(name, zeros)
        assert slot.dtype == expected.dtype
        np.testing.assert_array_equal(slot, expected.optimizer.slots.get(name, zeros))
    assert type(received.loss) is type(expected.loss)
    assert received.loss.get_config() == expected.loss.get_config()
    assert list(received.metrics) == list(expected.metrics)


def golden_copy(folder, version=2):
    """A copy of a golden file, to be changed."""
    return Path(shutil.copy(GOLDEN / f"small_keras{version}.h5", folder / "changed.h5"))


def edit_json(path, change, attribute="model_config"):
    """Change what a JSON attribute of an HDF5 file says; `change` gets the dictionary, and may return one."""
    with h5py.File(path, "r+") as file:
        value = json.loads(file.attrs[attribute])
        changed = change(value)
        file.attrs[attribute] = json.dumps(value if changed is None else changed)
    return path
