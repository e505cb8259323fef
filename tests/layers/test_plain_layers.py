"""Layers without weights against their definitions, pixel by pixel, and what they refuse."""

import copy
import itertools
import pickle

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.layers import (
    Activation,
    Dense,
    GaussianNoise,
    GlobalMaxPooling2D,
    InputLayer,
    Layer,
    ReLU,
    Reshape,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)

pytestmark = pytest.mark.smoke
IMAGES = np.random.default_rng(0).standard_normal((2, 5, 4, 3))


def ready(layer, shape=IMAGES.shape[1:], dtype=np.float64):
    layer.build(shape, np.random.default_rng(0), dtype)
    return layer


def transposed(layer, dy):
    """Return dx of a linear layer by its definition: what each pixel adds to the outputs, times dy."""
    dx = np.zeros(IMAGES.shape)
    for index in np.ndindex(IMAGES.shape):
        unit = np.zeros(IMAGES.shape)
        unit[index] = 1
        dx[index] = (layer.forward(unit) * dy).sum()
    return dx


def test_a_relu_by_hand():
    """Each part of the line: slope, threshold, identity, maximum; NaN stays, infinity is no NaN."""
    x = np.array([[-np.inf, -3, 0.5, 1, 1.5, 2, 4, 7, np.inf, np.nan]])
    for arguments, y, slopes in (
        ({}, [0, 0, 0.5, 1, 1.5, 2, 4, 7, np.inf, np.nan], [0, 0, 1, 1, 1, 1, 1, 1, 1, 0]),
        ({"max_value": 4}, [0, 0, 0.5, 1, 1.5, 2, 4, 4, 4, np.nan], [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]),
        (
            {"max_value": 4, "negative_slope": 0.25, "threshold": 1},
            [-np.inf, -1, -0.125, 0, 1.5, 2, 4, 4, 4, np.nan],
            [0.25, 0.25, 0.25, 0.25, 1, 1, 0, 0, 0, 0.25],
        ),
        ({"threshold": 1.5}, [0, 0, 0, 0, 0, 2, 4, 7, np.inf, np.nan], [0, 0, 0, 0, 0, 1, 1, 1, 1, 0]),
    ):
        layer = ready(ReLU(**arguments), (10,))
        np.testing.assert_array_equal(layer.forward(x, training=True), [y])
        np.testing.assert_array_equal(layer.backward(np.full(x.shape, 3.0)), 3 * np.array([slopes]))


def test_a_relu_is_the_activation_of_its_name():
    for layer, name in ((ReLU(), "relu"), (ReLU(negative_slope=0.2), "leaky_relu")):
        x = IMAGES.astype(np.float32)
        pair = ready(layer, dtype=np.float32), ready(Activation(name), dtype=np.float32)
        np.testing.assert_array_equal(*(each.forward(x, training=True) for each in pair))
        np.testing.assert_array_equal(*(each.backward(x) for each in pair))
        assert layer.activation == name


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -3])
def test_softmax_of_an_axis(axis):
    layer = ready(Softmax(axis))
    y = layer.forward(IMAGES, training=True)
    number = axis % 4
    np.testing.assert_allclose(y, np.exp(IMAGES) / np.exp(IMAGES).sum(number, keepdims=True), rtol=1e-14)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    dx = np.moveaxis(layer.backward(dy), number, -1)
    rows, upstream = np.moveaxis(y, number, -1), np.moveaxis(dy, number, -1)
    for index in np.ndindex(rows.shape[:-1]):
        jacobian = np.diag(rows[index]) - np.outer(rows[index], rows[index])
        np.testing.assert_allclose(dx[index], jacobian @ upstream[index], atol=1e-15)


@pytest.mark.parametrize(("axis", "shape"), [(0, (5, 4, 3)), (4, (5, 4, 3)), (-4, (5, 4, 3)), (2, (7,))])
def test_softmax_of_no_axis(axis, shape):
    n = len(shape)
    message = rf"^probs: axis: expected one of -{n} to -1 or 1 to {n} .*, received {axis}$"
    with pytest.raises(ValueError, match=message):
        ready(Softmax(axis, name="probs"), shape)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (1, ((1, 1), (1, 1))),
        (0, ((0, 0), (0, 0))),
        ((2, 3), ((2, 2), (3, 3))),
        (((1, 2), (0, 3)), ((1, 2), (0, 3))),
        ([[1, 2], 3], ((1, 2), (3, 3))),
    ],
)
def test_zero_padding(padding, expected):
    layer = ready(ZeroPadding2D(padding))
    assert layer.padding == expected
    (top, bottom), (left, right) = expected
    y = layer.forward(IMAGES, training=True)
    assert y.shape == (2, top + 5 + bottom, left + 4 + right, 3)
    for n, i, j, c in np.ndindex(y.shape):
        inside = top <= i < top + 5 and left <= j < left + 4
        assert y[n, i, j, c] == (IMAGES[n, i - top, j - left, c] if inside else 0)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    np.testing.assert_array_equal(layer.backward(dy), transposed(layer, dy))
    assert layer.backward(dy).flags.c_contiguous


