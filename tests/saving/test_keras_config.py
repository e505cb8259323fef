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

TOP_K = "top_k_categorical_accuracy"
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


def variance_scaling(scale, mode, distribution):
    config = {"scale": scale, "mode": mode, "distribution": distribution, "seed": None}
    return {"class_name": "VarianceScaling", "config": config}


def via_json(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_comes_back(dtype):
    """All arguments but those that Keras has no word for, which `own_words` keeps."""
    model = every_layer(dtype)
    model["means"].trainable = False
    snapshot = conversion.take(model)
    own = via_json(keras_config.own_words(snapshot))
    config = keras_config.to_model(via_json(keras_config.from_model(snapshot.config)), own)
    assert config["seed"] is None
    assert "algorithm" not in config["layers"][0]["config"]
    progress = keras_config.adopt_own_words(config, own)
    assert Sequential.from_config(config).get_config() == model.get_config()
    assert progress == snapshot.progress


def test_explicit_padding_is_a_layer_in_keras():
    """ZeroPadding2D before a valid convolution, and one layer again when our own words say so."""
    model = Sequential([Conv2D(5, 3, padding=((1, 2), (0, 3)), name="c")], input_shape=(7, 6, 2))
    entries = keras_config.from_model(model.get_config())["config"]["layers"]
    assert [entry["class_name"] for entry in entries] == ["InputLayer", "ZeroPadding2D", "Conv2D"]
    assert entries[1]["config"]["padding"] == ((1, 2), (0, 3))
    assert entries[2]["config"]["padding"] == "valid"
    model_config = via_json(keras_config.from_model(model.get_config()))
    for own in ({"padded": ["c"]}, {"seed": 3}):  # of today, and of an older tinycnn
        (layer,) = keras_config.to_model(model_config, own)["layers"]
        assert layer["config"]["padding"] == [[1, 2], [0, 3]]
    for own in (None, {}, {"padded": []}, {"padded": ["dense"]}):
        layers = keras_config.to_model(model_config, own)["layers"]
        assert [layer["class_name"] for layer in layers] == ["ZeroPadding2D", "Conv2D"]
        assert [layer["config"]["padding"] for layer in layers] == [[[1, 2], [0, 3]], "valid"]


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
        ("ReLU", {"max_value": 6.0, "negative_slope": 0.1}, {"max_value": 6.0, "negative_slope": 0.1}),
        ("Softmax", {"axis": 2}, {"axis": 2}),
        ("ZeroPadding2D", {"padding": [[1, 0], [2, 3]]}, {"padding": [[1, 0], [2, 3]]}),
        ("GlobalMaxPooling2D", {"keepdims": False, "data_format": "channels_last"}, {}),
        (
            "UpSampling2D",
            {"size": [2, 3], "interpolation": "bilinear"},
            {"size": [2, 3], "interpolation": "bilinear"},
        ),
        ("Reshape", {"target_shape": [4, -1]}, {"target_shape": [4, -1]}),
        ("GaussianNoise", {"stddev": 0.25, "seed": 3}, {"stddev": 0.25, "seed": 3}),
        (
            "DepthwiseConv2D",
            {"kernel_size": 2, "depth_multiplier": 3, "depthwise_initializer": "HeNormal", "groups": 1},
            {"kernel_size": 2, "depth_multiplier": 3, "depthwise_initializer": "he_normal"},
        ),
        (
            "SeparableConv2D",
            {"filters": 5, "kernel_size": 2, "pointwise_initializer": "one", "activation": "linear"},
            {"filters": 5, "kernel_size": 2, "pointwise_initializer": "ones", "activation": None},
        ),
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
        ("one", {"kernel_initializer": "ones"}),
        (variance_scaling(1.0, "fan_avg", "uniform"), {"kernel_initializer": "glorot_uniform"}),
        (variance_scaling(1.0, "fan_avg", "truncated_normal"), {"kernel_initializer": "glorot_normal"}),
        (variance_scaling(2.0, "fan_in", "uniform"), {"kernel_initializer": "he_uniform"}),
        (variance_scaling(2.0, "fan_in", "normal"), {"kernel_initializer": "he_normal"}),
        (None, {}),
    ],
)
def test_initializers(keras, expected):
    """By name, as objects, and by the settings that Keras 2 wrote for them."""
    (layer,) = to_layers(("Dense", {"units": 4, "kernel_initializer": keras}), shape=[None, 5])
    assert layer["config"] == {"name": "dense", "units": 4, **expected}


