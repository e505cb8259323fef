"""Modules of PyTorch that compute what a tinycnn network computes, made from its layers."""

import numpy as np

from tinycnn.kernels import geometry


def torch_network(torch, model):
    """Return a `torch.nn.Sequential` for images (N, C, H, W), numbered as docs/formats.md says."""
    modules, shape = [], model.input_shape
    for layer in model.layers:
        modules += BUILDERS[type(layer).__name__](torch.nn, layer, shape)
        shape = layer.compute_output_shape(shape)
    return torch.nn.Sequential(*modules).eval()


def outputs(torch, network, x):
    """Return what a network makes of images (N, H, W, C), with the channels last."""
    with torch.no_grad():
        images = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        return network(images).movedim(1, -1).numpy()


def activation(nn, name):
    modules = {
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(0.2),
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "softmax": lambda: nn.Softmax(dim=1),
    }
    return [] if name in (None, "linear") else [modules[name]()]


def convolution(nn, layer, shape):
    C, F = shape[2], layer.filters
    return [*padded(nn, layer, shape, C, F), *activation(nn, layer.activation)]


def padded(nn, layer, shape, C, F, **options):
    """A Conv2d, with a ZeroPad2d before it where the padding is uneven."""
    rows, columns = geometry.resolve_padding(
        layer.padding, shape[:2], layer.kernel_size, layer.strides, layer.dilation_rate
    )
    even = rows[0] == rows[1] and columns[0] == columns[1]
    pad = [] if even else [nn.ZeroPad2d((*columns, *rows))]
    options = {"bias": layer.use_bias, **options}
    size, strides, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
    padding = (rows[0], columns[0]) if even else 0
    return [*pad, nn.Conv2d(C, F, size, strides, padding, dilation, **options)]


def depthwise(nn, layer, shape):
    C = shape[2]
    return [
        *padded(nn, layer, shape, C, C * layer.depth_multiplier, groups=C),
        *activation(nn, layer.activation),
    ]


def separable(nn, layer, shape):
    C = shape[2]
    between = C * layer.depth_multiplier
    return [
        *padded(nn, layer, shape, C, between, groups=C, bias=False),
        nn.Conv2d(between, layer.filters, 1, bias=layer.use_bias),
        *activation(nn, layer.activation),
    ]


def dense(nn, layer, shape):
    return [nn.Linear(*shape, layer.units, bias=layer.use_bias), *activation(nn, layer.activation)]


def normalization(nn, layer, shape):
    cls = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return [cls(shape[-1], eps=layer.epsilon, affine=layer.scale or layer.center)]


def pool(nn, layer, shape):
    """With the padding of "same", the windows at the end are found by `ceil_mode`."""
    cls, options = {
        "MaxPooling2D": (nn.MaxPool2d, {}),
        "AveragePooling2D": (nn.AvgPool2d, {"count_include_pad": False}),
    }[type(layer).__name__]
    pads = geometry.resolve_padding(layer.padding, shape[:2], layer.pool_size, layer.strides, (1, 1))
    padding = tuple(before for before, _ in pads)
    return [cls(layer.pool_size, layer.strides, padding, ceil_mode=layer.padding == "same", **options)]


def reshape(nn, layer, shape):
    target = layer.compute_output_shape(shape)
    if len(target) == 1:
        return [nn.Flatten()]
    H, W, C = target
    return [
        nn.Unflatten(1, (C, H, W))
        if len(shape) == 1
        else nn.Sequential(nn.Flatten(), nn.Unflatten(1, (C, H, W)))
    ]


BUILDERS = {
    "Activation": lambda nn, layer, _: activation(nn, layer.activation) or [nn.Identity()],
    "AveragePooling2D": pool,
    "BatchNormalization": normalization,
    "Conv2D": convolution,
    "Dense": dense,
    "DepthwiseConv2D": depthwise,
    "Dropout": lambda nn, layer, _: [nn.Dropout(layer.rate)],
    "Flatten": lambda nn, *_: [nn.Flatten()],
    "GaussianNoise": lambda nn, *_: [nn.Identity()],
    "GlobalAveragePooling2D": lambda nn, *_: [nn.AdaptiveAvgPool2d(1), nn.Flatten()],
    "GlobalMaxPooling2D": lambda nn, *_: [nn.AdaptiveMaxPool2d(1), nn.Flatten()],
    "MaxPooling2D": pool,
    "ReLU": lambda nn, *_: [nn.ReLU()],
    "Reshape": reshape,
    "SeparableConv2D": separable,
    "Softmax": lambda nn, *_: [nn.Softmax(dim=1)],
    "UpSampling2D": lambda nn, layer, _: [nn.Upsample(scale_factor=layer.size, mode=layer.interpolation)],
    "ZeroPadding2D": lambda nn, layer, _: [nn.ZeroPad2d((*layer.padding[1], *layer.padding[0]))],
}
