"""Convolutions that look at each channel alone: depthwise, and separable, which then mixes the channels.

::

    x (N, H, W, C) -> kernels.depthwise_conv2d with kernel (KH, KW, C, M), + bias (C*M) -> activation -> y

    x -> the same with depthwise_kernel, without bias -> z (N, OH, OW, C*M)
      -> kernels.conv2d with pointwise_kernel (1, 1, C*M, F), + bias (F) -> activation -> y (N, OH, OW, F)

Names and arguments are Keras'. A 3x3 separable convolution makes about 1/9 of the multiplications of a whole
one (Howard et al., "MobileNets", arXiv 1704.04861; Chollet, "Xception", arXiv 1610.02357).
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np

from tinycnn import initializers, kernels, regularizers
from tinycnn.kernels.selection import DEPTHWISE_ALGORITHMS
from tinycnn.layers.base import Shape
from tinycnn.layers.convolution import Convolution
from tinycnn.layers.keras_names import WeightNamed
from tinycnn.support import checks, html
from tinycnn.support.checks import Pads, Pair
from tinycnn.support.sums import sum_rows


class _Depthwise(Convolution):
    """Base class of both: the arguments that they share."""

    def __init__(
        self,
        depth_multiplier: int,
        depthwise_initializer: str,
        depthwise_regularizer: Any,
        algorithm: str,
        *windows_bias_and_activation: Any,
    ) -> None:
        super().__init__(*windows_bias_and_activation)
        self.depth_multiplier = checks.whole("depth_multiplier", depth_multiplier, 1)
        self.depthwise_initializer = initializers.check(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get("depthwise_regularizer", depthwise_regularizer)
        self.algorithm = checks.choice("algorithm", algorithm, ("auto", *DEPTHWISE_ALGORITHMS))

    def _gradient_of_sums(self, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Return the gradient before the activation, and assign that of the bias."""
        self.check_gradient(dy, y.shape)
        dz = self._activation.gradient(y, dy)
        if self.use_bias:
            self.grads["bias"][...] = sum_rows(dz.reshape(-1, dz.shape[-1]))
        return dz

    def _repr_html_(self) -> str:
        """See `Layer`; with the first filter of each channel as pictures."""
        text = super()._repr_html_()
        if not self.built:
            return text
        kernel = next(iter(self.params.values()))
        filters = np.moveaxis(kernel[..., 0], -1, 0)  # (KH, KW, C) -> (C, KH, KW)
        drawn = min(len(filters), html.MOST)
        return text + html.squares(
            list(filters), f"{self.label}: filter 0 of {drawn} of {len(filters)} channels"
        )


