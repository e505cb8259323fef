"""Keras' dictionaries and tinycnn's: pure translation, no files."""

import copy
import json

import pytest

from tests.networks import conv_and_dense, every_layer
from tinycnn import Sequential, losses, optimizers
from tinycnn.layers import Activation, Conv2D, Dense, Flatten
from tinycnn.optimizers import schedules
from tinycnn.optimizers.schedules import CosineDecay, ExponentialDecay, OneCycle
from tinycnn.saving import conversion, keras_config, keras_training

pytestmark = pytest.mark.smoke

POLICY = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}
SHAPE = [None, 12, 11, 2]


def keras_model(*layers, shape=SHAPE, **config):
    """Keras 3's model_config of layers given as (class_name, config)."""
    first = {
        "class_name": "InputLayer",
        "config": {"batch_shape": shape, "dtype": "float32", "name": "input"},
    }
    entries = [{"class_name": kind, "config": {"name": kind.lower(), **keras}} for kind, keras in layers]
    return {"class_name": "Sequential", "config": {"name": "net", "layers": [first, *entries], **config}}


def to_layers(*layers, **options):
    return keras_config.to_model(keras_model(*layers, **options))["layers"]


def via_json(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_comes_back(dtype):
    """All arguments but those that Keras has no word for, which `own_words` keeps."""
    model = every_layer(dtype)
    model["means"].trainable = False
    snapshot = conversion.take(model)
    config = keras_config.to_model(via_json(keras_config.from_model(snapshot.config)))
    assert config["seed"] is None
    assert "algorithm" not in config["layers"][0]["config"]
    progress = keras_config.adopt_own_words(config, via_json(keras_config.own_words(snapshot)))
    assert Sequential.from_config(config).get_config() == model.get_config()
    assert progress == snapshot.progress


def test_explicit_padding_is_a_layer_in_keras():
    """ZeroPadding2D before a valid convolution, and one layer again when read."""
    model = Sequential([Conv2D(5, 3, padding=((1, 2), (0, 3)))], input_shape=(7, 6, 2))
    entries = keras_config.from_model(model.get_config())["config"]["layers"]
    assert [entry["class_name"] for entry in entries] == ["InputLayer", "ZeroPadding2D", "Conv2D"]
    assert entries[1]["config"]["padding"] == ((1, 2), (0, 3))
    assert entries[2]["config"]["padding"] == "valid"
    layers = keras_config.to_model(via_json(keras_config.from_model(model.get_config())))["layers"]
    assert [layer["config"]["padding"] for layer in layers] == [[[1, 2], [0, 3]]]


def test_names_that_are_made_up_are_free():
    """Keras takes no name twice."""
    layers = [
        Activation("tanh", name="a"),
        Activation("tanh", name="a_input"),
        Conv2D(5, 3, padding=1, name="c"),
        Activation("tanh", name="c_padding"),
    ]
    model = Sequential(layers, input_shape=(7, 6, 2))
    entries = keras_config.from_model(model.get_config())["config"]["layers"]
    assert [entry["config"]["name"] for entry in entries] == [
        "a_input_",
        "a",
        "a_input",
        "c_padding_",
        "c",
        "c_padding",
    ]


@pytest.mark.parametrize(
    ("kind", "keras", "expected"),
    [
        (
            "Conv2D",
            {"filters": 5, "kernel_size": [3, 2], "padding": "same", "activation": "relu", "groups": 1},
            {"filters": 5, "kernel_size": [3, 2], "padding": "same", "activation": "relu"},
        ),
        ("Dense", {"units": 4, "activation": "linear"}, {"units": 4, "activation": None}),
        ("Dense", {"units": 4, "activation": None}, {"units": 4, "activation": None}),
        ("Dropout", {"rate": 0.5, "seed": 3, "noise_shape": None}, {"rate": 0.5, "seed": 3}),
        ("Flatten", {"data_format": "channels_last"}, {}),
        ("MaxPooling2D", {"pool_size": [2, 3], "strides": None}, {"pool_size": [2, 3], "strides": None}),
        ("GlobalAveragePooling2D", {"keepdims": False}, {}),
        ("Activation", {"activation": "tanh"}, {"activation": "tanh"}),
        (
            "BatchNormalization",
            {"axis": -1, "momentum": 0.9, "epsilon": 0.01, "center": True, "scale": False, "renorm": False},
            {"momentum": 0.9, "epsilon": 0.01, "center": True, "scale": False},
        ),
    ],
)
def test_layers_of_keras_3(kind, keras, expected):
    """What both have is taken over; what only Keras has is left out where it does nothing."""
    (layer,) = to_layers((kind, {"dtype": POLICY, "trainable": False, **keras}))
    assert layer == {
        "class_name": kind,
        "config": {"name": kind.lower(), **expected},
        "trainable": False,
    }


@pytest.mark.parametrize(
    ("keras", "expected"),
    [
        ({"class_name": "HeNormal", "config": {"seed": None}}, {"kernel_initializer": "he_normal"}),
        ("glorot_normal", {"kernel_initializer": "glorot_normal"}),
        ({"class_name": "Orthogonal", "config": {}}, {}),
        ({"class_name": ["HeNormal"]}, {}),
        (None, {}),
    ],
)
def test_initializers(keras, expected):
    """One that tinycnn has not does not matter, since the weights are in the file."""
    (layer,) = to_layers(("Dense", {"units": 4, "kernel_initializer": keras}), shape=[None, 5])
    assert layer["config"] == {"name": "dense", "units": 4, **expected}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([("Lambda", {"function": ["4wEAAAA=", None, None]})], "layer 'lambda': expected one of .* 'Lambda'"),
        ([("Sequential", {"layers": []})], "layer 'sequential': expected one of .* received 'Sequential'"),
        ([("Custom>Conv2D", {"filters": 5})], "expected one of"),
        ([("Conv2D", {"data_format": "channels_first"})], "data_format: expected 'channels_last', received"),
        ([("Conv2D", {"groups": 2})], "layer 'conv2d': groups: expected 1, received 2"),
        ([("Conv2D", {"activation": "gelu"})], "layer 'conv2d': activation: .*received 'gelu'"),
        ([("Dense", {"activation": {"class_name": "function", "config": "f"}})], "activation: expected one"),
        ([("GlobalAveragePooling2D", {"keepdims": True})], "keepdims: expected False, received True"),
        ([("Dropout", {"noise_shape": [None, 1, 1, 2]})], "noise_shape: expected None"),
        ([("BatchNormalization", {"renorm": True})], "renorm: expected False"),
        ([("BatchNormalization", {"axis": 1})], "axis: expected the last, received 1"),
        ([("BatchNormalization", {"axis": [2]})], r"axis: expected the last, received \[2\]"),
        ([("Flatten", {}), ("BatchNormalization", {"axis": 3})], "axis: expected the last, received 3"),
        ([("ZeroPadding2D", {"padding": 1})], "after a ZeroPadding2D, received nothing"),
        ([("ZeroPadding2D", {"padding": 1}), ("Flatten", {})], "after a ZeroPadding2D, received 'Flatten'"),
        ([("ZeroPadding2D", {"padding": 1}), ("Conv2D", {"padding": "same"})], "expected a valid Conv2D"),
        ([("ZeroPadding2D", {"padding": 1}), ("ZeroPadding2D", {"padding": 2})], "received 'ZeroPadding2D'"),
        ([("ZeroPadding2D", {"padding": 1, "data_format": "channels_first"})], "data_format"),
    ],
)
def test_what_tinycnn_has_not_is_refused(layers, message):
    """With the layer's name, what was expected and what is there."""
    with pytest.raises(ValueError, match=message):
        to_layers(*layers)


