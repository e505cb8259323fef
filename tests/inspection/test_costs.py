"""Costs of layers: counted against loops over the definition, and times that a clock can have measured."""

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.inspection.costs import costs, macs, receptive_fields
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
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

pytestmark = pytest.mark.smoke


class Mirror(Activation):
    """A layer of a user's: each output sees the whole image, left and right exchanged."""

    def forward(self, x, training=False):
        return x[:, :, ::-1]

    def backward(self, dy):
        return dy[:, :, ::-1]


def network(*layers, shape=(17, 15, 2)):
    return Sequential(list(layers), seed=0, input_shape=shape)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Conv2D(5, (3, 2)), (9, 7, 4), 7 * 6 * 5 * 3 * 2 * 4),
        (Conv2D(5, (3, 2), strides=(2, 3), use_bias=False), (9, 7, 4), 4 * 2 * 5 * 3 * 2 * 4),
        (Conv2D(5, 3, padding="same", dilation_rate=2), (9, 7, 4), 9 * 7 * 5 * 9 * 4),
        (DepthwiseConv2D((3, 2), (2, 3), depth_multiplier=5), (9, 7, 4), 4 * 2 * 4 * 5 * 3 * 2),
        (SeparableConv2D(11, (3, 2)), (9, 7, 4), 7 * 6 * (4 * 3 * 2 + 4 * 11)),
        (SeparableConv2D(11, 3, padding="same", depth_multiplier=5), (9, 7, 4), 9 * 7 * (20 * 9 + 20 * 11)),
        (Dense(11), (13,), 11 * 13),
        (BatchNormalization(), (9, 7, 4), 9 * 7 * 4),
        (MaxPooling2D(2), (9, 7, 4), 0),
        (GlobalAveragePooling2D(), (9, 7, 4), 0),
        (Dropout(0.3), (9,), 0),
        (UpSampling2D((2, 3)), (9, 7, 4), 0),
        (UpSampling2D((2, 3), interpolation="bilinear"), (9, 7, 4), 18 * 21 * 4 * 4),
        (ZeroPadding2D(2), (9, 7, 4), 0),
        (ReLU(negative_slope=0.1), (9, 7, 4), 0),
        (Mirror("linear"), (9, 7, 4), None),
    ],
    ids=lambda value: repr(value).split("(")[0],
)
def test_multiplications(layer, shape, expected):
    """Padding counts, as in the definition; the bias does not."""
    layer.build(shape, np.random.default_rng(0))
    assert macs(layer) == expected