@pytest.mark.parametrize("padding", [-1, 1.5, True, None, "same", (1,), (1, 2, 3), ((1, 2, 3), 1), (1, -2)])
def test_no_padding(padding):
    with pytest.raises(ValueError, match=r"^padding: expected a whole number >= 0, .* received "):
        ZeroPadding2D(padding)


def test_the_maximum_of_an_image():
    """Of each channel; the first among equals has the gradient, and a NaN counts as the largest."""
    x = np.round(IMAGES)
    x[0, 3, 1, 2] = np.nan
    layer = ready(GlobalMaxPooling2D())
    y = layer.forward(x, training=True)
    dx = layer.backward(np.arange(1.0, 7).reshape(2, 3))
    expected = np.zeros(x.shape)
    for n, c in np.ndindex(2, 3):
        pixels = x[n, :, :, c].ravel().tolist()
        best = pixels.index(max(pixels)) if (n, c) != (0, 2) else 3 * 4 + 1
        np.testing.assert_equal(y[n, c], pixels[best])
        expected[n, best // 4, best % 4, c] = 1 + 3 * n + c
    np.testing.assert_array_equal(dx, expected)


def interpolated(x, scale, axis):
    """Return the definition of bilinear interpolation along an axis: half-pixel centres, clamped."""
    length = x.shape[axis]
    rows = []
    for output in range(scale * length):
        at = min(max((output + 0.5) / scale - 0.5, 0), length - 1)
        low = int(at)
        high = min(low + 1, length - 1)
        rows.append((1 - at + low) * x.take(low, axis) + (at - low) * x.take(high, axis))
    return np.stack(rows, axis)


@pytest.mark.parametrize("size", [(2, 3), (3, 1), (1, 4), (5, 2)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_upsampling(size, interpolation):
    layer = ready(UpSampling2D(size, interpolation))
    expected = IMAGES.repeat(size[0], 1).repeat(size[1], 2)
    if interpolation == "bilinear":
        expected = interpolated(interpolated(IMAGES, size[0], 1), size[1], 2)
    y = layer.forward(IMAGES, training=True)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-15)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    np.testing.assert_allclose(layer.backward(dy), transposed(layer, dy), rtol=1e-12, atol=1e-14)


def test_upsampling_is_known_by_hand():
    """0 and 8, two and three times as long; the taps are the same numbers."""
    x = np.array([0.0, 8]).reshape(1, 1, 2, 1)
    two, three = (ready(UpSampling2D((1, s), "bilinear"), (1, 2, 1)) for s in (2, 3))
    assert two.forward(x).ravel().tolist() == [0, 2, 6, 8]
    np.testing.assert_allclose(three.forward(x).ravel(), [0, 0, 8 / 3, 16 / 3, 8, 8], rtol=1e-15)
    assert [two.taps(1, i) for i in range(4)] == [{0: 1}, {0: 0.75, 1: 0.25}, {1: 0.75, 0: 0.25}, {1: 1}]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_a_nan_stays_near_its_pixel(interpolation):
    """It reaches the outputs that the pixel is a part of, and no others; so does infinity."""
    layer = ready(UpSampling2D((3, 2), interpolation))
    for value in (np.nan, np.inf):
        x = IMAGES.copy()
        x[1, 2, 1, 0] = value
        reached = ~np.isfinite(layer.forward(x))
        for n, i, j, c in np.ndindex(reached.shape):
            assert reached[n, i, j, c] == (
                (n, c) == (1, 0) and 2 in layer.taps(0, i) and 1 in layer.taps(1, j)
            )


@pytest.mark.parametrize(
    ("target", "shape", "expected"),
    [((3, 20), (5, 4, 3), (3, 20)), ([-1], (5, 4, 3), (60,)), ((2, -1, 5), (60,), (2, 6, 5))],
)
def test_reshape(target, shape, expected):
    layer = ready(Reshape(target), shape)
    x = np.arange(120.0).reshape(2, *shape)
    y = layer.forward(x, training=True)
    assert (y.shape, layer.output_shape) == ((2, *expected), expected)
    np.testing.assert_array_equal(y.ravel(), x.ravel())
    np.testing.assert_array_equal(layer.backward(-y), -x)


@pytest.mark.parametrize("target", [(7, -1), (3, 4), (61,), (-1, 61)])
def test_a_reshape_that_does_not_fit(target):
    with pytest.raises(
        ValueError, match=r"^r: target_shape: expected the 60 values of \(5, 4, 3\), received"
    ):
        ready(Reshape(target, name="r"))


@pytest.mark.parametrize("target", [(), 5, "ab", (-1, -1), (0, 60), (3, -2), (2.5, 3), (True, 60), None])
def test_no_shape(target):
    with pytest.raises(ValueError, match=r"^target_shape: expected"):
        Reshape(target)


class TestGaussianNoise:
    """Its distribution, and what decides it."""

    def test_it_is_normal(self):
        x = np.ones((200, 300), np.float32)
        noise = (ready(GaussianNoise(0.5), (300,), np.float32).forward(x, training=True) - x).ravel() / 0.5
        n = noise.size  # five standard deviations of each figure
        assert abs(noise.mean()) < 5 / np.sqrt(n)
        assert abs(noise.var() - 1) < 5 * np.sqrt(2 / n)
        assert abs((noise**3).mean()) < 5 * np.sqrt(15 / n)
        assert abs((noise**4).mean() - 3) < 5 * np.sqrt(96 / n)
        assert abs(np.mean(noise[::2] * noise[1::2])) < 5 / np.sqrt(n / 2)  # of the two of a pair

    def test_identity_at_inference(self):
        x = np.random.default_rng(0).random((5, 7))
        assert ready(GaussianNoise(0.9), (7,)).forward(x) is x

    def test_seed_and_index_decide_it(self):
        x = np.zeros((4, 50))
        one, other = ready(GaussianNoise(0.5, seed=3), (50,)), ready(GaussianNoise(0.5, seed=3), (50,))
        first, second = one.forward(x, training=True), one.forward(x, training=True)
        assert (first != second).all()
        other.mask_index = 1
        np.testing.assert_array_equal(other.forward(x, training=True), second)
        assert (ready(GaussianNoise(0.5, seed=4), (50,)).forward(x, training=True) != first).all()

    @pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
    def test_a_part_of_a_batch_has_the_noise_of_the_batch(self, width):
        """Wherever it is cut, to the bit: a pair of numbers is cut too."""
        x = np.zeros((9, width), np.float32)
        whole = ready(GaussianNoise(1, seed=3), (width,), np.float32).forward(x, training=True)
        for start, stop in itertools.combinations(range(10), 2):
            part = ready(GaussianNoise(1, seed=3), (width,), np.float32)
            part.first_row = start
            np.testing.assert_array_equal(part.forward(x[start:stop], training=True), whole[start:stop])

    def test_dtypes_share_it(self):
        x = np.zeros((6, 5))
        wide = ready(GaussianNoise(0.5, seed=1), (5,)).forward(x, training=True)
        narrow = ready(GaussianNoise(0.5, seed=1), (5,), np.float32).forward(
            x.astype(np.float32), training=True
        )
        np.testing.assert_array_equal(wide.astype(np.float32), narrow)

    @pytest.mark.parametrize("stddev", [-0.1, 1.5, float("nan"), "half", None, True])
    def test_refuses(self, stddev):
        with pytest.raises(ValueError, match=r"stddev: expected a number in \[0, 1\], received"):
            GaussianNoise(stddev)


@pytest.mark.parametrize(
    "layer",
    [
        ReLU(max_value=1),
        Softmax(1),
        ZeroPadding2D((1, 2)),
        GlobalMaxPooling2D(),
        UpSampling2D(2, "bilinear"),
        Reshape((-1, 4)),
        GaussianNoise(0.5),
    ],
    ids=repr,
)
def test_copies_and_no_images(layer):
    """A copy and a pickle compute the same; a batch of no images is one too."""
    layer = ready(layer)
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        first = layer.mask_index if isinstance(layer, GaussianNoise) else None
        y = layer.forward(IMAGES, training=True)
        np.testing.assert_array_equal(twin.forward(IMAGES, training=True), y)
        np.testing.assert_array_equal(twin.backward(y), layer.backward(y))
        if first is not None:
            layer.mask_index = first
    y = layer.forward(IMAGES[:0], training=True)
    assert y.shape == (0, *layer.output_shape)
    assert layer.backward(y).shape == (0, *IMAGES.shape[1:])


@pytest.mark.parametrize("layer", [ZeroPadding2D(), UpSampling2D(), GlobalMaxPooling2D()], ids=repr)
def test_layers_for_images(layer):
    with pytest.raises(ValueError, match=r"input_shape \(H, W, C\): expected shape .* received \(7,\)"):
        ready(layer, (7,))


class TestInputLayer:
    """It gives a model its input shape, and does not stay."""

    @pytest.mark.parametrize(
        "given", [InputLayer((5, 4, 3)), InputLayer(shape=[5, 4, 3]), InputLayer(batch_shape=(None, 5, 4, 3))]
    )
    def test_a_model_is_built_as_layers_come(self, given):
        model = Sequential([given], seed=2)
        assert (model.built, model.layers, model.output_shape) == (True, [], (5, 4, 3))
        for layer, shape in ((Reshape((60,)), (60,)), (Dense(7), (7,))):
            model.add(layer)
            assert layer.built
            assert model.output_shape == shape
        assert model.input_shape == (5, 4, 3)
        twin = Sequential([Reshape((60,)), Dense(7)], seed=2, input_shape=(5, 4, 3))
        np.testing.assert_array_equal(model.parameters, twin.parameters)
        assert model.get_config() == twin.get_config()
        assert not isinstance(given, Layer)

    def test_it_is_no_layer(self):
        """A model of nothing else cannot be used yet."""
        model = Sequential([InputLayer((7,))])
        model.compile("sgd", "mse")
        x = np.ones((3, 7), np.float32)
        for use in (model.predict, lambda x: model.fit(x, x), lambda x: model.evaluate(x, x), model):
            with pytest.raises(ValueError, match="expected at least one layer, received none"):
                use(x)
        assert copy.deepcopy(model).built

    def test_it_comes_first(self):
        with pytest.raises(
            ValueError,
            match=r"InputLayer\(shape=\(7,\)\): expected before all layers, received after dense_1",
        ):
            Sequential([Dense(3), InputLayer((7,))])
        for model in (Sequential([InputLayer((7,))]), Sequential([Dense(3)], input_shape=(7,))):
            if model.layers:
                model.pop()
            with pytest.raises(ValueError, match="expected a model without an input shape, received one"):
                model.add(InputLayer((7,)))

    def test_the_shape_is_given_once(self):
        assert Sequential([InputLayer((7,)), Dense(3)], input_shape=(7,)).input_shape == (7,)
        with pytest.raises(ValueError, match=r"input_shape: expected shape \(7,\), received \(8,\)"):
            Sequential([InputLayer((7,)), Dense(3)], input_shape=(8,))
        with pytest.raises(ValueError, match="expected a shape or a batch_shape, received both or none"):
            InputLayer((7,), batch_shape=(None, 7))
        with pytest.raises(ValueError, match="expected a shape or a batch_shape, received both or none"):
            InputLayer()

    @pytest.mark.parametrize("shape", [(), 7, "ab", (0, 3), (None, None, 3), (2.5,)])
    def test_no_shape(self, shape):
        with pytest.raises(ValueError, match=r"^shape: expected"):
            InputLayer(shape)

    @pytest.mark.parametrize("shape", [(), 7, (32, 5, 4, 3), (5,), "ab"])
    def test_no_batch_shape(self, shape):
        with pytest.raises(
            ValueError, match=r"^batch_shape: expected one such as \(None, 28, 28, 1\), received"
        ):
            InputLayer(batch_shape=shape)

    def test_its_description(self):
        given = InputLayer((5, 4), name="images")
        assert repr(given) == "InputLayer(shape=(5, 4), name='images')"
        assert given.batch_shape == (None, 5, 4)
        for twin in (
            InputLayer.from_config(given.get_config()),
            copy.deepcopy(given),
            pickle.loads(pickle.dumps(given)),
        ):
            assert (repr(twin), twin.shape) == (repr(given), (5, 4))
        with pytest.raises(ValueError, match=r"InputLayer\.shape cannot be replaced: make a new InputLayer"):
            given.shape = (3,)
