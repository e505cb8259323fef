"""Convolution: the same small filters at every place of the image.

::

    x (N, H, W, C) -> kernels.conv2d with kernel (KH, KW, C, F), + bias (F) -> activation -> y (N, OH, OW, F)
    dy -> activation's gradient -> dz -> kernel, bias and input gradients

How the sums are computed is the business of `tinycnn.kernels`, chosen by `algorithm`.
"""

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinycnn import activations, checks, initializers, kernels
from tinycnn.checks import Pads, Pair
from tinycnn.kernels import explanation, geometry
from tinycnn.kernels.explanation import Pass
from tinycnn.layers.base import Layer, Shape


class Conv2D(Layer):
    """Two-dimensional convolution (a cross-correlation: the kernel is not flipped), NHWC.

    Parameters
    ----------
    filters : int
        Number of output channels, F.
    kernel_size : int or (int, int)
        KH and KW; one number stands for both. So with `strides` and `dilation_rate`.
    strides : int or (int, int)
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right))
        "same" gives ceil(H / stride) rows, with the odd pixel at the end, as in Keras. Numbers are explicit
        rows and columns of zeros, on both sides or on each.
    dilation_rate : int or (int, int)
        Distance between the pixels under neighbouring taps.
    activation : str, optional
        A name of `tinycnn.activations`; None means linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str
    algorithm : str
        "auto" or a name of `tinycnn.kernels.ALGORITHMS`.
    name : str, optional

    Attributes
    ----------
    params, grads : dict
        "kernel" of shape (KH, KW, C, F) and, with `use_bias`, "bias" of shape (F,).

    Raises
    ------
    ValueError
        For arguments out of range, and by `build` when the kernel is larger than the padded input.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Pair,
        strides: int | Pair = 1,
        padding: str | int | Pair | Pads = "valid",
        dilation_rate: int | Pair = 1,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        algorithm: str = "auto",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.filters = checks.whole("filters", filters, 1)
        self.kernel_size = checks.pair("kernel_size", kernel_size, 1)
        self.strides = checks.pair("strides", strides, 1)
        self.padding = _check_padding(padding)
        self.dilation_rate = checks.pair("dilation_rate", dilation_rate, 1)
        self.activation = activation
        self._activation = activations.get(activation)
        self.use_bias = checks.flag("use_bias", use_bias)
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self._initializers = {
            "kernel": initializers.get(kernel_initializer),
            "bias": initializers.get(bias_initializer),
        }
        self.algorithm = kernels.check_algorithm(algorithm)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, F) for (H, W, C)."""
        checks.shape(f"{self.label}: input_shape (H, W, C)", input_shape, (None, None, None))
        pads = self._pads(input_shape)
        try:
            size = geometry.window_output(
                input_shape[:2], self.kernel_size, self.strides, pads, self.dilation_rate
            )
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from None
        return *size, self.filters

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = np.float32) -> None:
        """See `Layer.build`."""
        super().build(input_shape, rng, dtype)
        self._places = math.prod(self.compute_output_shape(input_shape)[:2])  # OH * OW

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of "kernel" and "bias"."""
        kernel = *self.kernel_size, input_shape[2], self.filters
        return {"kernel": kernel, "bias": (self.filters,)} if self.use_bias else {"kernel": kernel}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, OH, OW, F) for x (N, H, W, C)."""
        self.check_input(x)
        relu = self.activation == "relu"  # which the kernels can do on their way out
        kernel, bias = self.params["kernel"], self.params.get("bias")
        y = self._find("conv2d", len(x))(x, kernel, bias, *self._geometry(), relu)
        y = y if relu else self._activation.function(y)
        if training:
            self._kept = x, y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign grads["kernel"] and grads["bias"]; return dx (N, H, W, C) for dy (N, OH, OW, F)."""
        return self.grad_input(self._assign(dy))

    def backward_params(self, dy: np.ndarray) -> None:
        """See `Layer.backward_params`."""
        self._assign(dy)

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dz."""
        x, y = self._recall()
        self.check_gradient(dy, y.shape)
        dz = self._activation.gradient(y, dy)
        self.assign_grads(self.grad_kernel(x, dz), dz.sum(axis=(0, 1, 2)))
        return dz

    def assign_grads(self, dw: np.ndarray, db: np.ndarray) -> None:
        """Copy dw (KH, KW, C, F) and, if there is a bias, db (F,) to `grads`."""
        self.grads["kernel"][...] = dw
        if self.use_bias:
            self.grads["bias"][...] = db

    def grad_kernel(self, x: np.ndarray, dz: np.ndarray) -> np.ndarray:
        """Return dw for dz (N, OH, OW, F), the gradient before the activation."""
        function = self._find("conv2d_grad_kernel", len(x))
        return function(x, dz, self.params["kernel"].shape, *self._geometry())

    def grad_input(self, dz: np.ndarray) -> np.ndarray:
        """Return dx, likewise."""
        x_shape = (len(dz), *(self.input_shape or ()))
        function = self._find("conv2d_grad_input", len(dz))
        return function(dz, self.params["kernel"], x_shape, *self._geometry())

    def select(self, operation: str, images: int) -> str:
        """Return the name of the algorithm that computes "conv2d", or one of its gradients, for a batch."""
        return kernels.select(operation, *self._choice(), self._places, images)

    def _choice(self) -> tuple[str, Shape, Pair, Pair]:
        """Return by what `kernels.choose` chooses, whatever the batch."""
        return self.algorithm, self.params["kernel"].shape, self.strides, self.dilation_rate

    def passes(self) -> list[Pass]:
        """See `Layer.passes`."""
        H, W, _ = x_shape = self.input_shape or ()
        OH, OW, _ = self.compute_output_shape(x_shape)
        return [
            self._pass(explanation.FORWARD, "conv2d", (OH, OW), (OH, OW)),
            self._pass(explanation.INPUT_GRADIENT, "conv2d_grad_input", (H, W), (OH, OW)),
            self._pass(explanation.FILTER_GRADIENT, "conv2d_grad_kernel", (OH, OW), (OH, OW)),
        ]

    def _pass(self, step: str, operation: str, tiled: Pair, outputs: Pair) -> Pass:
        """Return the row of a pass; `tiled` is what Winograd cuts into tiles."""
        algorithm, reason, refused = kernels.choose(operation, *self._choice())
        if algorithm == "winograd" and not refused:
            r = self.kernel_size[0]
            winograd = kernels.module("winograd")
            *_, C, F = self.params["kernel"].shape
            w_shape = (r, r, F, C) if operation == "conv2d_grad_input" else (r, r, C, F)
            m = winograd.tile_size(r, *tiled)
            name, saving = explanation.minimal_filtering(m, r, tiled, outputs)
            algorithm, reason = f"{algorithm} {name}", f"{reason}: {saving}"
            most = -(-kernels.WINOGRAD_OUTPUTS // math.prod(outputs))
            if few := [images for images in range(1, most) if self.select(operation, images) == "direct"]:
                reason += f"; direct if batch <= {few[-1]}"
            elif operation != "conv2d_grad_kernel":
                of_one = winograd.tile_size_of_one(w_shape, *tiled, self.dtype)
                reason += "" if of_one == m else f"; F({of_one},{r}) if batch is 1"
        return Pass(self.label, step, algorithm, reason)

    def _find(self, operation: str, images: int) -> Callable[..., np.ndarray]:
        algorithm = kernels.module(self.select(operation, images))
        function: Callable[..., np.ndarray] = getattr(algorithm, operation)
        return function

    def pads(self) -> Pads:
        """Return the padding in numbers, of a layer that is built."""
        return self._pads(self.input_shape or ())

    def _pads(self, input_shape: Shape) -> Pads:
        return geometry.resolve_padding(
            self.padding, input_shape[:2], self.kernel_size, self.strides, self.dilation_rate
        )

    def _geometry(self) -> tuple[Pair, Pads, Pair]:
        """Return strides, padding and dilation, as the kernels take them."""
        return self.strides, self.pads(), self.dilation_rate


def _check_padding(padding: str | int | Pair | Pads) -> str | Pads:
    if isinstance(padding, str):
        return checks.choice("padding", padding, ("valid", "same"))
    sides: Any = (padding, padding) if isinstance(padding, numbers.Integral) else padding
    if not isinstance(sides, Sequence) or len(sides) != 2:
        raise ValueError(
            'padding: expected "valid", "same", a number, (height, width) or ((top, bottom), (left, right)), '
            f"received {padding!r}"
        )
    return checks.pair("padding", sides[0], 0), checks.pair("padding", sides[1], 0)