def seen(model, number):
    """Return how many rows and columns of the image the gradient of one output of a layer reaches."""
    y = np.zeros((1, *model.input_shape))
    for layer in model.layers[: number + 1]:
        y = layer.forward(y, training=True)
    dy = np.zeros_like(y)
    dy[(0, *(n // 2 for n in y.shape[1:]))] = 1  # of a neuron in the middle, where no padding is near
    for layer in reversed(model.layers[: number + 1]):
        dy = layer.backward(dy)
    touched = np.abs(dy[0]).sum(axis=2) > 0
    return int(np.ptp(np.flatnonzero(touched.any(1)))) + 1, int(np.ptp(np.flatnonzero(touched.any(0)))) + 1


def test_receptive_fields_are_what_gradients_reach():
    """Strides and dilation that differ by axis; only linear layers, so that no gradient is 0 by chance."""
    layers = [
        Conv2D(3, (2, 3), strides=(2, 1)),
        AveragePooling2D((2, 1), strides=(1, 2)),
        DepthwiseConv2D((2, 2), dilation_rate=(2, 1)),
        Activation("linear"),
        SeparableConv2D(2, (1, 2)),
        Flatten(),
        Dense(4),
    ]
    model = Sequential(layers, seed=0, input_shape=(18, 15, 2), dtype="float64")
    fields = receptive_fields(model.layers)
    assert fields[0] == (2, 3)
    for number in (0, 1, 2, 3, 4, 6):
        assert fields[number] == seen(model, number)


def most_seen(model, number):
    """Return the largest numbers of rows and columns of the image that change an output, over all outputs."""
    H, W, _ = model.input_shape
    image = np.random.default_rng(0).random((1, *model.input_shape))
    moved = image + 0.5 * np.eye(H * W).reshape(H * W, H, W, 1)
    for layer in model.layers[: number + 1]:
        image, moved = layer.forward(image), layer.forward(moved)
    changed = (moved != image).reshape(H, W, -1)
    return tuple(
        max((int(np.ptp(where) + 1) for column in lines.T if len(where := np.flatnonzero(column))), default=0)
        for lines in (changed.any(1), changed.any(0))
    )


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_fields_behind_padding_and_upsampling(interpolation):
    """By moving each pixel; where outputs are of padding alone, or have fields of several sizes."""
    layers = [
        AveragePooling2D((2, 3)),
        ZeroPadding2D(((1, 4), (2, 0))),
        UpSampling2D((2, 3), interpolation),
        Conv2D(3, 2),
        ZeroPadding2D(3),
        AveragePooling2D((3, 2), strides=(2, 1)),
        UpSampling2D((1, 2), interpolation),
        Conv2D(2, (2, 3)),
    ]
    model = Sequential(layers, seed=0, input_shape=(12, 15, 1), dtype="float64")
    fields = receptive_fields(model.layers)
    assert fields == [most_seen(model, number) for number in range(len(layers))]
    assert fields[-1] < model.input_shape[:2]


def test_fields_of_layers_that_take_all():
    """A softmax of an axis takes that axis; behind Reshape it is not known which pixel is where."""
    model = network(Conv2D(3, (2, 3)), Softmax(axis=2), ReLU(), Reshape((6, -1, 8)), shape=(17, 15, 2))
    assert receptive_fields(model.layers) == [(2, 3), (2, 15), (2, 15), (17, 15)]
    model = network(Conv2D(3, (2, 3)), GlobalMaxPooling2D(), Reshape((3, 1)), Softmax(1), shape=(5, 4, 2))
    assert receptive_fields(model.layers) == [(2, 3), (5, 4), (5, 4), (5, 4)]
    model = network(Conv2D(3, (2, 3)), Flatten(), Softmax(), shape=(7, 6, 2))
    assert receptive_fields(model.layers) == [(2, 3), (2, 3), (7, 6)]


def test_no_field_is_larger_than_the_image():
    model = network(Conv2D(2, 5, padding="same"), Conv2D(2, 5, padding="same"), shape=(7, 6, 1))
    assert receptive_fields(model.layers) == [(5, 5), (7, 6)]
    assert receptive_fields(network(Dense(3), shape=(5,)).layers) == [(1, 1)]


def test_the_rows_of_a_network():
    """One for each layer, and their sums; a layer of a user's is counted as unknown, and what follows it."""
    model = network(Conv2D(3, 3, name="first"), Mirror("linear"), Flatten(), Dense(4, activation="softmax"))
    model.compile()
    before = model.get_weights()
    found = costs(model, batch_size=2)
    assert [cost.layer for cost in found] == ["first", "mirror_1", "flatten_1", "dense_1", "together"]
    assert [cost.macs for cost in found] == [15 * 13 * 3 * 9 * 2, None, 0, 585 * 4, 10530 + 2340]
    assert [cost.receptive_field for cost in found] == [(3, 3), None, None, None, None]
    assert [cost.params for cost in found] == [57, 0, 0, 585 * 4 + 4, 2401]
    assert [cost.activation_bytes for cost in found] == [2340, 2340, 2340, 16, 7036]
    assert found[0].algorithm.startswith("im2col")
    assert all(0 < cost.forward_ms < 1e4 and 0 < cost.backward_ms < 1e4 for cost in found)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_table(capsys):
    """It says what it measured; `?` stands for what is not known."""
    model = network(Conv2D(3, 3), Mirror("linear"), GlobalAveragePooling2D())
    text = model.summary(cost=True, batch_size=3)
    lines = text.splitlines()
    assert capsys.readouterr().out == text + "\n"
    assert lines[0].split()[:6] == ["layer", "output", "params", "MACs", "KiB", "field"]
    assert lines[2].split()[:7] == ["conv2d_1", "(Conv2D)", "15x13x3", "57", "10,530", "2.3", "3x3"]
    assert lines[3].split()[4:7] == ["?", "2.3", "?"]
    assert "3 images" in text
    assert lines[-4].startswith("together")


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"call model.build\(input_shape\)"):
        costs(Sequential([Dense(3)], seed=0))
    with pytest.raises(ValueError, match="batch_size: expected a whole number >= 1, received 0"):
        costs(network(Flatten()), batch_size=0)
    with pytest.raises(ValueError, match="cost: expected True or False"):
        network(Flatten()).summary(cost="yes")
