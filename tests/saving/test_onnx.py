"""ONNX: networks written and read again, and operators as other tools write them.

What the files mean to other programs is in tests/peers; broken and hostile ones are in test_hostile_onnx.py.
"""

import numpy as np
import pytest

from tests.networks import every_layer, small, with_random_weights
from tests.saving.onnx_models import chain, dense, node, onnx, saved, tensor
from tinycnn import Sequential, load_model
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ReLU,
    Reshape,
    SeparableConv2D,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)
from tinycnn.saving.onnx.exporting import EXPORTED, INDIFFERENT
from tinycnn.saving.origin import origin

pytestmark = pytest.mark.smoke

IMAGE = (5, 4, 6)
DATA_FORMATS = ["channels_last", "channels_first"]
NETWORKS = {
    "conv and dense": [Conv2D(3, 2, activation="relu"), Flatten(), Dense(4, activation="softmax")],
    "strides": [Conv2D(3, (3, 2), strides=(2, 1), padding="same"), Conv2D(2, 2, padding=((1, 0), (2, 3)))],
    "dilation": [Conv2D(3, 2, dilation_rate=(3, 2), use_bias=False, activation="leaky_relu")],
    "pools": [MaxPooling2D(2, padding="same"), AveragePooling2D((2, 1), 1, padding="same")],
    "global": [Conv2D(3, 2, activation="tanh"), GlobalAveragePooling2D(), Dense(2, activation="sigmoid")],
    "global maximum": [Conv2D(3, 2), GlobalMaxPooling2D(), BatchNormalization(momentum=0.9)],
    "depthwise": [DepthwiseConv2D((3, 2), depth_multiplier=2, activation="relu"), DepthwiseConv2D(2)],
    "separable": [SeparableConv2D(5, 2, depth_multiplier=3, activation="tanh"), SeparableConv2D(2, 1)],
    "flat": [Conv2D(3, 2), Flatten(), ReLU(negative_slope=0.1), BatchNormalization(), Softmax(), Dense(3)],
    "flat at the end": [Conv2D(3, 2), Flatten(), Activation("softmax")],
    "own activations": [Conv2D(3, 2), Activation("relu"), Flatten(), Dense(4), Activation("softmax")],
    "ReLU 6": [ReLU(6.0)],
    "ReLU with slope": [ReLU(0.7, 0.2)],
    "ReLU with threshold": [ReLU(threshold=0.5)],
    "ReLU with threshold and maximum": [ReLU(0.9, 0.0, 0.5)],
    "ReLU in two pieces": [Conv2D(3, 2), ReLU(negative_slope=0.25, threshold=0.5), Conv2D(2, 2)],
    "ReLU of everything": [ReLU(1.5, 0.25, 0.5)],
    "Softmax of rows": [Softmax(1)],
    "Softmax of columns": [Softmax(-2)],
    "padding": [ZeroPadding2D(((1, 2), (0, 3))), Conv2D(2, 3)],
    "nearest": [UpSampling2D((2, 3)), Conv2D(2, 3)],
    "bilinear": [UpSampling2D((3, 1), interpolation="bilinear")],
    "shapes": [Conv2D(3, 2), Reshape((4, 9)), Softmax(1), Reshape((6, 6, 1)), Conv2D(2, 2)],
    "rows of features": [Reshape((5, 24)), BatchNormalization()],
    "four axes": [Reshape((5, 2, 2, 6)), Softmax(2)],
    "a shape of one axis": [Reshape((-1,)), Dense(3)],
    "normalised first": [BatchNormalization(center=False), BatchNormalization(scale=False), Flatten()],
}


def randomized(layers, shape=IMAGE, dtype="float32"):
    """A model whose weights are random, and its images, with values at the edges of a ReLU."""
    model = Sequential([type(x).from_config(x.get_config()) for x in layers], 1, shape, dtype)
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(rng.normal(0.3, 0.3, w.shape)).astype(dtype) for w in model.get_weights()])
    x = rng.standard_normal((3, *shape)).astype(dtype)
    x.flat[:4] = 0.5, 0.7, 0, 6
    return model, x


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_the_same_again(tmp_path, name, data_format):
    """Its layers too, with their names and arguments, as far as inference depends on them."""
    model, x = randomized(NETWORKS[name])
    model.export(tmp_path / "m.onnx", data_format=data_format)
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"), full_check=True)
    loaded = load_model(tmp_path / "m.onnx")
    np.testing.assert_allclose(loaded.predict(x), model.predict(x), rtol=1e-5, atol=1e-6)
    assert [(type(a), a.name) for a in loaded] == [(type(b), b.name) for b in model]


