"""Errors of files say which layer is meant and what to do, and a failed load_weights changes nothing."""

import pytest

from tests.saving import archives
from tests.saving.hostile_files import saved
from tinycnn import Sequential, load_model
from tinycnn.layers import Dense
from tinycnn.saving import keras_config

pytestmark = pytest.mark.smoke

INPUT = {"class_name": "InputLayer", "config": {"batch_shape": [None, 6, 5, 2], "name": "input"}}


def keras_model(*entries, first=INPUT):
    return {"class_name": "Sequential", "config": {"name": "net", "layers": [first, *entries]}}


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".npz"])
def test_a_model_that_was_not_built_stays_so(tmp_path, suffix):
    """Also where the weights are as many as its own would be."""
    Sequential([Dense(6, use_bias=False)], input_shape=(4,)).save(tmp_path / f"m{suffix}")
    model = Sequential([Dense(4, use_bias=False), Dense(2, use_bias=False)])
    with pytest.raises(
        ValueError, match=r"expected dense_1/kernel \(4, 4\), .* received dense_1/kernel \(4, 6\)"
    ):
        model.load_weights(tmp_path / f"m{suffix}")
    assert not model.built


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("Softmax", {"axis": [1, 2]}, "axis: expected a whole number"),
        ("Dropout", {"rate": 1.5}, "rate: expected"),
        ("Conv2D", {"filters": 0, "kernel_size": [2, 2]}, "filters: expected"),
    ],
)
def test_a_wrong_argument_is_reported_with_its_layer(kind, config, message):
    entry = {"class_name": kind, "config": {"name": "mine", **config}}
    with pytest.raises(ValueError, match=f"layer 'mine': {message}"):
        Sequential.from_config(keras_config.to_model(keras_model(entry)))


@pytest.mark.parametrize("shape", [None, [None, None, None, 3]])
def test_sizes_that_are_unknown(shape):
    first = {"class_name": "InputLayer", "config": {"batch_shape": shape, "name": "input"}}
    flatten = {"class_name": "Flatten", "config": {"name": "f"}}
    with pytest.raises(
        ValueError, match=r"received .*: in Keras, build the model .* as \.weights\.h5, for load_w"
    ):
        keras_config.to_model(keras_model(flatten, first=first))


def test_an_archive_without_layers(tmp_path):
    """As Keras writes one of a model that has only an InputLayer."""
    file = saved(tmp_path / "m.keras")
    archives.edit_weights(file, lambda weights: weights.pop("layers"))
    with pytest.raises(
        ValueError, match=r"expected a group layers or .*, received none: the model has no layers"
    ):
        load_model(file)