@pytest.mark.parametrize(
    "keras",
    [
        {"class_name": "Orthogonal", "config": {}},
        {"class_name": ["HeNormal"]},
        "lecun_uniform",
        variance_scaling(1.0, "fan_in", "uniform"),
        variance_scaling([1.0], ["fan_avg"], None),
    ],
)
def test_initializers_that_tinycnn_has_not(keras):
    """They do not matter to a model that is read, since the weights are in the file. A warning names them."""
    with pytest.warns(UserWarning, match="leaves out layer 'dense': kernel_initializer .*"):
        (layer,) = to_layers(("Dense", {"units": 4, "kernel_initializer": keras}), shape=[None, 5])
    assert layer["config"] == {"name": "dense", "units": 4}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([("Lambda", {"function": ["4wEAAAA=", None, None]})], "layer 'lambda': expected one of .* 'Lambda'"),
        ([("Sequential", {"layers": []})], "layer 'sequential': expected one of .* received 'Sequential'"),
        ([("Custom>Conv2D", {"filters": 5})], "expected one of"),
        ([("Conv2D", {"data_format": "channels_first"})], "data_format: expected 'channels_last', received"),
        ([("Convolution2D", {"dim_ordering": "th"})], "data_format: expected 'channels_last', received 'cha"),
        ([("MaxPooling2D", {"dim_ordering": "th"})], "layer 'maxpooling2d': data_format: expected"),
        ([("Conv2D", {"nb_filter": 3, "filters": 4})], "expected one filters, received 3 and 4"),
        ([("BatchNormalization", {"mode": 2})], "mode: expected 0, received 2"),
        ([("Dense", {"units": 3, "dtype": "int8_from_float32"})], "dtype: expected one of .*'int8_from"),
        ([("Dense", {"units": 3, "lora_rank": 4})], "lora_rank: expected None, received 4"),
        ([("Conv2D", {"groups": 2})], "layer 'conv2d': groups: expected 1, received 2"),
        ([("Conv2D", {"activation": "gelu"})], "layer 'conv2d': activation: .*received 'gelu'"),
        ([("Dense", {"activation": {"class_name": "function", "config": "f"}})], "activation: expected one"),
        ([("GlobalAveragePooling2D", {"keepdims": True})], "keepdims: expected False, received True"),
        ([("Dropout", {"noise_shape": [None, 1, 1, 2]})], "noise_shape: expected None"),
        ([("BatchNormalization", {"renorm": True})], "renorm: expected False"),
        ([("BatchNormalization", {"axis": 1})], "axis: expected the last, received 1"),
        ([("BatchNormalization", {"axis": [2]})], r"axis: expected the last, received \[2\]"),
        ([("Flatten", {}), ("BatchNormalization", {"axis": 3})], "axis: expected the last, received 3"),
        ([("UpSampling2D", {"interpolation": "bicubic"})], "interpolation: expected one of 'bilinear'"),
        ([("GlobalMaxPooling2D", {"keepdims": True})], "keepdims: expected False, received True"),
        ([("SeparableConv2D", {"activation": "gelu"})], "'separableconv2d': activation: .*received 'gelu'"),
        ([("Reshape", {"target_shape": [6, -1]}), ("BatchNormalization", {"axis": 3})], "axis: expected the"),
        ([("ThresholdedReLU", {"theta": 1.0})], "layer 'thresholdedrelu': expected one of"),
    ],
)
def test_what_tinycnn_has_not_is_refused(layers, message):
    """With the layer's name, what was expected and what is there."""
    with pytest.raises(ValueError, match=message):
        to_layers(*layers)


