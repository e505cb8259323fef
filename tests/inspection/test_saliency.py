"""Pixels that matter: against finite differences, against covered images, and against sums."""

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.inspection.costs import receptive_fields
from tinycnn.inspection.saliency import contributions, occlusion, occlusion_map, receptive_region, saliency
from tinycnn.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Flatten,
    GlobalMaxPooling2D,
    MaxPooling2D,
    Reshape,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)

pytestmark = pytest.mark.smoke
rng = np.random.default_rng(0)
IMAGE = rng.random((9, 7, 2))


def network(use_bias=True):
    layers = [
        Conv2D(4, (3, 2), activation="relu", use_bias=use_bias),
        MaxPooling2D(2),
        Conv2D(3, 2, activation="relu", use_bias=use_bias),
        Flatten(),
        Dense(5, activation="softmax"),
    ]
    return Sequential(layers, seed=3, input_shape=IMAGE.shape, dtype="float64")


def test_saliency_is_the_largest_slope():
    model, step = network(), 1e-6
    found = saliency(model, IMAGE, 2)
    assert found.shape == (9, 7)
    for i, j in ((0, 0), (4, 3), (7, 6)):
        slopes = []
        for channel in (0, 1):
            moved = np.stack([IMAGE, IMAGE])
            moved[0, i, j, channel] += step
            moved[1, i, j, channel] -= step
            logs = np.log(model(moved)[:, 2])
            slopes.append(abs(logs[0] - logs[1]) / (2 * step))
        assert found[i, j] == pytest.approx(max(slopes), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize(("size", "stride", "value"), [(3, 1, 0.0), (4, 2, 0.5), (1, 3, 1.0), (20, 5, 0.0)])
def test_occlusion_is_what_covering_costs(size, stride, value):
    """At every place, also over the edge; a square that covers everything costs the same everywhere."""
    model = network()
    found = occlusion(model, IMAGE, 1, size, stride, value)
    assert found.shape == (-(-9 // stride), -(-7 // stride))
    whole = model(IMAGE[np.newaxis])[0, 1]
    for (i, j), lost in np.ndenumerate(found):
        y, x = np.mgrid[0:9, 0:7]
        above, left = y - (i * stride - size // 2), x - (j * stride - size // 2)
        inside = (above >= 0) & (above < size) & (left >= 0) & (left < size)
        assert inside[i * stride, j * stride]
        covered = np.where(inside[..., np.newaxis], value, IMAGE)
        assert lost == pytest.approx(whole - model(covered[np.newaxis])[0, 1], abs=1e-12)


def test_contributions_add_up():
    """To the value of the neuron, where there are no biases; and lie in its receptive field."""
    model = network(use_bias=False)
    maps = model.activations(IMAGE[np.newaxis])["conv2d_2"][0]
    index = tuple(int(i) for i in np.unravel_index(maps.argmax(), maps.shape))
    found = contributions(model, IMAGE, "conv2d_2", index)
    assert found.shape == IMAGE.shape
    assert found.sum() == pytest.approx(maps[index], rel=1e-12)
    rows, columns = (np.flatnonzero(np.abs(found).sum((axis, 2)) > 0) for axis in (1, 0))
    high, wide = receptive_fields(model.layers)[2]
    assert 1 < np.ptp(rows) + 1 <= high
    assert 1 < np.ptp(columns) + 1 <= wide
    with_bias = network()
    assert contributions(with_bias, IMAGE, "dense_1", (3,)).shape == IMAGE.shape


def test_what_is_refused():
    model = network()
    for call, message in (
        (lambda: occlusion(model, IMAGE, 5), "label: expected an output below 5, received 5"),
        (lambda: occlusion(model, IMAGE, 0, size=0), "size: expected a whole number >= 1"),
        (lambda: contributions(model, IMAGE, "conv2d_9", (0, 0, 0)), "layer: expected one of"),
        (lambda: contributions(model, IMAGE, "conv2d_1", (0, 0)), "index: expected one inside of shape"),
        (lambda: contributions(model, IMAGE, "conv2d_1", (0, 6, 0)), "index: expected one inside of shape"),
        (lambda: saliency(model, IMAGE[:5], 0), "x: expected shape"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


WINDOWS = [
    Conv2D(3, (3, 2), strides=(1, 2), padding="same"),
    Conv2D(2, (2, 3), dilation_rate=(2, 1), padding="same"),
    AveragePooling2D((2, 1), strides=(3, 1)),
]
ENLARGED = [
    Conv2D(2, 1),
    AveragePooling2D((3, 2)),
    UpSampling2D((2, 3), "bilinear"),
    Conv2D(2, (2, 3)),
    ZeroPadding2D(((1, 0), (0, 1))),
    UpSampling2D((1, 2)),
    Softmax(axis=1),
]


@pytest.mark.parametrize("layers", [WINDOWS, ENLARGED], ids=["windows", "enlarged"])
def test_region_is_where_a_change_is_felt(layers):
    """Each pixel is moved in turn; those that change the output are the region, or lie in it (max-pools)."""
    model = Sequential(layers, seed=0, input_shape=(13, 11, 1), dtype="float64")
    image = rng.random((13, 11, 1))
    moved = np.repeat(image[np.newaxis], 13 * 11, axis=0)
    moved.reshape(13 * 11, -1)[np.arange(13 * 11), np.arange(13 * 11)] += 1
    x, changes = model.check_images(image[np.newaxis]), []
    for layer in model.layers:
        x, moved = layer.forward(x), layer.forward(moved)
        changes.append(x != moved)
    for layer, changed in zip(model.layers, changes, strict=True):
        for index in ((0, 0, 1), (1, 2, 0), tuple(n - 1 for n in changed.shape[1:])):
            rows, columns = np.nonzero(changed[(slice(None), *index)].reshape(13, 11))
            region = receptive_region(model, layer.name, index)
            if region is None:  # an output of padding alone
                assert not len(rows)
                continue
            (top, bottom), (left, right) = region
            assert (rows.min(), rows.max()) == (top, bottom)
            assert (columns.min(), columns.max()) == (left, right)


def test_region_after_a_dense_layer_and_of_wrong_places():
    model = network()
    assert receptive_region(model, "dense_1", (4,)) == ((0, 8), (0, 6))
    assert receptive_region(model, "flatten_1", (0,)) == ((0, 8), (0, 6))
    model = Sequential(
        [Conv2D(2, 2), GlobalMaxPooling2D(), Reshape((2, 1, 1))], seed=0, input_shape=(9, 7, 1)
    )
    for name, index in (("global_max_pooling2d_1", (1,)), ("reshape_1", (1, 0, 0))):
        assert receptive_region(model, name, index) == ((0, 8), (0, 6))
    model = network()
    with pytest.raises(ValueError, match="layer: expected one of conv2d_1, max"):
        receptive_region(model, "conv2d_9", (0, 0, 0))
    for wrong in ((7, 0, 0), (0, 0), (-1, 0, 0)):
        with pytest.raises(ValueError, match="index: expected one inside of shape"):
            receptive_region(model, "conv2d_1", wrong)


@pytest.mark.parametrize(("shape", "stride"), [((9, 7, 2), 1), ((90, 70, 2), 3)])
def test_an_occlusion_map_has_an_entry_for_each_pixel(shape, stride):
    """That of the nearest square; of a large image squares and distances are larger."""
    model = Sequential([Flatten(), Dense(3, activation="softmax")], seed=0, input_shape=shape)
    image = np.random.default_rng(1).random(shape).astype(np.float32)
    found = occlusion_map(model, image, 1)
    squares = occlusion(model, image, 1, 5 * stride, stride)
    assert found.shape == shape[:2]
    for i, j in ((0, 0), (4, 5), (shape[0] - 2, shape[1] - 1)):
        nearest = [min(round(k / stride), n - 1) for k, n in zip((i, j), squares.shape, strict=True)]
        assert found[i, j] == squares[tuple(nearest)]
    np.testing.assert_array_equal(occlusion_map(model, image)[..., 1], found)