def test_arguments_are_the_same_again(tmp_path):
    """Of layers in whose files they show."""
    for name in ("dilation", "depthwise", "separable", "ReLU of everything", "bilinear", "Softmax of rows"):
        model, _ = randomized(NETWORKS[name])
        model.save(tmp_path / "m.onnx")
        for ours, theirs in zip(model, load_model(tmp_path / "m.onnx"), strict=True):
            assert theirs.get_config() == ours.get_config()


def test_every_layer_can_be_written():
    """The table has all, and nothing else."""
    from tinycnn.layers import LAYERS

    assert {*EXPORTED, "Flatten"} == set(LAYERS)
    assert set(INDIFFERENT) <= set(LAYERS)


@pytest.mark.parametrize("make", [every_layer, small])
def test_large_networks(tmp_path, make):
    model = make()
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(rng.normal(0.3, 0.3, w.shape)).astype("f4") for w in model.get_weights()])
    x = np.random.default_rng(1).random((3, *model.input_shape), np.float32)
    model.save(tmp_path / "m.onnx")
    loaded = load_model(tmp_path / "m.onnx")
    np.testing.assert_allclose(loaded.predict(x), model.predict(x), rtol=1e-5, atol=1e-6)
    assert loaded.optimizer is None
    assert loaded.input_shape == model.input_shape


def operators(path):
    return [one.op_type for one in onnx.load(path).graph.node]


def test_no_transpose_is_needless(tmp_path):
    """One at the entrance; none before a Dense, nor when the channels come first."""
    model, _ = randomized(NETWORKS["conv and dense"])
    expected = ["Conv", "Relu", "Flatten", "Gemm", "Softmax"]
    model.export(tmp_path / "m.onnx", data_format="channels_first")
    assert operators(tmp_path / "m.onnx") == expected
    model.export(tmp_path / "m.onnx")
    assert operators(tmp_path / "m.onnx") == ["Transpose", *expected]
    model = Sequential([Flatten(), Dense(2)], input_shape=IMAGE)
    model.export(tmp_path / "m.onnx")
    assert operators(tmp_path / "m.onnx") == ["Flatten", "Gemm"]


def test_the_entrance_says_where_the_channels_are(tmp_path):
    """By ONNX's own names for axes; so a file is read alike when no operator tells."""
    model, x = randomized([Activation("relu"), Flatten(), Dense(2)])
    for data_format, axes in ((DATA_FORMATS[0], [5, 4, 6]), (DATA_FORMATS[1], [6, 5, 4])):
        model.export(tmp_path / "m.onnx", data_format=data_format)
        entrance = onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type
        assert [d.dim_value or d.dim_param for d in entrance.shape.dim] == ["N", *axes]
        np.testing.assert_allclose(load_model(tmp_path / "m.onnx").predict(x), model.predict(x), rtol=1e-5)


def test_what_is_not_for_inference_is_left_out(tmp_path):
    layers = [Dropout(0.3), GaussianNoise(0.1), Dropout(0.2)]
    model = Sequential(layers, input_shape=IMAGE)
    model.save(tmp_path / "m.onnx")
    assert operators(tmp_path / "m.onnx") == ["Identity"]
    assert [layer.name for layer in load_model(tmp_path / "m.onnx")] == ["activation_1"]


def test_float64_becomes_float32(tmp_path):
    """The runtimes have no convolutions of float64. A number that is too large is refused."""
    model, x = randomized(NETWORKS["conv and dense"], dtype="float64")
    model.save(tmp_path / "m.onnx")
    loaded = load_model(tmp_path / "m.onnx")
    assert loaded.dtype == "float32"
    np.testing.assert_allclose(loaded.predict(x.astype("f4")), model.predict(x), rtol=1e-5, atol=1e-6)
    model.set_weights([w * 1e300 for w in model.get_weights()])
    with pytest.raises(ValueError, match="conv2d_1/kernel: expected numbers that float32 holds"):
        model.save(tmp_path / "m.onnx")


