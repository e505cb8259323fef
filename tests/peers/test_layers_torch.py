"""Every layer against PyTorch, whose images are (N, C, H, W) and whose filters are (F, C, KH, KW)."""

import numpy as np
import pytest

from tests.peers.peer_helpers import (
    ACTIVATIONS,
    assert_close,
    compare_with_torch,
    random_array,
    random_sizes,
    torch_activation,
)
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
    MaxPooling2D,
    SeparableConv2D,
)

ALGORITHMS = ["naive", "im2col", "direct"]  # those that take every shape
NO_PADDING = ((0, 0), (0, 0))
# strides, padding ((top, bottom), (left, right)), dilation
GEOMETRIES = [
    ((1, 1), "valid", (1, 1)),
    ((2, 3), NO_PADDING, (1, 1)),
    ((1, 1), ((2, 2), (1, 1)), (1, 1)),
    ((3, 2), ((1, 2), (3, 0)), (1, 1)),
    ((1, 1), ((2, 1), (4, 3)), (2, 3)),
    ((2, 1), ((3, 4), (0, 5)), (1, 2)),
]


def images_first(x):
    return x.permute(0, 3, 1, 2)


def filters_first(kernel):
    return kernel.permute(3, 2, 0, 1).contiguous()


def channels_last(y):
    return y.permute(0, 2, 3, 1)


def pad(torch, x, padding):
    """Return images (N, C, H, W) with rows and columns of zeros added."""
    (top, bottom), (left, right) = NO_PADDING if padding == "valid" else padding
    return torch.nn.functional.pad(x, (left, right, top, bottom))


def torch_depthwise(torch, strides, padding, dilation, activation="linear"):
    """Return a convolution in as many groups as there are channels, and perhaps one of 1x1 after it."""

    def function(x, parameters):
        kernel, pointwise = parameters.get("kernel"), parameters.get("pointwise_kernel")
        kernel = parameters["depthwise_kernel"] if kernel is None else kernel  # (KH, KW, C, M)
        KH, KW, C, M = kernel.shape
        z = torch.nn.functional.conv2d(
            pad(torch, images_first(x), padding),
            kernel.permute(2, 3, 0, 1).reshape(C * M, 1, KH, KW),
            parameters.get("bias") if pointwise is None else None,
            stride=strides,
            dilation=dilation,
            groups=C,
        )
        if pointwise is not None:
            z = torch.nn.functional.conv2d(z, filters_first(pointwise), parameters.get("bias"))
        return torch_activation(torch, activation)(channels_last(z))

    return function


def torch_conv(torch, strides, padding, dilation, activation="linear"):
    def function(x, parameters):
        z = torch.nn.functional.conv2d(
            pad(torch, images_first(x), padding),
            filters_first(parameters["kernel"]),
            parameters.get("bias"),
            stride=strides,
            dilation=dilation,
        )
        return torch_activation(torch, activation)(channels_last(z))

    return function


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("strides", "padding", "dilation"), GEOMETRIES)
def test_conv2d(torch, algorithm, strides, padding, dilation, dtype):
    rng = np.random.default_rng(1)
    N, H, W, C, F, KH, KW = 2, 13, 11, 3, 6, 4, 5
    layer = Conv2D(F, (KH, KW), strides, padding, dilation, algorithm=algorithm)
    x = random_array(rng, (N, H, W, C), dtype)
    compare_with_torch(torch, layer, torch_conv(torch, strides, padding, dilation), x, rng)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("strides", "padding", "dilation"), GEOMETRIES)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_and_separable_conv2d(torch, multiplier, algorithm, strides, padding, dilation, dtype):
    rng = np.random.default_rng(1)
    x, function = random_array(rng, (2, 13, 11, 3), dtype), torch_depthwise(torch, strides, padding, dilation)
    layer = DepthwiseConv2D((4, 5), strides, padding, multiplier, dilation, algorithm=algorithm)
    compare_with_torch(torch, layer, function, x, rng)
    layer = SeparableConv2D(7, (4, 5), strides, padding, dilation, multiplier, algorithm=algorithm)
    compare_with_torch(torch, layer, function, x, rng)


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("seed", range(8))
def test_depthwise_conv2d_of_random_sizes(torch, algorithm, seed, dtype):
    """Channels of one vector and more, with remainders."""
    rng = np.random.default_rng(seed)
    N, H, W, C, M, KH, KW = random_sizes(rng)
    strides = tuple(rng.integers(1, 4, 2).tolist())
    padding = tuple(map(tuple, rng.integers(0, 4, (2, 2)).tolist()))
    C += int(rng.integers(0, 60))
    layer = DepthwiseConv2D(
        (KH, KW), strides, padding, min(M, 3), activation="relu", use_bias=bool(seed % 2), algorithm=algorithm
    )
    function = torch_depthwise(torch, strides, padding, (1, 1), "relu")
    compare_with_torch(torch, layer, function, random_array(rng, (N, H, W, C), dtype), rng)


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("seed", range(8))
def test_conv2d_of_random_sizes(torch, algorithm, seed, dtype):
    rng = np.random.default_rng(seed)
    N, H, W, C, F, KH, KW = random_sizes(rng)
    strides = tuple(rng.integers(1, 4, 2).tolist())
    padding = tuple(map(tuple, rng.integers(0, 4, (2, 2)).tolist()))
    layer = Conv2D(F, (KH, KW), strides, padding, use_bias=bool(seed % 2), algorithm=algorithm)
    x = random_array(rng, (N, H, W, C), dtype)
    compare_with_torch(torch, layer, torch_conv(torch, strides, padding, (1, 1)), x, rng)


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("dilation", [(1, 1), (3, 2)])
def test_conv2d_same(torch, algorithm, dilation, dtype):
    """PyTorch knows "same" for strides of 1 only; it puts the odd row at the end too."""
    rng = np.random.default_rng(2)
    layer = Conv2D(5, (4, 2), padding="same", dilation_rate=dilation, algorithm=algorithm)

    def function(x, parameters):
        kernel = filters_first(parameters["kernel"])
        rows, columns = dilation[0] * 3, dilation[1] * 1
        padding = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
        explicit = pad(torch, images_first(x), padding)
        y = torch.nn.functional.conv2d(explicit, kernel, parameters["bias"], dilation=dilation)
        return channels_last(y)

    compare_with_torch(torch, layer, function, random_array(rng, (3, 11, 9, 6), dtype), rng)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_conv2d_activation(torch, activation, dtype):
    rng = np.random.default_rng(3)
    layer = Conv2D(6, (2, 3), activation=activation)
    function = torch_conv(torch, (1, 1), "valid", (1, 1), activation)
    compare_with_torch(torch, layer, function, random_array(rng, (4, 9, 8, 5), dtype), rng)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("window", "strides"), [((2, 3), (2, 3)), ((4, 2), (1, 3)), ((2, 2), (3, 4))])
