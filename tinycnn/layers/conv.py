"""Convolution: the same small filters at every position of the image.

::

    x (N, H, W, C) -> kernels.conv2d with kernel (KH, KW, C, F), + bias (F) -> activation -> y (N, OH, OW, F)
    dy -> gradient of the activation -> dz -> gradients of kernel, bias and input

`tinycnn.kernels.conv` computes the sums, by the algorithm that `algorithm` requests.
"""

from typing import Any

import numpy as np

from tinycnn import initializers, kernels, regularizers
from tinycnn.layers.base import Shape
from tinycnn.layers.convolution import Convolution
from tinycnn.layers.keras_names import WeightNamed
from tinycnn.support import checks, html
from tinycnn.support.checks import Pads, Pair
from tinycnn.support.sums import sum_rows


class Conv2D(Convolution):
    """Two-dimensional convolution of images (N, H, W, C).

    As in Keras and PyTorch, this is a cross-correlation: the kernel is not flipped.

    Parameters
    ----------
    filters : int
        Number of filters, F: the channels of the output.
    kernel_size : int or (int, int)
        KH and KW; a single number stands for both, as in `strides` and `dilation_rate`.
    strides : int or (int, int)
        Distance between neighbouring windows.
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right))
        "same" gives ceil(H / stride) rows; an odd pixel of padding goes at the end, as in Keras. Numbers are
        rows and columns of zeros: one number for all sides, one for each axis, or one for each side.
    dilation_rate : int or (int, int)
        Distance between the pixels that neighbouring elements of the filter meet.
    activation : str, optional
        A name of `tinycnn.activations`; None means linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str
        Names of `tinycnn.initializers`.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties that are added to the loss: names such as "l2", or objects of `tinycnn.regularizers`.
    algorithm : str
        "auto" or a name of `tinycnn.kernels.ALGORITHMS`. A request is obeyed, or `forward` raises. Under
        "winograd", which "auto" may choose, a pixel that is not finite affects all outputs of its tile
        (docs/design.md); under "direct" only those of its windows.
    name : str, optional

    Attributes
    ----------
    params, grads : dict
        "kernel" of shape (KH, KW, C, F) and, with `use_bias`, "bias" of shape (F,).

    Raises
    ------
    ValueError
        For arguments out of range; in `build`, when the kernel is larger than the padded input.
    """

    kernel = WeightNamed()
    _used_by_build = ("kernel_initializer", "bias_initializer")

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
        *,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
    ) -> None:
        windows = kernel_size, strides, padding, dilation_rate
        super().__init__(*windows, activation, use_bias, bias_initializer, bias_regularizer, name)
        self.filters = checks.whole("filters", filters, 1)
        self.kernel_initializer = initializers.check(kernel_initializer)
        self.kernel_regularizer = regularizers.get("kernel_regularizer", kernel_regularizer)
        self.algorithm = kernels.check_algorithm(algorithm)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, F) for (H, W, C)."""
        return *self._output_size(input_shape), self.filters

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of "kernel" and "bias"."""
        kernel = *self.kernel_size, input_shape[2], self.filters
        return {"kernel": kernel, "bias": (self.filters,)} if self.use_bias else {"kernel": kernel}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y (N, OH, OW, F) for x (N, H, W, C)."""
        self.check_input(x)
        relu = self.activation == "relu"  # the kernels apply it while they write y
        kernel, bias = self.params["kernel"], self.params.get("bias")
        y = kernels.conv2d(x, kernel, bias, *self.geometry(), relu, self.algorithm)
        y = y if relu else self._activation.function(y)
        if training:
            self._saved = x, y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign grads["kernel"] and grads["bias"]; return dx (N, H, W, C) for dy (N, OH, OW, F)."""
        dz = self._assign(dy)
        H, W, C = self.built_shape
        return kernels.conv2d_grad_input(
            dz, self.params["kernel"], (len(dz), H, W, C), *self.geometry(), self.algorithm
        )

    def backward_params(self, dy: np.ndarray) -> None:
        """See `Layer.backward_params`."""
        self._assign(dy)

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dz, the gradient before the activation."""
        x, y = self.saved()
        self.check_gradient(dy, y.shape)
        dz = self._activation.gradient(y, dy)
        w_shape = self.params["kernel"].shape
        dw = kernels.conv2d_grad_filter(x, dz, w_shape, *self.geometry(), self.algorithm)
        self.assign_grads(dw, sum_rows(dz.reshape(-1, self.filters)))
        return dz

    def assign_grads(self, dw: np.ndarray, db: np.ndarray) -> None:
        """Copy dw (KH, KW, C, F) and, if there is a bias, db (F,) to `grads`."""
        self.grads["kernel"][...] = dw
        if self.use_bias:
            self.grads["bias"][...] = db

    def _repr_html_(self) -> str:
        """See `Layer`; with the filters of the first channel as pictures."""
        text = super()._repr_html_()
        if not self.built:
            return text
        filters = np.moveaxis(self.params["kernel"][:, :, 0], -1, 0)  # (KH, KW, F) -> (F, KH, KW)
        drawn = min(len(filters), html.MOST)
        return text + html.squares(
            list(filters), f"{self.label}: {drawn} of {len(filters)} filters, channel 0"
        )
