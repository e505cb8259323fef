"""Classes of a user's own in Keras' files: never taken for the class of Keras that has the same name."""

import pytest

from tests.saving import archives
from tests.saving.hostile_files import saved
from tinycnn import load_model
from tinycnn.saving import keras_names

pytestmark = pytest.mark.smoke

#: As Keras writes them: in no package, in one, by early versions; and what an object of Keras' own has.
USERS = [
    {"module": None, "registered_name": "Name"},
    {"module": None, "registered_name": "package>Name"},
    {"module": "__main__", "registered_name": "Custom>Name"},
    {"module": "kerasish.layers", "registered_name": "Name"},
]
KERAS = [
    {},
    {"module": "keras.layers", "registered_name": None},
    {"module": "keras.layers.core.dense", "registered_name": "Dense"},
    {"module": "tf_keras.src.layers", "registered_name": "Dense"},
]
users = pytest.mark.parametrize("marks", USERS)


@pytest.fixture
def file(tmp_path):
    return saved(tmp_path / "m.keras")


def edit(file, change):
    archives.edit_config(file, change)


@users
def test_a_layer_is_refused(file, marks):
    """It has the weights of a Dense, and may compute anything with them."""
    edit(file, lambda whole: whole["config"]["layers"][-1].update(marks))
    with pytest.raises(ValueError, match=r"layer '\w+': expected a class of Keras, received 'Dense' of"):
        load_model(file)


@users
def test_a_model_is_refused(file, marks):
    edit(file, lambda whole: whole.update(marks))
    with pytest.raises(ValueError, match="model: expected a class of Keras, received 'Sequential'"):
        load_model(file)


@users
@pytest.mark.parametrize("key", ["optimizer", "loss"])
def test_an_optimizer_or_a_loss_is_not_compiled(file, marks, key):
    edit(file, lambda whole: whole["compile_config"][key].update(marks))
    with pytest.warns(UserWarning, match=f"not compiled, since tinycnn does not support {key}: "):
        assert load_model(file).optimizer is None


@users
def test_a_metric_is_left_out(file, marks):
    metric = {"class_name": "SparseCategoricalAccuracy", "config": {"name": "accuracy"}, **marks}
    edit(file, lambda whole: whole["compile_config"].update(metrics=[metric]))
    with pytest.warns(UserWarning, match="the metric .*SparseCategoricalAccuracy.* is left out"):
        assert list(load_model(file).metrics) == []


@users
def test_a_regularizer_is_left_out(file, marks):
    regularizer = {"class_name": "L2", "config": {"l2": 0.5}, **marks}
    edit(file, lambda whole: whole["config"]["layers"][-1]["config"].update(kernel_regularizer=regularizer))
    with pytest.warns(UserWarning, match="no such kernel_regularizer"):
        assert load_model(file).layers[-1].kernel_regularizer is None


@pytest.mark.parametrize("marks", KERAS)
def test_a_class_of_keras(marks):
    """However a version of Keras has called its own modules."""
    assert keras_names.class_name("layer", {"class_name": "Dense", "config": {}, **marks}) == "Dense"