def test_layers_of_keras_1():
    """By the names of today."""
    first = {"nb_filter": 5, "nb_row": 3, "nb_col": 2, "border_mode": "same", "subsample": [1, 2]}
    first |= {"init": "he_normal", "bias": False, "dim_ordering": "tf", "activation": "relu"}
    first |= {"W_regularizer": None, "b_regularizer": None, "W_constraint": None, "b_constraint": None}
    layers = [
        ("Convolution2D", {**first, "batch_input_shape": SHAPE, "input_dtype": "float64"}),
        (
            "AtrousConvolution2D",
            {"nb_filter": 4, "nb_row": 2, "nb_col": 2, "atrous_rate": [2, 1], "bias": True},
        ),
        ("ZeroPadding2D", {"padding": [1, 2], "dim_ordering": "tf"}),
        ("Convolution2D", {"nb_filter": 3, "nb_row": 1, "nb_col": 2, "border_mode": "valid"}),
        (
            "BatchNormalization",
            {"mode": 0, "axis": -1, "epsilon": 1e-3, "momentum": 0.9, "beta_init": "zero"},
        ),
        ("MaxPooling2D", {"pool_size": [2, 2], "border_mode": "valid", "strides": None}),
        ("Dropout", {"p": 0.25}),
        ("Flatten", {}),
        ("Dense", {"output_dim": 6, "init": "zero", "activation": "softmax", "input_dim": None}),
    ]
    entries = [{"class_name": kind, "config": {"name": str(i), **c}} for i, (kind, c) in enumerate(layers)]
    config = keras_config.to_model({"class_name": "Sequential", "config": entries})
    assert (config["input_shape"], config["dtype"]) == ([12, 11, 2], "float64")
    received = [{"kind": x["class_name"], **x["config"]} for x in config["layers"]]
    conv, atrous, zeros, padded, norm, pool, dropout, _, dense = received
    settings = {"strides": [1, 2], "kernel_initializer": "he_normal", "use_bias": False}
    assert conv == {
        "kind": "Conv2D",
        "name": "0",
        "filters": 5,
        "kernel_size": [3, 2],
        "padding": "same",
        "activation": "relu",
        **settings,
    }
    assert (atrous["kind"], atrous["dilation_rate"], atrous["use_bias"]) == ("Conv2D", [2, 1], True)
    assert (zeros["padding"], padded["padding"], padded["kernel_size"]) == ([1, 2], "valid", [1, 2])
    assert norm == {"kind": "BatchNormalization", "name": "4", "momentum": 0.9, "epsilon": 1e-3}
    assert (pool["pool_size"], pool["padding"]) == ([2, 2], "valid")
    assert (dropout["rate"], dense["units"], dense["kernel_initializer"]) == (0.25, 6, "zeros")


@pytest.mark.parametrize("kind", ["BatchNormalizationV1", "BatchNormalizationV2"])
def test_names_that_tensorflow_had(kind):
    """For the same layer."""
    assert to_layers((kind, {"axis": [3]}))[0]["class_name"] == "BatchNormalization"


@pytest.mark.parametrize(
    "padding", [[1, 2, 3, 4], {"top_pad": 1, "bottom_pad": 2, "left_pad": 3, "right_pad": 4}]
)
def test_padding_of_keras_1(padding):
    """Side by side."""
    (layer,) = to_layers(("ZeroPadding2D", {"padding": padding}))
    assert layer["config"]["padding"] == [[1, 2], [3, 4]]


def nested(config):
    return {"class_name": "Sequential", "config": config}


DENSE = {"class_name": "Dense", "config": {"name": "d", "units": 3, "batch_input_shape": [None, 5]}}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([nested([DENSE]), DENSE], "layer 1: expected one of .* received 'Sequential'"),
        ([DENSE, nested([DENSE])], "layer 2: expected one of .* received 'Sequential'"),
        ([nested({"name": "inner", "layers": [DENSE]})], "layer 'inner': expected one of .*'Sequential'"),
        ([{"class_name": "Merge", "config": {"layers": []}}], "layer 1: expected one of .* received 'Merge'"),
        ([{"class_name": "TimeDistributed", "config": {"name": "t", "layer": DENSE}}], "'TimeDistributed'"),
        (
            [{"class_name": "Dense", "config": None}],
            "layer 1: expected a dictionary of arguments, received No",
        ),
        ([{"class_name": "Dense", "config": [3]}], r"expected a dictionary of arguments, received \[3\]"),
        ([{"class_name": "Dense"}], "layer 1: expected a dictionary of arguments"),
        ([{"config": {"name": "d"}}], "layer 'd': expected an entry with a class_name"),
        ([{"class_name": ["Dense"], "config": {}}], "expected an entry with a class_name"),
        (["Dense"], "layer 1: expected an entry with a class_name, received 'Dense'"),
        ([DENSE, None], "layer 2: expected an entry with a class_name, received None"),
        ({}, "model: expected a list of layers"),
        (None, "model: expected a list of layers"),
        ([], "input shape: expected fixed sizes"),
    ],
)
def test_entries_that_are_no_layers(entries, message):
    """Whatever stands where a layer is expected, it is refused by its name or its place."""
    with pytest.raises(ValueError, match=message):
        keras_config.to_model({"class_name": "Sequential", "config": entries})


def test_an_input_layer_in_the_middle():
    """It would begin another model."""
    with pytest.raises(
        ValueError, match="layer 'inputlayer': expected an InputLayer as the first entry only"
    ):
        to_layers(("Flatten", {}), ("InputLayer", {"batch_shape": SHAPE}))


