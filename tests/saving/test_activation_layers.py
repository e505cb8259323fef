"""Activations that are layers, as in `Conv2D(8, 3, activation=LeakyReLU(0.1))`, in Keras' files."""

import copy

import pytest

from tinycnn.saving import keras_config

pytestmark = pytest.mark.smoke

POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}


def activation(kind, **config):
    """As Keras 3 writes the layer inside of another one."""
    config = {"name": "inner", "trainable": True, "dtype": POLICY, **config}
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


def to_layers(*layers):
    first = {"class_name": "InputLayer", "config": {"batch_shape": [None, 6, 5, 2], "name": "input"}}
    entries = [{"class_name": kind, "config": dict(config)} for kind, config in layers]
    model = {"class_name": "Sequential", "config": {"name": "net", "layers": [first, *entries]}}
    found = keras_config.to_model(copy.deepcopy(model))["layers"]
    return [(layer["class_name"], layer["config"]) for layer in found]


CONV = {"name": "c", "filters": 3, "kernel_size": [2, 2]}


@pytest.mark.parametrize(
    ("keras", "kind", "expected"),
    [
        (activation("LeakyReLU", negative_slope=0.1), "ReLU", {"negative_slope": 0.1}),
        (activation("LeakyReLU", alpha=0.1), "ReLU", {"negative_slope": 0.1}),  # Keras 2
        (activation("LeakyReLU"), "ReLU", {"negative_slope": 0.3}),
        (
            activation("ReLU", max_value=6.0, negative_slope=0.0, threshold=0.0),
            "ReLU",
            {"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0},
        ),
        (activation("Softmax", axis=-1), "Softmax", {"axis": -1}),
    ],
)
def test_it_is_the_next_layer(keras, kind, expected):
    conv, layer = to_layers(("Conv2D", {**CONV, "activation": keras}))
    assert conv[0] == "Conv2D"
    assert conv[1]["activation"] is None
    assert layer == (kind, {"name": "c_activation", **expected})


def test_an_activation_layer_of_one():
    """The outer layer does nothing else, and its name stays."""
    found = to_layers(("Activation", {"name": "a", "activation": activation("LeakyReLU", alpha=0.2)}))
    assert found == [("ReLU", {"name": "a", "negative_slope": 0.2})]


def test_names_stay_different():
    leaky = activation("LeakyReLU")
    found = to_layers(
        ("Conv2D", {**CONV, "activation": leaky}),
        ("Conv2D", {**CONV, "name": "c_activation", "activation": leaky}),
    )
    assert [config["name"] for _, config in found] == [
        "c",
        "c_activation_",
        "c_activation",
        "c_activation_activation",
    ]


@pytest.mark.parametrize(
    ("keras", "message"),
    [
        (activation("PReLU"), "layer 'c': activation: expected one of"),
        (activation("Conv2D", **CONV), "layer 'c': activation: expected one of"),
        (activation("InputLayer"), "layer 'c': activation: expected one of"),
        ({**activation("ReLU"), "module": None, "registered_name": "my>ReLU"}, "expected a class of Keras"),
        ({"class_name": "ReLU", "config": None}, "expected a dictionary of arguments"),
        ({"class_name": ["ReLU"], "config": {}}, "layer 'c': activation: expected one of"),
    ],
)
def test_others_are_refused(keras, message):
    with pytest.raises(ValueError, match=message):
        to_layers(("Conv2D", {**CONV, "activation": keras}))


def test_arguments_without_a_meaning_are_named():
    with pytest.warns(UserWarning, match="tinycnn leaves out layer 'c_activation': new 5"):
        to_layers(("Conv2D", {**CONV, "activation": activation("ReLU", new=5)}))