def test_arguments_of_export(tmp_path):
    model, _ = randomized(NETWORKS["pools"])
    model.export(tmp_path / "model.other")
    with pytest.raises(ValueError, match="format: expected one of 'onnx'"):
        model.export(tmp_path / "m.onnx", format="tf_saved_model")
    with pytest.raises(ValueError, match="data_format: expected one of"):
        model.export(tmp_path / "m.onnx", data_format="NCHW")
    with pytest.raises(ValueError, match=r"call model\.build"):
        Sequential([Dense(2)]).export(tmp_path / "m.onnx")


def test_the_origin_of_a_file(tmp_path):
    """The name of the program that wrote it, as `tinycnn describe` prints it."""
    randomized(NETWORKS["pools"])[0].save(tmp_path / "m.onnx")
    assert origin(tmp_path / "m.onnx") == ("ONNX (.onnx)", "tinycnn", "", "")
    other = saved(tmp_path / "n.onnx", [node("Relu")], producer_name="p" * 300)
    assert origin(other).writer == "p" * 100


def test_weights_alone(tmp_path):
    """`load_weights` takes them by their order, as from the other formats."""
    model, x = randomized(NETWORKS["conv and dense"])
    model.save(tmp_path / "m.onnx")
    other, _ = randomized(NETWORKS["conv and dense"])
    other.set_weights([0 * w for w in other.get_weights()])
    other.load_weights(tmp_path / "m.onnx")
    np.testing.assert_array_equal(other.predict(x), model.predict(x))