def test_a_model_that_is_frozen_as_a_whole():
    """Keras 3 writes this for the model too."""
    model_config = keras_model(("Flatten", {}), ("Dense", {"units": 3, "trainable": True}), trainable=False)
    assert [x["trainable"] for x in keras_config.to_model(model_config)["layers"]] == [False, False]


def test_arguments_that_are_unknown():
    """Off they may be anything. On, a warning has the name and the value; it cannot be known what they do."""
    assert to_layers(("Flatten", {"new": None, "newer": False, "list": []}))
    with pytest.warns(UserWarning, match="leaves out layer 'flatten': new 0.5; model: wider True"):
        to_layers(("Flatten", {"new": 0.5}), wider=True)


@pytest.mark.parametrize("axis", [-1, [-1], 3, [3]])
def test_the_last_axis_of_images(axis):
    """By any of its names."""
    assert to_layers(("BatchNormalization", {"axis": axis}))


def test_the_last_axis_of_vectors():
    """After a Flatten, and from the start."""
    assert to_layers(("Flatten", {}), ("BatchNormalization", {"axis": [1]}))
    assert to_layers(("BatchNormalization", {"axis": 1}), shape=[None, 5])


@pytest.mark.parametrize("kind", ["MyModel", "Custom>Functional", "Lambda", None, ["Functional"]])
def test_other_models_are_refused(kind):
    """A subclass may compute anything; `test_keras_graph.py` has functional models."""
    with pytest.raises(
        ValueError, match="model: expected a Sequential or a Functional of one chain, receive"
    ):
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
        (POLICY, "float32"),
        ({**POLICY, "config": {"name": "float64"}}, "float64"),
        ("_infer", "float32"),
        (None, "float32"),
    ],
)
def test_dtypes_and_policies(dtype, expected):
    """By name, and as Keras 3 writes them."""
    model_config = keras_model(("Flatten", {"dtype": dtype}))
    assert keras_config.to_model(model_config)["dtype"] == expected


@pytest.mark.parametrize("dtype", ["mixed_float16", {**POLICY, "config": {"name": "bfloat16"}}, "float64"])
def test_dtypes_that_not_all_layers_have(dtype):
    """16 bits, and a part in float64, are computed in 32 bits. A warning says so."""
    name = dtype if isinstance(dtype, str) else "bfloat16"
    model_config = keras_model(("Flatten", {"dtype": dtype}), ("Dense", {"units": 3, "dtype": "float32"}))
    with pytest.warns(UserWarning, match=f"leaves out dtype {name}, computed in float32"):
        assert keras_config.to_model(model_config)["dtype"] == "float32"


def test_a_dtype_that_only_the_first_layer_has():
    """As in Keras up to 2.2; the others have the same."""
    model_config = keras_model(("Flatten", {"dtype": "float64"}), ("Dense", {"units": 3}))
    assert keras_config.to_model(model_config)["dtype"] == "float64"


def test_a_dtype_of_the_input():
    """Keras converts integers; tinycnn expects floats."""
    model_config = keras_model(("Flatten", {}))
    model_config["config"]["layers"][0]["config"]["dtype"] = "uint8"
    with pytest.warns(UserWarning, match="dtype uint8, computed in float32"):
        keras_config.to_model(model_config)


def test_constraints_and_unknown_regularizers_warn_once():
    """However many layers have them."""
    heavy = {"units": 4, "kernel_regularizer": {"class_name": "OrthogonalRegularizer"}}
    heavy |= {"bias_regularizer": None, "activity_regularizer": {"class_name": "L1", "config": {"l1": 0.5}}}
    model_config = keras_model(("Dense", heavy), ("Dense", heavy), shape=[None, 5])
    message = "no such activity_regularizer, kernel_regularizer: further training .*layer 'dense': .*'L1'"
    with pytest.warns(UserWarning, match=message) as caught:
        keras_config.to_model(model_config)
    assert len(caught) == 1


L1 = {"class_name": "L1", "config": {"l1": 0.25}}
L2 = {"class_name": "L2", "config": {"l2": 0.01}}
L1L2 = {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}}