@pytest.mark.parametrize("axis", [-1, [-1], 3, [3]])
def test_the_last_axis_of_images(axis):
    """By any of its names."""
    assert to_layers(("BatchNormalization", {"axis": axis}))


def test_the_last_axis_of_vectors():
    """After a Flatten, and from the start."""
    assert to_layers(("Flatten", {}), ("BatchNormalization", {"axis": [1]}))
    assert to_layers(("BatchNormalization", {"axis": 1}), shape=[None, 5])


@pytest.mark.parametrize("kind", ["Functional", "Model", None])
def test_other_models_are_refused(kind):
    """A Functional model most of all."""
    with pytest.raises(ValueError, match=f"model: expected a Sequential, received {kind!r}"):
        keras_config.to_model({**keras_model(("Flatten", {})), "class_name": kind})


def test_a_list_of_layers_alone():
    """As Keras wrote before 2.3, with the shape in the first layer."""
    layers = [{"class_name": "Flatten", "config": {"name": "f", "batch_input_shape": SHAPE}}]
    config = keras_config.to_model({"class_name": "Sequential", "config": layers})
    assert config["input_shape"] == [12, 11, 2]
    assert config["name"] == "sequential"


def test_the_shape_from_the_build():
    """As Keras 3 notes it for a model without an InputLayer."""
    model_config = keras_model(("Flatten", {}), build_input_shape=SHAPE)
    del model_config["config"]["layers"][0]
    assert keras_config.to_model(model_config)["input_shape"] == [12, 11, 2]