@pytest.mark.parametrize("cls", [MaxPooling2D, AveragePooling2D])
def test_pooling(torch, cls, window, strides, algorithm, dtype):
    rng = np.random.default_rng(4)
    maximum = cls is MaxPooling2D
    pool = torch.nn.functional.max_pool2d if maximum else torch.nn.functional.avg_pool2d
    layer = cls(window, strides, algorithm=algorithm)
    x = random_array(rng, (3, 11, 10, 5), dtype)
    compare_with_torch(
        torch, layer, lambda x, _: channels_last(pool(images_first(x), window, strides)), x, rng
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_max_pooling_of_equal_pixels(torch, algorithm, dtype):
    """After a ReLU most windows hold several zeros: the first of equal pixels wins, as in PyTorch."""
    rng = np.random.default_rng(5)
    x = rng.integers(0, 2, (3, 11, 10, 5)).astype(dtype)
    layer = MaxPooling2D((3, 4), (2, 1), algorithm=algorithm)

    def function(x, _):
        return channels_last(torch.nn.functional.max_pool2d(images_first(x), (3, 4), (2, 1)))

    compare_with_torch(torch, layer, function, x, rng)


def test_global_average_pooling(torch, dtype):
    rng = np.random.default_rng(6)
    x = random_array(rng, (4, 7, 5, 3), dtype)
    compare_with_torch(torch, GlobalAveragePooling2D(), lambda x, _: x.mean(dim=(1, 2)), x, rng)


def test_flatten(torch, dtype):
    rng = np.random.default_rng(7)
    x = random_array(rng, (4, 7, 5, 3), dtype)
    compare_with_torch(torch, Flatten(), lambda x, _: torch.flatten(x, 1), x, rng)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense(torch, activation, use_bias, dtype):
    rng = np.random.default_rng(8)
    x = random_array(rng, (7, 11), dtype)
    layer = Dense(5, activation=activation, use_bias=use_bias)

    def function(x, parameters):
        z = torch.nn.functional.linear(x, parameters["kernel"].T, parameters.get("bias"))
        return torch_activation(torch, activation)(z)

    compare_with_torch(torch, layer, function, x, rng)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 4, 3)])
def test_activation(torch, activation, shape, dtype):
    rng = np.random.default_rng(9)
    x = 3 * random_array(rng, shape, dtype)
    function = torch_activation(torch, activation)
    compare_with_torch(torch, Activation(activation), lambda x, _: function(x), x, rng)


@pytest.mark.parametrize("shape", [(9, 5), (4, 7, 5, 3)])
@pytest.mark.parametrize(("center", "scale"), [(True, True), (True, False), (False, True)])
def test_batch_normalization(torch, shape, center, scale, dtype):
    """Outputs and gradients. PyTorch's moving variance is another one; see the tests against Keras."""
    rng = np.random.default_rng(10)
    x = 3 * random_array(rng, shape, dtype) + 2
    layer = BatchNormalization(epsilon=0.01, center=center, scale=scale)

    def function(x, parameters):
        gamma, beta = parameters.get("gamma"), parameters.get("beta")
        y = torch.nn.functional.batch_norm(x.movedim(-1, 1), None, None, gamma, beta, training=True, eps=0.01)
        return y.movedim(1, -1)

    compare_with_torch(torch, layer, function, x, rng)


def test_dropout(torch, dtype):
    """With the same mask in both, and the same scale as PyTorch's own dropout."""
    rng = np.random.default_rng(11)
    x = random_array(rng, (5, 9, 8, 3), dtype)
    layer = Dropout(0.375, seed=1)
    layer.build(x.shape[1:], rng, x.dtype)
    mask = layer.forward(np.ones_like(x), training=True)
    kept = np.unique(torch.nn.functional.dropout(torch.ones(1000, dtype=getattr(torch, dtype)), 0.375))
    assert_close(np.unique(mask), kept)
    layer.mask_index = 0
    compare_with_torch(torch, layer, lambda x, _: x * torch.tensor(mask), x, rng)
    np.testing.assert_array_equal(layer.forward(x), x)