@pytest.mark.parametrize(
    ("keras", "expected"),
    [
        (L1, L1),
        (L2, L2),
        ({"module": "keras.regularizers", "registered_name": None, **L2}, L2),
        ({"class_name": "L2", "config": {}}, L2),
        ({"class_name": "L2", "config": {"l2": None}}, L2),
        ({"class_name": "L1L2", "config": {"l2": 0.5}}, L1L2),
        ({"class_name": "l1_l2", "config": {"l1": 0, "l2": 0.5}}, L1L2),
        ("l2", L2),
        ("L2", L2),
        ("l1_l2", {"class_name": "L1L2", "config": {"l1": 0.01, "l2": 0.01}}),
        ({"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.5}, L1L2),
        ({"name": "WeightRegularizer", "l1": 0, "l2": 0.5}, L1L2),
    ],
)
@pytest.mark.parametrize(
    ("kind", "size"), [("Dense", {"units": 4}), ("Conv2D", {"filters": 4, "kernel_size": 2})]
)
def test_regularizers_of_each_keras(kind, size, keras, expected):
    """For kernel and bias, each its own."""
    (layer,) = to_layers((kind, {**size, "kernel_regularizer": keras, "bias_regularizer": L1}))
    assert layer["config"]["kernel_regularizer"] == expected
    assert layer["config"]["bias_regularizer"] == L1
    (layer,) = to_layers((kind, {**size, "bias_regularizer": keras}))
    assert layer["config"]["bias_regularizer"] == expected
    assert "kernel_regularizer" not in layer["config"]


def test_regularizers_of_keras_1():
    """By their old names."""
    old = {"nb_filter": 5, "nb_row": 3, "nb_col": 2, "W_regularizer": {"name": "L1L2Regularizer", "l1": 0.25}}
    (layer,) = to_layers(
        ("Convolution2D", {**old, "b_regularizer": {"name": "WeightRegularizer", "l2": 0.5}})
    )
    assert layer["config"]["kernel_regularizer"]["config"] == {"l1": 0.25, "l2": 0.0}
    assert layer["config"]["bias_regularizer"] == L1L2


@pytest.mark.parametrize(
    ("keras", "message"),
    [
        ({"class_name": "L2"}, "'d': bias_regularizer: expected L2 of l2, received None"),
        ({"class_name": "L2", "config": {"l1": 0.1}}, "expected L2 of l2, received {'l1': 0.1}"),
        ({"class_name": "L1L2", "config": {"l2": -0.1}}, "bias_regularizer: l2: expected a number in"),
        ({"class_name": "L1", "config": {"l1": "0.1"}}, "bias_regularizer: l1: expected a number"),
        ({"class_name": "L1", "config": {"l1": float("nan")}}, "l1: expected a number"),
        ({"class_name": "L1", "config": {"l1": float("inf")}}, "l1: expected a number"),
        ({"class_name": "L1", "config": [0.1]}, "expected L1 of l1, received"),
        ({"name": "WeightRegularizer", "l3": 1}, "expected L1L2 of l1, l2, received {'l3': 1}"),
    ],
)
def test_regularizers_that_are_refused(keras, message):
    """With the layer's name and the argument's."""
    with pytest.raises(ValueError, match=message):
        to_layers(("Dense", {"name": "d", "units": 4, "bias_regularizer": keras}))


@pytest.mark.parametrize(
    "odd", [{"class_name": ["L2"]}, {"class_name": None}, {"name": {}}, 5, ["l2"], "l3", {"l2": 1}]
)
def test_what_is_no_regularizer_is_left_out_with_a_warning(odd):
    with pytest.warns(UserWarning, match="no such kernel_regularizer"):
        (layer,) = to_layers(("Dense", {"units": 4, "kernel_regularizer": odd}))
    assert "kernel_regularizer" not in layer["config"]


def training_of(model):
    return conversion.take(model).training


def settings_of(training):
    """All that is said of training, with the defaults that are not written filled in."""
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


def metric(class_name, **config):
    return {"class_name": class_name, "config": {"dtype": "float32", **config}}


def keras_training_config(optimizer=None, loss="mse", **more):
    """A training_config of Keras 2, with some of it changed."""
    config = {"learning_rate": 0.002, "beta_1": 0.8, "clipnorm": None, "weight_decay": None, "use_ema": False}
    return {
        "loss": loss,
        "metrics": None,
        "optimizer_config": {"class_name": "Custom>Adam", "config": {**config, **(optimizer or {})}},
        **more,
    }


@pytest.mark.parametrize(
    ("name", "keras", "expected"),
    [
        ("SGD", {"momentum": 0.0, "nesterov": False}, {"momentum": 0.0, "nesterov": False}),
        ("RMSprop", {"rho": 0.8, "epsilon": 1e-8}, {"rho": 0.8, "epsilon": 1e-8}),
        ("Adadelta", {"rho": 0.9, "epsilon": None}, {"rho": 0.9}),
        ("Adam", {"beta_2": 0.99, "epsilon": None, "amsgrad": False}, {"beta_2": 0.99, "amsgrad": False}),
    ],
)
def test_optimizers_of_keras_before_2_3(name, keras, expected):
    """The rate is `lr`; no decay; None for Keras' own epsilon."""
    config = {"class_name": name, "config": {"lr": 0.5, "decay": 0.0, **keras}}
    training = keras_training.to_training(keras_training_config(optimizer_config=config))
    assert training["optimizer"] == {"name": name.lower(), "config": {"learning_rate": 0.5, **expected}}


@pytest.mark.parametrize("optimizer", ["adadelta", {"class_name": "Adadelta", "config": {"rho": 0.9}}])
def test_an_optimizer_without_a_rate(optimizer):
    """Defaults have changed: Adadelta's was 1 in Keras 2."""
    with pytest.warns(UserWarning, match="no learning rate, so the default of [aA]dadelta is used"):
        training = keras_training.to_training(keras_training_config(optimizer_config=optimizer))
    assert "learning_rate" not in training["optimizer"]["config"]


def test_no_decay_of_adamw():
    """None is not the default, which decays."""
    config = {"class_name": "AdamW", "config": {"learning_rate": 0.5, "weight_decay": None}}
    training = keras_training.to_training(keras_training_config(optimizer_config=config))
    assert optimizers.get("adamw", **training["optimizer"]["config"]).weight_decay is None


def test_counts_of_steps_that_are_floats():
    """Keras takes them."""
    rate = {"class_name": "ExponentialDecay", "config": {"initial_learning_rate": 0.5, "decay_rate": 0.5}}
    rate["config"] |= {"decay_steps": 1e4, "name": None}
    training = keras_training.to_training(keras_training_config({"learning_rate": rate}))
    assert optimizers.get("adam", **training["optimizer"]["config"]).learning_rate(20_000) == 0.125
    steps = {"class_name": "PiecewiseConstantDecay", "config": {"boundaries": [3.0], "values": [0.5, 0.25]}}
    training = keras_training.to_training(keras_training_config({"learning_rate": steps}))
    assert optimizers.get("adam", **training["optimizer"]["config"]).learning_rate(4) == 0.25


def test_own_settings_count_until_the_training_is_changed():
    """Another library may have written other settings beside them."""
    rate = schedules.to_config(OneCycle(0.3, 12))
    loss = {
        "name": "sparse_categorical_crossentropy",
        "config": {"from_logits": True, "label_smoothing": 0.1},
    }
    own = {"optimizer": {"name": "sgd", "config": {"learning_rate": rate}}, "loss": loss, "iterations": 5}
    keras = via_json(keras_training.from_training({**own, "metrics": []}))
    assert keras_training.to_training(keras, own)["optimizer"] == own["optimizer"]
    keras["optimizer_config"] = {"class_name": "SGD", "config": {"lr": 0.5}}
    assert keras_training.to_training(keras, own)["optimizer"]["config"] == {"learning_rate": 0.5}
    assert keras_training.to_training(keras, own)["loss"] == loss
    keras["loss"]["config"]["from_logits"] = False
    assert keras_training.to_training(keras, own)["loss"]["config"] == {"from_logits": False}


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
        ([["sparse_categorical_accuracy"]], ["accuracy"]),
        ([[{"class_name": "MeanMetricWrapper", "config": {"name": "accuracy"}}]], ["accuracy"]),
        (["sparse_top_k_categorical_accuracy", "acc"], ["top_k_categorical_accuracy", "acc"]),
        ({"output": ["accuracy"]}, ["accuracy"]),
        ({"output": "acc"}, ["acc"]),
        ([metric("SparseCategoricalAccuracy", name="acc"), None], ["acc"]),
        ([metric("TopKCategoricalAccuracy", name="top_k_categorical_accuracy", k=5)], [TOP_K]),
        ([metric("MeanMetricWrapper", name="acc", fn="sparse_categorical_accuracy")], ["acc"]),
    ],
)
def test_metrics_of_keras(keras, expected):
    """In all the shapes that Keras has given the list."""
    assert keras_training.to_training(keras_training_config(metrics=keras))["metrics"] == expected