@pytest.mark.parametrize("shape", [None, [], [None], [None, None, None, 2], "none", 5, {}])
def test_shapes_that_are_not_fixed(shape):
    """A network is built for one size of image."""
    with pytest.raises(ValueError, match="input shape: expected fixed sizes"):
        to_layers(("Flatten", {}), shape=shape)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("mixed_float16", "float32"),
        (POLICY, "float32"),
        ({**POLICY, "config": {"name": "float64"}}, "float64"),
        ({**POLICY, "config": {"name": "mixed_bfloat16"}}, "float32"),
        (None, "float32"),
    ],
)
def test_dtypes_and_policies(dtype, expected):
    """16 bits are computed in 32."""
    model_config = keras_model(("Flatten", {"dtype": dtype}))
    assert keras_config.to_model(model_config)["dtype"] == expected


def test_regularizers_and_constraints_warn_once():
    """However many layers have them."""
    heavy = {"units": 4, "kernel_regularizer": {"class_name": "L2"}, "bias_regularizer": None}
    model_config = keras_model(("Dense", heavy), ("Dense", heavy), shape=[None, 5])
    with pytest.warns(UserWarning, match="tinycnn has no kernel_regularizer: further training") as caught:
        keras_config.to_model(model_config)
    assert len(caught) == 1


def training_of(model):
    return conversion.take(model).training


