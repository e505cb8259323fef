"""Convolutions to measure: their arrays, their cost, and their expected results.

::

    Conv, Depthwise -> arrays -> arguments of conv2d, conv2d_grad_input, conv2d_grad_filter
                    -> flops, traffic                       -> reference: the results in float64

Multiplications and additions are counted as in the definition, 2 * N*OH*OW*F * KH*KW*C for each of the three
passes, where F is the depth multiplier of a depthwise convolution. That holds also for an algorithm that
saves some. So rates rank algorithms as times do, and a rate above the peak of the machine means that work was
saved. The traffic is the compulsory one: every operand is read once and the result is written once, as if the
caches were as large as the memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Pads = tuple[tuple[int, int], tuple[int, int]]
NO_PADDING: Pads = ((0, 0), (0, 0))

#: The passes, by their name on the command line: the title of each, and the function that computes it.
PASSES = {
    "forward": ("forward", "conv2d"),
    "input": ("input gradient", "conv2d_grad_input"),
    "filter": ("filter gradient", "conv2d_grad_filter"),
}


class Conv(NamedTuple):
    """The sizes of one convolution.

    `out` is (OH, OW), from which the size of the input follows. `spare` are rows and columns at the end of
    the input that no window reaches. `pooled` says whether a 2x2 max-pool follows in `mnist_cnn`.
    """

    out: tuple[int, int]
    channels: int
    filters: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Pads = NO_PADDING
    dilation: tuple[int, int] = (1, 1)
    spare: tuple[int, int] = (0, 0)
    pooled: bool = False

    @property
    def outputs(self) -> int:
        """Channels of the output."""
        return self.filters

    @property
    def groups(self) -> int:
        """Parts of the channels that are not added to each other, as PyTorch and ONNX count them."""
        return 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input."""
        axes = zip(self.out, self.kernel, self.strides, self.padding, self.dilation, self.spare, strict=True)
        height, width = ((o - 1) * s + (k - 1) * d + 1 - sum(p) + more for o, k, s, p, d, more in axes)
        return height, width

    def shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of x, w, b and dy."""
        return {
            "x": (batch, *self.size, self.channels),
            "w": (*self.kernel, self.channels, self.filters),
            "b": (self.outputs,),
            "dy": (batch, *self.out, self.outputs),
        }

    def arrays(self, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Return x, w, b and dy in float32, normally distributed; w is scaled so that y is about 1."""
        rng = np.random.default_rng(seed)
        arrays = {name: rng.standard_normal(shape, np.float32) for name, shape in self.shapes(batch).items()}
        arrays["w"] /= np.float32(np.sqrt(self.kernel[0] * self.kernel[1] * self.channels // self.groups))
        return arrays

    def operation(self, function: str) -> str:
        """Return the function in `tinycnn.kernels` that computes a pass, given that of a convolution."""
        return function

    def filters_first(self, w: np.ndarray) -> np.ndarray:
        """Return filters as PyTorch and ONNX store them, (F, C, KH, KW)."""
        return w.transpose(3, 2, 0, 1)

    def filters_last(self, w: np.ndarray) -> np.ndarray:
        """Return filters of PyTorch as tinycnn stores them, (KH, KW, C, F)."""
        return w.transpose(2, 3, 1, 0)

    def arguments(self, function: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return the arguments of a function, by their names in `tinycnn.kernels.conv.naive`."""
        how = {"strides": self.strides, "padding": self.padding, "dilation": self.dilation}
        shape_of = {"x_shape": arrays["x"].shape, "w_shape": arrays["w"].shape}
        names = {
            "conv2d": ("x", "w", "b"),
            "conv2d_grad_input": ("dy", "w", "x_shape"),
            "conv2d_grad_filter": ("x", "dy", "w_shape"),
        }
        return {name: (arrays | shape_of)[name] for name in names[function]} | how

    def flops(self, batch: int) -> int:
        """Return the multiplications and additions of one pass, counted as in the definition."""
        return (
            2 * batch * self.out[0] * self.out[1] * self.filters * np.prod(self.kernel).item() * self.channels
        )

    def traffic(self, function: str, batch: int) -> int:
        """Return the bytes of the operands and of the result of one pass, in float32."""
        sizes = {name: int(np.prod(shape)) for name, shape in self.shapes(batch).items()}
        moved = ("x", "w", "b", "dy") if function == "conv2d" else ("x", "w", "dy")  # y is as large as dy
        return 4 * sum(sizes[name] for name in moved)

    def describe(self, batch: int) -> str:
        """Return the sizes as text, for an error."""
        (KH, KW), (OH, OW), (H, W) = self.kernel, self.out, self.size
        text = f"batch {batch}, {H}x{W}x{self.channels} -> {OH}x{OW}x{self.outputs}, kernel {KH}x{KW}"
        usual = {"strides": (1, 1), "padding": NO_PADDING, "dilation": (1, 1)}
        return text + "".join(f", {k} {getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v)


class Depthwise(Conv):
    """The sizes of one depthwise convolution; `filters` is its depth multiplier."""

    @property
    def outputs(self) -> int:
        """Channels of the output."""
        return self.channels * self.filters

    @property
    def groups(self) -> int:
        """As many as there are channels."""
        return self.channels

    def operation(self, function: str) -> str:
        """Return the function in `tinycnn.kernels` that computes a pass, given that of a convolution."""
        return f"depthwise_{function}"

    def filters_first(self, w: np.ndarray) -> np.ndarray:
        """Return filters (KH, KW, C, M) as PyTorch and ONNX store them, (C * M, 1, KH, KW)."""
        return w.transpose(2, 3, 0, 1).reshape(self.outputs, 1, *self.kernel)

    def filters_last(self, w: np.ndarray) -> np.ndarray:
        """Return filters of PyTorch as tinycnn stores them, (KH, KW, C, M)."""
        return w.reshape(self.channels, self.filters, *self.kernel).transpose(2, 3, 0, 1)


#: The convolutions of `mnist_cnn`.
NETWORK = {
    "conv1": Conv((26, 26), 1, 32, (3, 3)),
    "conv2": Conv((24, 24), 32, 64, (3, 3), pooled=True),
    "conv3": Conv((11, 11), 64, 128, (2, 2)),
    "conv4": Conv((10, 10), 128, 256, (2, 2), pooled=True),
}

#: Depthwise convolutions, as in MobileNets (Howard et al. 2017, table 1) for images of 32 x 32.
SAME: Pads = ((1, 1), (1, 1))
DEPTHWISE = {
    "depthwise1": Depthwise((32, 32), 32, 1, (3, 3), padding=SAME),
    "depthwise2": Depthwise((16, 16), 64, 1, (3, 3), (2, 2), SAME, spare=(1, 1)),
    "depthwise3": Depthwise((16, 16), 128, 1, (3, 3), padding=SAME),
    "depthwise4": Depthwise((8, 8), 256, 1, (3, 3), padding=SAME),
}
LAYERS: dict[str, Conv] = {**NETWORK, **DEPTHWISE}


def _taps(conv: Conv, xp: np.ndarray, visit: Callable[[int, int, np.ndarray], None]) -> None:
    """Call visit(kh, kw, view) with the pixels (N, OH, OW, C) under each tap of the filter."""
    (SH, SW), (DH, DW), (OH, OW) = conv.strides, conv.dilation, conv.out
    for kh, kw in np.ndindex(conv.kernel):
        rows = slice(kh * DH, kh * DH + (OH - 1) * SH + 1, SH)
        columns = slice(kw * DW, kw * DW + (OW - 1) * SW + 1, SW)
        visit(kh, kw, xp[:, rows, columns])  # (N, OH, OW, C)


def reference(conv: Conv, function: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the result of one pass in float64, computed tap by tap, as no algorithm of the library does.

    Parameters
    ----------
    conv : Conv
    function : "conv2d", "conv2d_grad_input" or "conv2d_grad_filter"
    arrays : dict
        x, w, b and dy, of any dtype.
    """
    if isinstance(conv, Depthwise):
        return _depthwise_reference(conv, function, arrays)
    x, w, b, dy = (arrays[name].astype(np.float64) for name in ("x", "w", "b", "dy"))
    (top, bottom), (left, right) = conv.padding
    xp = np.pad(x, ((0, 0), *conv.padding, (0, 0)))
    y, dxp, dw = np.zeros_like(dy), np.zeros_like(xp), np.zeros_like(w)

    def forward(kh: int, kw: int, pixels: np.ndarray) -> None:
        np.add(y, pixels @ w[kh, kw], out=y)

    def grad_input(kh: int, kw: int, pixels: np.ndarray) -> None:
        pixels += dy @ w[kh, kw].T

    def grad_kernel(kh: int, kw: int, pixels: np.ndarray) -> None:
        dw[kh, kw] = pixels.reshape(-1, conv.channels).T @ dy.reshape(-1, conv.filters)

    if function == "conv2d":
        _taps(conv, xp, forward)
        return y + b
    if function == "conv2d_grad_input":
        _taps(conv, dxp, grad_input)
        return dxp[:, top : dxp.shape[1] - bottom, left : dxp.shape[2] - right]
    _taps(conv, xp, grad_kernel)
    return dw


def _depthwise_reference(conv: Depthwise, function: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the result of a convolution whose filters are zero between different channels."""
    each = np.arange(conv.channels)
    w = np.zeros((*conv.kernel, conv.channels, conv.channels, conv.filters))  # (KH, KW, C, C, M)
    w[:, :, each, each] = arrays["w"]
    flat = w.reshape(*conv.kernel, conv.channels, conv.outputs)
    result = reference(Conv(*conv)._replace(filters=conv.outputs), function, arrays | {"w": flat})
    return result.reshape(w.shape)[:, :, each, each] if function == "conv2d_grad_filter" else result