@pytest.mark.parametrize(
    ("keras", "expected", "message"),
    [
        ([["accuracy"], "auc"], ["accuracy"], "the metric 'auc' is left out"),
        ([metric("AUC", name="accuracy")], [], "the metric .*'AUC'.* is left out"),
        ([metric("evil>SparseCategoricalAccuracy", name="acc")], [], "evil.* is left out"),
        (
            [metric("TopKCategoricalAccuracy", name="top_k_categorical_accuracy", k=3)],
            [],
            "'k': 3.* left out",
        ),
        ([metric("MeanMetricWrapper", name="acc", fn="cosine_similarity")], [], "cosine.* is left out"),
        ([metric("CategoricalAccuracy", name="share")], ["accuracy"], "'share' is named 'accuracy'"),
        ([{"class_name": "X"}, {"class_name": "Y", "config": 5}, 7], [], "'X'.*'Y'.*metric 7 is left out"),
    ],
)
def test_metrics_that_tinycnn_has_not(keras, expected, message):
    """They only report, so the rest of the training is read."""
    with pytest.warns(UserWarning, match=message):
        training = keras_training.to_training(keras_training_config(metrics=keras))
    assert training["metrics"] == expected


@pytest.mark.parametrize(
    "loss", [["mse"], {"dense": "mse"}, "MSE", [{"class_name": "MeanSquaredError", "config": {}}]]
)
def test_the_loss_of_the_only_output(loss):
    """In a list or under a name."""
    assert (
        keras_training.to_training(keras_training_config(loss=loss))["loss"]["name"] == "mean_squared_error"
    )