def test_a_file_too_large_for_protobuf(tmp_path, monkeypatch):
    monkeypatch.setattr("tinycnn.saving.onnx.graph.LARGEST", 100)
    with pytest.raises(ValueError, match="expected at most 100 bytes of weights for ONNX"):
        randomized(NETWORKS["conv and dense"])[0].save(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_library(tmp_path, monkeypatch):
    model, _ = randomized(NETWORKS["pools"])
    model.save(tmp_path / "m.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    for act in (lambda: model.save(tmp_path / "n.onnx"), lambda: load_model(tmp_path / "m.onnx")):
        with pytest.raises(ImportError, match=r'pip install "tinycnn\[onnx\]"'):
            act()


# Graphs as other tools write them.


def images(shape=(3, 5, 4, 2), seed=0):
    """Images (N, H, W, C)."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_sizes_of_the_batch_in_a_chain_of_nodes(tmp_path):
    """`x.view(x.size(0), -1)` in PyTorch."""
    w, b = dense(40)[0]
    make = onnx.helper.make_node
    nodes = [
        make("Relu", ["x"], ["r"]),
        make("Shape", ["r"], ["sizes"]),
        make("Gather", ["sizes", "zero"], ["n"]),
        make("Unsqueeze", ["n", "axes"], ["n1"]),
        make("Concat", ["n1", "rest"], ["shape"], axis=0),
        make("Reshape", ["r", "shape"], ["flat"]),
        make("Gemm", ["flat", "w", "b"], ["y"]),
    ]
    constants = [("zero", 0), ("axes", [0]), ("rest", [-1])]
    tensors = [tensor(name, np.array(value, np.int64)) for name, value in constants]
    loaded = load_model(saved(tmp_path / "m.onnx", nodes, [w, b, *tensors]))
    x = images()
    _, (kernel, bias) = dense(40)
    flat = np.maximum(x, 0).transpose(0, 3, 1, 2).reshape(3, 40)
    np.testing.assert_allclose(loaded.predict(x), flat @ kernel + bias, rtol=1e-5, atol=1e-5)


def test_the_only_place_of_an_axis(tmp_path):
    """`x[:, :, 0, 0]` of means in PyTorch. Of more places one is not taken."""
    nodes = chain(node("GlobalAveragePool"), node("Gather", "zero", axis=3), node("Gather", "end", axis=-1))
    tensors = [tensor("zero", np.array(0)), tensor("end", np.array(-1))]
    loaded = load_model(saved(tmp_path / "m.onnx", nodes, tensors))
    np.testing.assert_allclose(loaded.predict(images()), images().mean((1, 2)), rtol=1e-5, atol=1e-6)
    match = r"Gather.: expected place 0 of an axis of size 1, received 0 of axis 3 of \(2, 5, 4\)"
    with pytest.raises(ValueError, match=match):
        load_model(saved(tmp_path / "m.onnx", [node("Gather", "zero", axis=3)], tensors))
    with pytest.raises(ValueError, match="axis 0 is that of the batch"):
        load_model(saved(tmp_path / "m.onnx", [node("Gather", "zero", axis=0)], tensors))


def test_a_remainder_among_sizes(tmp_path):
    """`Unflatten` in PyTorch, which counts the axes behind the new ones."""
    make = onnx.helper.make_node
    nodes = [
        make("Mod", ["three", "two"], ["one"]),
        make("Concat", ["zero", "one", "rest"], ["sizes"], axis=0),
    ]
    nodes.append(node("Reshape", "sizes"))
    constants = [("three", [3]), ("two", [2]), ("zero", [0]), ("rest", [5, -1])]
    tensors = [tensor(name, np.array(value, np.int64)) for name, value in constants]
    loaded = load_model(saved(tmp_path / "m.onnx", nodes, tensors, ("N", 20)))
    assert loaded.output_shape == (5, 4, 1)
    nodes[0].attribute.add(name="fmod", type=2, i=1)
    with pytest.raises(ValueError, match="fmod: expected 0, received 1"):
        load_model(saved(tmp_path / "m.onnx", nodes, tensors, ("N", 20)))


@pytest.mark.parametrize("counted", [0, 1])
def test_a_mean_whose_last_window_goes_over_the_edge(tmp_path, counted):
    """What `ceil_mode` adds is not counted, so it is a mean with padding "same"."""
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": counted}
    loaded = load_model(saved(tmp_path / "m.onnx", [node("AveragePool", **pool)]))
    plain = Sequential([AveragePooling2D(2, padding="same")], input_shape=(5, 4, 2))
    np.testing.assert_array_equal(loaded.predict(images()), plain.predict(images()))
    pool["pads"] = [1, 1, 0, 0]
    with pytest.raises(ValueError, match=r"received \(.*\), what ceil_mode adds among them"):
        load_model(saved(tmp_path / "m.onnx", [node("AveragePool", **pool)]))


def test_an_output_without_axes_is_refused(tmp_path):
    """Of a network with one output that was squeezed."""
    nodes = [node("Squeeze", "axes")]
    with pytest.raises(
        ValueError, match=r"output: expected shape \(N, features\) .*, received \(N,\); export"
    ):
        load_model(saved(tmp_path / "m.onnx", nodes, [tensor("axes", np.array([1]))], ("N", 1)))


@pytest.mark.parametrize("count", [1, 70])
def test_a_scaler_of_scikit_learn(tmp_path, count):
    """(x - offset) * scale, with one number or one for each feature."""
    rng = np.random.default_rng(3)
    offset, scale = (rng.standard_normal(count).astype(np.float32) for _ in range(2))
    scaler = {"domain": "ai.onnx.ml", "offset": offset.tolist(), "scale": scale.tolist()}
    tensors, (w, b) = dense(70)
    nodes = chain(node("Scaler", **scaler), node("Gemm", "w", "b"))
    loaded = load_model(saved(tmp_path / "m.onnx", nodes, tensors, ("N", 70)))
    x = images((4, 70))
    np.testing.assert_allclose(loaded.predict(x), (x - offset) * scale @ w + b, rtol=1e-5, atol=1e-4)
    for shape, match in (
        (("N", 71), "offset and scale: expected 1 or 71 numbers each, received 70 and 70"),
        (("N", 2, 70), r"expected vectors, received shape .'N', 2, 70."),
        (("N", 2**31 - 1), "expected at most 65536 channels"),  # made from one number
        (("N", 69), "offset: expected at most 69 numbers"),
    ):
        if ("channels" in match) == (count == 1) or len(shape) == 3:
            with pytest.raises(ValueError, match=match):
                load_model(saved(tmp_path / "m.onnx", [node("Scaler", **scaler)], shape=shape))
    nodes = chain(node("Squeeze", "axes"), node("Scaler", **scaler))
    with pytest.raises(ValueError, match=r"expected vectors, received shape .'N',."):
        load_model(saved(tmp_path / "m.onnx", nodes, [tensor("axes", np.array([1]))], ("N", 1)))


def test_a_number_is_no_name_of_a_layer(tmp_path):
    """PyTorch's exporters count modules and nodes."""
    nodes = chain(node("Relu", name="/3/Relu"), node("Tanh", name="n4"), node("Sigmoid", name="n4x"))
    loaded = load_model(saved(tmp_path / "m.onnx", nodes))
    assert [layer.name for layer in loaded] == ["activation_1", "activation_2", "n4x"]


def test_matmul_and_add_are_one_dense_with_its_activation(tmp_path):
    tensors, (w, b) = dense()
    nodes = chain(node("MatMul", "w"), node("Add", "b"), node("Tanh"))
    loaded = load_model(saved(tmp_path / "m.onnx", nodes, tensors, ("N", 5)))
    assert [(type(x).__name__, x.activation) for x in loaded] == [("Dense", "tanh")]
    x = images((4, 5))
    np.testing.assert_allclose(loaded.predict(x), np.tanh(x @ w + b), rtol=1e-5)


def test_scales_and_shifts_of_channels(tmp_path):
    """In the convolution before, after something else in a BatchNormalization, and merged."""
    rng = np.random.default_rng(1)
    w = rng.standard_normal((3, 2, 2, 2)).astype(np.float32)
    a, b = (rng.standard_normal((3, 1, 1)).astype(np.float32) for _ in range(2))
    half = np.float32(0.5)
    nodes = chain(
        node("Div", "half"),
        node("Sub", "half"),
        node("Conv", "w"),
        node("Mul", "a"),
        node("Add", "b"),
        node("Relu"),
        node("Mul", "a"),
        node("Sub", "b"),
    )
    tensors = [tensor("w", w), tensor("a", a), tensor("b", b), tensor("half", half)]
    loaded = load_model(saved(tmp_path / "m.onnx", nodes, tensors))
    kinds = ["BatchNormalization", "Conv2D", "BatchNormalization"]
    assert [type(layer).__name__ for layer in loaded] == kinds
    plain = Sequential([Conv2D(3, 2, use_bias=False)], input_shape=(5, 4, 2))
    plain.set_weights([w.transpose(2, 3, 1, 0)])
    x = images()
    z = plain.predict(x / half - half) * a.ravel() + b.ravel()
    np.testing.assert_allclose(loaded.predict(x), np.maximum(z, 0) * a.ravel() - b.ravel(), atol=1e-5)


@pytest.mark.parametrize("opset", [7, 11, 12, 13, 21])
def test_both_meanings_of_softmax(tmp_path, opset):
    """Up to opset 12 along all axes from the first on; then along one, by default the last."""
    loaded = load_model(saved(tmp_path / "m.onnx", [node("Softmax")], shape=("N", 5, 1), opset=opset))
    x = images((4, 5, 1))
    e = np.exp(x)
    expected = e / e.sum(axis=1, keepdims=True) if opset < 13 else np.ones_like(x)
    np.testing.assert_allclose(loaded.predict(x), expected, rtol=1e-5)


def test_branches_are_refused_with_the_nodes_name(tmp_path):
    make = onnx.helper.make_node
    nodes = [make("Relu", ["x"], ["r"], "first"), make("Add", ["r", "x"], ["y"], "sum")]
    match = (
        r"node 'first' .Relu.: expected one path of images, received 'x', which goes to node 'sum' .Add. too"
    )
    with pytest.raises(ValueError, match=match):
        load_model(saved(tmp_path / "m.onnx", nodes))
    nodes = [make("Relu", ["x"], ["r"], "same"), make("Relu", ["x"], ["s"], "same")]
    nodes.append(make("Add", ["r", "s"], ["y"]))
    with pytest.raises(ValueError, match="which goes to another one of this name too"):
        load_model(saved(tmp_path / "m.onnx", nodes))
    nodes = [make("Add", ["x", "x"], ["y"], "twice")]
    with pytest.raises(ValueError, match=r"node 'twice' .Add.: expected one path"):
        load_model(saved(tmp_path / "m.onnx", nodes))


@pytest.mark.parametrize(
    ("operator", "match"),
    [
        ("If", "'branch'"),
        ("LSTM", "'branch' .LSTM.: expected one of the operators .* Upsample, received another$"),
        ("Einsum", "Einsum"),
        ("LogSoftmax", "received another; export the network without it, or with Softmax in its place"),
    ],
)
def test_operators_that_no_layer_has(tmp_path, operator, match):
    with pytest.raises(ValueError, match=match):
        load_model(saved(tmp_path / "m.onnx", [node(operator, name="branch")]))


@pytest.mark.parametrize("last", [True, False])
def test_the_channels_are_where_no_transposition_is_needed(tmp_path, last):
    """Of images as high as they have channels too."""
    w = np.random.default_rng(2).standard_normal((3, 4, 2, 1)).astype(np.float32)
    moves = [node("Transpose", perm=[0, 3, 1, 2])] if last else []
    nodes = chain(*moves, node("Conv", "w"))
    loaded = load_model(saved(tmp_path / "m.onnx", nodes, [tensor("w", w)], (1, 4, 4, 4)))
    plain = Sequential([Conv2D(3, (2, 1), use_bias=False)], input_shape=(4, 4, 4))
    plain.set_weights([w.transpose(2, 3, 1, 0)])
    x = images((3, 4, 4, 4))
    np.testing.assert_allclose(loaded.predict(x), plain.predict(x), atol=1e-6)


def test_padding_before_a_maximum(tmp_path):
    """PyTorch pads on both sides, here behind a ReLU; zeros change nothing there."""
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    loaded = load_model(saved(tmp_path / "m.onnx", chain(node("Relu"), node("MaxPool", **pool))))
    kinds = ["Activation", "ZeroPadding2D", "MaxPooling2D"]
    assert [type(layer).__name__ for layer in loaded] == kinds
    with pytest.raises(ValueError, match="pads: expected none, or those of padding 'same'"):
        load_model(saved(tmp_path / "m.onnx", [node("MaxPool", name="pool", **pool)], shape=("N", 2, 6, 4)))


def test_a_grouped_convolution_is_refused(tmp_path):
    w = [tensor("w", np.ones((4, 2, 2, 2), np.float32))]
    with pytest.raises(ValueError, match="group: expected 1, or 4 for 4 channels, received 2"):
        load_model(saved(tmp_path / "m.onnx", [node("Conv", "w", group=2)], w, ("N", 4, 5, 3)))


def test_the_output_of_a_flatten_is_in_onnx_order_or_refused(tmp_path):
    """A Flatten of (C, H, W) at the end would be another order here, so it is not done silently."""
    w = [tensor("w", np.ones((3, 2, 2, 2), np.float32))]
    nodes = chain(node("Conv", "w"), node("Flatten"))
    with pytest.raises(ValueError, match="expected values in the order of"):
        load_model(saved(tmp_path / "m.onnx", nodes, w))


def test_weights_survive_further_training(tmp_path):
    """A loaded network is a network."""
    model = with_random_weights([Conv2D(3, 2), Flatten(), Dense(2)], IMAGE)
    model.save(tmp_path / "m.onnx")
    loaded = load_model(tmp_path / "m.onnx")
    loaded.compile("sgd", "mse")
    before = loaded.get_weights()
    loaded.fit(images((6, *IMAGE)), np.zeros((6, 2), np.float32), verbose=0)
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, loaded.get_weights(), strict=True))


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions_are_global_pools_wherever_the_channels_are(tmp_path, operator, keep):
    """Over H and W of (N, C, H, W), and of (N, H, W, C)."""
    x = images()
    reduce = np.mean if operator == "ReduceMean" else np.max
    expected = reduce(x, axis=(1, 2))
    for axes, shape in (([2, 3], ("N", 2, 5, 4)), ([-3, -2], ("N", 5, 4, 2))):
        nodes, weights = chain(node(operator, keepdims=keep), node("Flatten"), node("MatMul", "w")), dense(2)
        if operator == "ReduceMean":
            nodes[0].attribute.add(name="axes", type=7, ints=axes)
            tensors = weights[0][:1]
            opset = 17
        else:
            nodes[0].input.append("axes")
            tensors, opset = [weights[0][0], tensor("axes", np.array(axes))], 18
        if len(shape) == 4 and axes[0] < 0:
            nodes = chain(node("Transpose", perm=[0, 3, 1, 2]), node("Transpose", perm=[0, 2, 3, 1]), *nodes)
        loaded = load_model(saved(tmp_path / "m.onnx", nodes, tensors, shape, opset=opset))
        np.testing.assert_allclose(loaded.predict(x), expected @ weights[1][0], rtol=1e-4, atol=1e-5)


def test_a_relu_6_as_a_maximum_and_a_minimum(tmp_path):
    """TensorFlow's way; and a slope that is a constant."""
    tensors = [tensor("zero", np.float32(0)), tensor("six", np.float32(6)), tensor("slope", np.float32(0.25))]
    loaded = load_model(saved(tmp_path / "m.onnx", chain(node("Max", "zero"), node("Min", "six")), tensors))
    x = 5 * images()
    np.testing.assert_array_equal(loaded.predict(x), np.clip(x, 0, 6))
    loaded = load_model(saved(tmp_path / "m.onnx", [node("PRelu", "slope")], tensors))
    np.testing.assert_array_equal(loaded.predict(x), np.where(x > 0, x, x / 4))