def settings_of(training):
    """All that a training says, with the defaults that are not written filled in."""
    optimizer = optimizers.get(training["optimizer"]["name"], **training["optimizer"]["config"])
    return {**training, "optimizer": (type(optimizer), optimizer.get_config())}


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer_comes_back(name):
    """With all its arguments; Keras has no None for them."""
    training = training_of(
        conv_and_dense(optimizer=optimizers.get(name, learning_rate=0.03, global_clipnorm=0.5))
    )
    keras = keras_training.from_training(training)
    assert keras["optimizer_config"]["config"]["global_clipnorm"] == 0.5
    assert settings_of(
        keras_training.to_training(via_json(keras), {"loss": training["loss"]})
    ) == settings_of(training)
    plain = keras_training.from_training(training_of(conv_and_dense(optimizer=name)))
    assert None not in plain["optimizer_config"]["config"].values()


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_comes_back(name):
    """The sparse one without the smoothing, which Keras' has not."""
    training = training_of(conv_and_dense(loss=name, metrics=["accuracy"]))
    keras = keras_training.from_training(training)
    assert ("label_smoothing" in keras["loss"]["config"]) == (
        name in ("binary_crossentropy", "categorical_crossentropy")
    )
    back = keras_training.to_training(via_json(keras), {"loss": training["loss"]})
    assert settings_of(back) == settings_of(training)
    own = losses.get(name, **keras_training.to_training(via_json(keras))["loss"]["config"])
    assert own.get_config() == training["loss"]["config"]


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_every_metric_comes_back(loss):
    """Beside every loss; a function is left out, since it is only a name in a file."""
    names = ["acc", "accuracy", "binary_accuracy", "top_k_categorical_accuracy", "mse", *losses.LOSSES]
    training = {**training_of(conv_and_dense(loss=loss)), "metrics": [*names, "largest_error"]}
    keras = via_json(keras_training.from_training(training))
    assert keras_training.to_training(keras)["metrics"] == names
    classes = {m["config"]["name"]: m["class_name"] for m in keras["metrics"] if isinstance(m, dict)}
    sparse = "Sparse" if loss.startswith("sparse") else ""
    assert classes["top_k_categorical_accuracy"] == f"{sparse}TopKCategoricalAccuracy"
    assert classes["binary_accuracy"] == "BinaryAccuracy"
    assert classes["mse"] == "MeanSquaredError"
    expected = None if loss == "binary_crossentropy" else f"{sparse}CategoricalAccuracy"
    assert classes.get("acc") == classes.get("accuracy") == expected


@pytest.mark.parametrize("schedule", [CosineDecay(0.1, 6, 0.0, 0.7, 4), ExponentialDecay(0.4, 3, 0.5, True)])
def test_schedules_that_keras_has(schedule):
    """In its words, and back."""
    config = {"learning_rate": schedules.to_config(schedule), "weight_decay": 0.5}
    training = {"optimizer": {"name": "adam", "config": config}, "metrics": [], "iterations": 7}
    keras = keras_training.from_training({**training, "loss": {"name": "mean_squared_error", "config": {}}})
    assert keras["optimizer_config"]["config"]["learning_rate"]["module"] == "keras.optimizers.schedules"
    assert keras_training.to_training(via_json(keras))["optimizer"]["config"] == via_json(config)


def test_what_keras_has_no_schedule_for():
    """The rate of the next step, and no decay; the whole is in our own words."""
    rules = {"*/kernel": 0.5}
    config = {"learning_rate": schedules.to_config(OneCycle(0.3, 12)), "weight_decay": rules}
    training = {"optimizer": {"name": "adamw", "config": config}, "metrics": [], "iterations": 5}
    training["loss"] = {"name": "mean_squared_error", "config": {}}
    keras = keras_training.from_training(training)
    assert keras["optimizer_config"]["config"] == {"learning_rate": OneCycle(0.3, 12)(5), "weight_decay": 0.0}
    assert keras_training.to_training(keras, training)["optimizer"] == training["optimizer"]


def keras_training_config(optimizer=None, loss="mse", **more):
    """A training_config of Keras 2, with some of it changed."""
    config = {"learning_rate": 0.002, "beta_1": 0.8, "clipnorm": None, "weight_decay": None, "use_ema": False}
    return {
        "loss": loss,
        "metrics": None,
        "optimizer_config": {"class_name": "Custom>Adam", "config": {**config, **(optimizer or {})}},
        **more,
    }


def test_an_optimizer_of_keras_2():
    """Registered under another name, and with many arguments that are off."""
    training = keras_training.to_training(keras_training_config())
    assert training["optimizer"] == {"name": "adam", "config": {"learning_rate": 0.002, "beta_1": 0.8}}
    assert training["iterations"] == 0