@pytest.mark.parametrize("weights", [None, [], {}, [1.0], {"dense": 1}])
def test_weights_of_losses_that_are_off(weights):
    """There is only one loss."""
    more = {"loss_weights": weights, "sample_weight_mode": None, "jit_compile": True, "run_eagerly": True}
    assert keras_training.to_training(keras_training_config(**more))


def test_weighted_metrics():
    """They only report as well."""
    with pytest.warns(UserWarning, match="the weighted metric 'acc' is left out"):
        assert keras_training.to_training(keras_training_config(weighted_metrics=["acc"]))["metrics"] == []


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
        (
            keras_training_config(loss={"class_name": "MeanSquaredError", "config": {"reduction": None}}),
            "reduction None",
        ),
        (keras_training_config(loss={"class_name": "MeanSquaredError", "config": {"fn": "f"}}), "fn 'f'"),
        (keras_training_config(loss_weights=[0.5]), "loss_weights 0.5"),
        (keras_training_config(loss_weights={"dense": 2.0}), "loss_weights 2.0"),
        (keras_training_config(sample_weight_mode="temporal"), "sample_weight_mode 'temporal'"),
        (keras_training_config(loss={"a": "mse", "b": "mse"}), "loss {'a'"),
        (keras_training_config(brand_new=7), "brand_new 7"),
        (keras_training_config({"schedule_decay": 0.004}), "schedule_decay 0.004"),
        (keras_training_config({"lr": 0.5}), "expected one learning_rate, received 0.002 and 0.5"),
        (keras_training_config({"learning_rate": "0.5"}), "learning_rate: expected a number"),
        (keras_training_config({"beta_1": 1.0}), "beta_1: expected a number"),
        (keras_training_config(optimizer_config={"class_name": "Mine>Adam", "config": {}}), "Mine>Adam"),
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


NUMPY = {"class_name": "__numpy__", "config": {"value": 0.125, "dtype": "float32"}}


@pytest.mark.parametrize(
    ("keras", "slope"),
    [
        ({}, 0.3),
        ({"alpha": 0.125}, 0.125),
        ({"negative_slope": 0.25}, 0.25),
        ({"alpha": {"type": "ndarray", "value": 0.125}}, 0.125),
        ({"alpha": NUMPY}, 0.125),
    ],
)
def test_leaky_relu_is_a_relu_with_a_slope(keras, slope):
    """Of Keras 3, of Keras 2 and 1, and with the number as an array of NumPy."""
    (layer,) = to_layers(("LeakyReLU", keras))
    assert (layer["class_name"], layer["config"]) == (
        "ReLU",
        {"name": "leakyrelu", "negative_slope": slope},
    )


def test_arguments_that_are_tuples_in_keras_3():
    shape = {"class_name": "__tuple__", "items": [2, -1]}
    assert to_layers(("Reshape", {"target_shape": shape}))[0]["config"]["target_shape"] == [2, -1]


CHANNELS = ["AveragePooling2D", "BatchNormalization", "Conv2D", "DepthwiseConv2D", "Flatten", "MaxPooling2D"]
CHANNELS += ["GlobalAveragePooling2D", "GlobalMaxPooling2D", "Reshape", "SeparableConv2D", "UpSampling2D"]