class DepthwiseConv2D(_Depthwise):
    """Depthwise convolution of images (N, H, W, C): each channel is convolved with filters of its own.

    Output channel c * M + m is channel c under its filter m. As in Keras and PyTorch, this is a
    cross-correlation: the kernel is not flipped.

    Parameters
    ----------
    kernel_size : int or (int, int)
        KH and KW; a single number stands for both, as in `strides` and `dilation_rate`.
    strides : int or (int, int)
        Distance between neighbouring windows.
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right))
        As of `Conv2D`.
    depth_multiplier : int
        Filters for each channel, M.
    dilation_rate : int or (int, int)
        Distance between the pixels that neighbouring elements of the filter meet.
    activation : str, optional
        A name of `tinycnn.activations`; None means linear.
    use_bias : bool
    depthwise_initializer, bias_initializer : str
        Names of `tinycnn.initializers`. As in Keras, the fan-in that they reckon with is that of a whole
        convolution of this kernel, KH * KW * C, and the fan-out KH * KW * M.
    algorithm : str
        "auto", "naive", "im2col" or "direct".
    name : str, optional
    depthwise_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties that are added to the loss: names such as "l2", or objects of `tinycnn.regularizers`.

    Attributes
    ----------
    params, grads : dict
        "kernel" of shape (KH, KW, C, M) and, with `use_bias`, "bias" of shape (C*M,).
    kernel_initializer, kernel_regularizer
        `depthwise_initializer` and `depthwise_regularizer`, by the name of the weight.

    Raises
    ------
    ValueError
        For arguments out of range; in `build`, when the kernel is larger than the padded input.
    """

    kernel = WeightNamed()
    kernel_initializer = property(attrgetter("depthwise_initializer"))
    kernel_regularizer = property(attrgetter("depthwise_regularizer"))
    _used_by_build = ("depthwise_initializer", "bias_initializer")

    def __init__(
        self,
        kernel_size: int | Pair,
        strides: int | Pair = 1,
        padding: str | int | Pair | Pads = "valid",
        depth_multiplier: int = 1,
        dilation_rate: int | Pair = 1,
        activation: str | None = None,
        use_bias: bool = True,
        depthwise_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        algorithm: str = "auto",
        name: str | None = None,
        *,
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
    ) -> None:
        own = depth_multiplier, depthwise_initializer, depthwise_regularizer, algorithm
        windows = kernel_size, strides, padding, dilation_rate
        super().__init__(*own, *windows, activation, use_bias, bias_initializer, bias_regularizer, name)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, C*M) for (H, W, C)."""
        return *self._output_size(input_shape), input_shape[2] * self.depth_multiplier

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of "kernel" and "bias"."""
        C, M = input_shape[2], self.depth_multiplier
        kernel = *self.kernel_size, C, M
        return {"kernel": kernel, "bias": (C * M,)} if self.use_bias else {"kernel": kernel}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, OH, OW, C*M) for x (N, H, W, C)."""
        self.check_input(x)
        relu = self.activation == "relu"  # the kernels apply it while they write y
        kernel, bias = self.params["kernel"], self.params.get("bias")
        y = kernels.depthwise_conv2d(x, kernel, bias, *self.geometry(), relu, self.algorithm)
        y = y if relu else self._activation.function(y)
        if training:
            self._saved = x, y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign grads["kernel"] and grads["bias"]; return dx (N, H, W, C) for dy (N, OH, OW, C*M)."""
        dz = self._assign(dy)
        x_shape = self.saved()[0].shape
        return kernels.depthwise_conv2d_grad_input(
            dz, self.params["kernel"], x_shape, *self.geometry(), self.algorithm
        )

    def backward_params(self, dy: np.ndarray) -> None:
        """See `Layer.backward_params`."""
        self._assign(dy)

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dz, the gradient before the activation."""
        x, y = self.saved()
        dz = self._gradient_of_sums(y, dy)
        self.grads["kernel"][...] = kernels.depthwise_conv2d_grad_filter(
            x, dz, self.params["kernel"].shape, *self.geometry(), self.algorithm
        )
        return dz


class SeparableConv2D(_Depthwise):
    """Separable convolution of images (N, H, W, C): a depthwise one, and then one of 1x1 over its channels.

    Bias and activation come after the second.

    Parameters
    ----------
    filters : int
        Channels of the output, F.
    kernel_size, strides, padding, dilation_rate
        Of the depthwise convolution; see `DepthwiseConv2D`.
    depth_multiplier : int
        Filters for each channel of the input, M.
    activation : str, optional
        A name of `tinycnn.activations`; None means linear.
    use_bias : bool
    depthwise_initializer, pointwise_initializer, bias_initializer : str
        Names of `tinycnn.initializers`.
    algorithm : str
        "auto", "naive", "im2col" or "direct", of both convolutions: the second is computed by the algorithm
        that is chosen for the first.
    name : str, optional
    depthwise_regularizer, pointwise_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties that are added to the loss: names such as "l2", or objects of `tinycnn.regularizers`.

    Attributes
    ----------
    params, grads : dict
        "depthwise_kernel" of shape (KH, KW, C, M), "pointwise_kernel" of shape (1, 1, C*M, F) and, with
        `use_bias`, "bias" of shape (F,).
    depthwise_kernel_initializer, depthwise_kernel_regularizer
        `depthwise_initializer` and `depthwise_regularizer`, by the name of the weight; the same of the other.

    Raises
    ------
    ValueError
        For arguments out of range; in `build`, when the kernel is larger than the padded input.
    """

    depthwise_kernel, pointwise_kernel = WeightNamed(), WeightNamed()
    depthwise_kernel_initializer = property(attrgetter("depthwise_initializer"))
    depthwise_kernel_regularizer = property(attrgetter("depthwise_regularizer"))
    pointwise_kernel_initializer = property(attrgetter("pointwise_initializer"))
    pointwise_kernel_regularizer = property(attrgetter("pointwise_regularizer"))
    _used_by_build = ("depthwise_initializer", "pointwise_initializer", "bias_initializer")

    def __init__(
        self,
        filters: int,
        kernel_size: int | Pair,
        strides: int | Pair = 1,
        padding: str | int | Pair | Pads = "valid",
        dilation_rate: int | Pair = 1,
        depth_multiplier: int = 1,
        activation: str | None = None,
        use_bias: bool = True,
        depthwise_initializer: str = "glorot_uniform",
        pointwise_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        algorithm: str = "auto",
        name: str | None = None,
        *,
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
    ) -> None:
        own = depth_multiplier, depthwise_initializer, depthwise_regularizer, algorithm
        windows = kernel_size, strides, padding, dilation_rate
        super().__init__(*own, *windows, activation, use_bias, bias_initializer, bias_regularizer, name)
        self.filters = checks.whole("filters", filters, 1)
        self.pointwise_initializer = initializers.check(pointwise_initializer)
        self.pointwise_regularizer = regularizers.get("pointwise_regularizer", pointwise_regularizer)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, F) for (H, W, C)."""
        return *self._output_size(input_shape), self.filters

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of "depthwise_kernel", "pointwise_kernel" and "bias"."""
        C, M = input_shape[2], self.depth_multiplier
        shapes: dict[str, Shape] = {"depthwise_kernel": (*self.kernel_size, C, M)}
        shapes["pointwise_kernel"] = (1, 1, C * M, self.filters)
        return shapes | {"bias": (self.filters,)} if self.use_bias else shapes

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, OH, OW, F) for x (N, H, W, C)."""
        self.check_input(x)
        relu = self.activation == "relu"  # the kernels apply it while they write y
        depthwise, pointwise = self.params["depthwise_kernel"], self.params["pointwise_kernel"]
        bias = self.params.get("bias")
        z = kernels.depthwise_conv2d(x, depthwise, None, *self.geometry(), False, self.algorithm)
        y = kernels.conv2d(z, pointwise, bias, relu=relu, algorithm=self._pointwise_algorithm())
        y = y if relu else self._activation.function(y)
        if training:
            self._saved = x, z, y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients; return dx (N, H, W, C) for dy (N, OH, OW, F)."""
        dz = self._assign(dy)
        x_shape = self.saved()[0].shape
        return kernels.depthwise_conv2d_grad_input(
            dz, self.params["depthwise_kernel"], x_shape, *self.geometry(), self.algorithm
        )

    def backward_params(self, dy: np.ndarray) -> None:
        """See `Layer.backward_params`."""
        self._assign(dy)

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dz (N, OH, OW, C*M), that between the two convolutions."""
        x, z, y = self.saved()
        ds, pointwise, own = self._gradient_of_sums(y, dy), self.params["pointwise_kernel"], self.grads
        algorithm = self._pointwise_algorithm()
        own["pointwise_kernel"][...] = kernels.conv2d_grad_filter(z, ds, pointwise.shape, algorithm=algorithm)
        dz = kernels.conv2d_grad_input(ds, pointwise, z.shape, algorithm=algorithm)
        own["depthwise_kernel"][...] = kernels.depthwise_conv2d_grad_filter(
            x, dz, own["depthwise_kernel"].shape, *self.geometry(), self.algorithm
        )
        return dz

    def _pointwise_algorithm(self) -> str:
        """Return what computes the depthwise convolution: never "winograd", which 1x1 filters do not have."""
        return kernels.choose("depthwise_conv2d", self.algorithm).algorithm