@pytest.mark.parametrize(
    ("keras", "name", "config"),
    [
        ("mse", "mean_squared_error", {}),
        ("categorical_crossentropy", "categorical_crossentropy", {}),
        (
            {
                "module": "keras.losses",
                "class_name": "SparseCategoricalCrossentropy",
                "config": {"reduction": "sum_over_batch_size", "from_logits": True, "ignore_class": None},
            },
            "sparse_categorical_crossentropy",
            {"from_logits": True},
        ),
        (
            {"class_name": "CategoricalCrossentropy", "config": {"label_smoothing": 0.1, "axis": -1}},
            "categorical_crossentropy",
            {"label_smoothing": 0.1},
        ),
    ],
)
def test_losses_of_keras(keras, name, config):
    """By name and as objects."""
    training = keras_training.to_training(keras_training_config(loss=keras))
    assert training["loss"] == {"name": name, "config": config}


@pytest.mark.parametrize(
    ("keras", "expected"),
    [
        (None, []),
        (["accuracy"], ["accuracy"]),
        (["acc"], ["acc"]),
        ([["sparse_categorical_accuracy"], "auc"], ["accuracy"]),
        ([[{"class_name": "MeanMetricWrapper", "config": {"name": "accuracy"}}]], ["accuracy"]),
        (["sparse_top_k_categorical_accuracy", "acc"], ["top_k_categorical_accuracy", "acc"]),
        ([None, {"class_name": "X"}, {"config": 5}, 7], []),
        ({"output": ["accuracy"]}, []),
    ],
)
def test_metrics_of_keras(keras, expected):
    """In all the shapes that Keras has given the list; what is unknown only reported."""
    assert keras_training.to_training(keras_training_config(metrics=keras))["metrics"] == expected


@pytest.mark.parametrize(
    ("training_config", "message"),
    [
        (keras_training_config({"clipnorm": 1.0}), "clipnorm 1.0"),
        (keras_training_config({"clipvalue": 1.0}), "clipvalue"),
        (keras_training_config({"decay": 0.1}), "decay 0.1"),
        (keras_training_config({"use_ema": True}), "use_ema True"),
        (keras_training_config({"gradient_accumulation_steps": 2}), "gradient_accumulation_steps 2"),
        (keras_training_config({"loss_scale_factor": 8.0}), "loss_scale_factor"),
        (keras_training_config({"learning_rate": {"class_name": "CosineDecay"}}), "learning rate"),
        (keras_training_config({"learning_rate": {"class_name": "PolynomialDecay", "config": {}}}), "Polyn"),
        (keras_training_config(optimizer_config={"class_name": "Lion", "config": {}}), "optimizer 'Lion'"),
        (keras_training_config(optimizer_config={"class_name": 5, "config": {}}), "optimizer"),
        (keras_training_config(optimizer_config={"class_name": "Adam"}), "optimizer"),
        (keras_training_config(optimizer_config=None), "optimizer None"),
        (keras_training_config(loss="hinge"), "loss 'hinge'"),
        (keras_training_config(loss=["mse", "mse"]), "loss"),
        (keras_training_config(loss=None), "loss None"),
        (
            keras_training_config(
                loss={"class_name": "SparseCategoricalCrossentropy", "config": {"ignore_class": 3}}
            ),
            "ignore_class 3",
        ),
        (
            keras_training_config(loss={"class_name": "MeanSquaredError", "config": {"reduction": "sum"}}),
            "reduction 'sum'",
        ),
        ({}, "optimizer None"),
    ],
)
def test_training_without_an_equal_warns(training_config, message):
    """The model is not compiled rather than compiled otherwise."""
    with pytest.warns(UserWarning, match=f"not compiled.*{message}"):
        assert keras_training.to_training(training_config) is None


def test_nothing_given_is_changed():
    """Translation makes new dictionaries."""
    model_config = keras_model(("Conv2D", {"filters": 5}), ("Flatten", {}), ("Dense", {"units": 3}))
    training_config = keras_training_config(metrics=[["accuracy"]])
    before = copy.deepcopy((model_config, training_config))
    keras_config.to_model(model_config)
    keras_training.to_training(training_config)
    assert (model_config, training_config) == before
    model = Sequential([Flatten(), Dense(3)], input_shape=(2, 3, 1))
    config = model.get_config()
    before = copy.deepcopy(config)
    keras_config.from_model(config)
    assert config == before