@pytest.mark.parametrize("keras", [{"data_format": "channels_first"}, {"dim_ordering": "th"}])
@pytest.mark.parametrize("kind", [*CHANNELS, "ZeroPadding2D", "LeakyReLU"])
def test_channels_first_is_refused_by_name(kind, keras):
    """Whichever layer says so."""
    with pytest.raises(ValueError, match="layer 'mine': data_format: expected 'channels_last', received"):
        to_layers((kind, {"name": "mine", **keras}))


def test_separable_convolutions_of_keras_1():
    """One initializer is for both kernels, one regularizer for each of them."""
    keras = {"nb_filter": 5, "nb_row": 3, "nb_col": 2, "init": "he_normal", "depth_multiplier": 2}
    keras |= {"depthwise_regularizer": {"name": "L1L2Regularizer", "l1": 0.25}, "b_regularizer": None}
    (layer,) = to_layers(
        ("SeparableConvolution2D", {"name": "s", "subsample": [2, 1], "bias": False, **keras})
    )
    config = {"name": "s", "filters": 5, "depth_multiplier": 2, "kernel_size": [3, 2], "strides": [2, 1]}
    config |= {"use_bias": False, "depthwise_initializer": "he_normal", "pointwise_initializer": "he_normal"}
    config |= {"depthwise_regularizer": {"class_name": "L1L2", "config": {"l1": 0.25, "l2": 0.0}}}
    assert (layer["class_name"], layer["config"]) == ("SeparableConv2D", config)


def test_what_keras_2_writes_of_a_separable_convolution_too():
    """The kernel that it does not have is passed over; its own initializers count."""
    keras = {"kernel_initializer": "one", "kernel_regularizer": L1, "pointwise_regularizer": L2}
    keras |= {"depthwise_initializer": "zeros", "pointwise_initializer": "HeNormal"}
    (layer,) = to_layers(("SeparableConv2D", {"filters": 5, "kernel_size": 2, **keras}))
    assert layer["config"]["depthwise_initializer"] == "zeros"
    assert layer["config"]["pointwise_initializer"] == "he_normal"
    assert layer["config"]["pointwise_regularizer"] == L2
    assert "kernel_regularizer" not in layer["config"]


def test_noise_of_keras_1():
    """Its deviation is `sigma`."""
    assert to_layers(("GaussianNoise", {"sigma": 0.25}))[0]["config"]["stddev"] == 0.25


def test_regularizers_of_weights_that_a_layer_has_not_warn():
    """A DepthwiseConv2D has no pointwise kernel."""
    with pytest.warns(UserWarning, match="no such pointwise_regularizer"):
        to_layers(("DepthwiseConv2D", {"kernel_size": 2, "pointwise_regularizer": L1}))


LAYERS_OF_BOTH = {
    "DepthwiseConv2D": {
        "kernel_size": (3, 2),
        "strides": 1,
        "padding": "same",
        "dilation_rate": 1,
        "depth_multiplier": 2,
        "activation": "relu",
        "use_bias": True,
        "depthwise_initializer": "he_normal",
        "bias_initializer": "zeros",
        "depthwise_regularizer": L2,
        "bias_regularizer": None,
    },
    "SeparableConv2D": {
        "filters": 4,
        "kernel_size": (3, 2),
        "strides": 1,
        "padding": [[1, 0], [2, 3]],
        "dilation_rate": 1,
        "depth_multiplier": 2,
        "activation": None,
        "use_bias": False,
        "depthwise_initializer": "ones",
        "pointwise_initializer": "glorot_normal",
        "bias_initializer": "zeros",
        "depthwise_regularizer": None,
        "pointwise_regularizer": L1,
        "bias_regularizer": None,
    },
}


@pytest.mark.parametrize("kind", LAYERS_OF_BOTH)
def test_convolutions_of_channels_there_and_back(kind):
    """All arguments, with padding as a layer of its own between."""
    layer = {"class_name": kind, "config": {"name": "c", **LAYERS_OF_BOTH[kind]}, "trainable": False}
    config = {"name": "m", "dtype": "float32", "input_shape": [9, 8, 3], "seed": None, "layers": [layer]}
    keras = via_json(keras_config.from_model(config))
    received = keras_config.to_model(keras, {"padded": ["c"]})["layers"]
    given = {key: value for key, value in via_json(layer)["config"].items() if value is not None}
    (back,) = received
    assert {key: value for key, value in back["config"].items() if value is not None} == given
    assert (back["class_name"], back["trainable"]) == (kind, False)
