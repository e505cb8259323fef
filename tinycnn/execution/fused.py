"""Fused layers: a convolution with its ReLU, max-pool and dropout; a dense layer with its dropout.

::

    layers -> fuse -> runnables, each with forward and backward like a layer
    x -> conv -> max-pool -> bias, ReLU -> dropout -> y    dy, argmax -> lists of non-zeros -> grads, dx

Three things are saved. Where Winograd's algorithm computes a batch, what follows it is done while its sums
are in the cache (`kernels.fused.conv_maxpool`): the map before the pool is never written, and the ReLU runs
on the maxima only. Elsewhere the map is written once, and pool and dropout are one pass over it. The gradient
that comes back through dropout, ReLU and pool is mostly zero, so the backward pass of the convolution runs
over the non-zeros only (`kernels.fused.conv_maxpool_grads`).

A fused layer owns no parameters: it writes into its layers' `grads`, draws its layers' dropout masks, and
computes what they compute one by one, except for rounding. It trusts its arguments: `Sequential` checks x and
dy where they enter.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tinycnn import activations
from tinycnn.execution.choices import convolution_choices, convolution_rows
from tinycnn.kernels.conv import implementation
from tinycnn.kernels.explanation import (
    FILTER_GRADIENT,
    FORWARD,
    INPUT_GRADIENT,
    RELU_GRADIENT,
    Row,
)
from tinycnn.kernels.selection import Choice, automatic_matmul
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D
from tinycnn.support.randomness import draw_mask, dropout_mask
from tinycnn.support.sums import SHORT, sum_rows


class Runnable(Protocol):
    """Interface of what a plan runs: a layer, a fused layer or a program. See `Layer` for the contract."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """See `Layer.forward`."""

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """See `Layer.backward`."""

    def backward_params(self, dy: np.ndarray) -> None:
        """See `Layer.backward_params`."""

    def release(self) -> None:
        """See `Layer.release`."""


def fuse(layers: Sequence[Layer], images: int) -> list[Runnable]:
    """Return the layers, with those that can run as one fused.

    Parameters
    ----------
    layers : sequence of Layer
        Built. A layer with an `algorithm` of its own is left alone.
    images : int
        Batch size that the fused layers are for.
    """
    runnables: list[Runnable] = []
    rest = list(layers)
    while rest:
        first, second, third = [*rest[:3], None, None][:3]
        fused = _fuse_first(first, second, third, images)
        runnables.append(fused or rest[0])
        rest = rest[len(fused.layers) if fused else 1 :]
    return runnables


def _fuse_first(
    first: Layer | None, second: Layer | None, third: Layer | None, images: int
) -> FusedConvReLU | FusedDense | None:
    """Return the fused layer that begins a sequence of layers, or None where the first runs alone.

    A layer of a subclass may compute something else, so it is left alone.
    """
    if type(first) is Conv2D and first.activation == "relu" and first.algorithm == "auto":
        if type(second) is MaxPooling2D and _can_pool(first, second):
            return FusedConvMaxPool(first, second, third if type(third) is Dropout else None, images)
        return FusedConvReLU(first, images)
    if type(first) is Dense:
        return FusedDense(None, first, second if type(second) is Dropout else None)
    if type(first) is Flatten and type(second) is Dense:
        return FusedDense(first, second, third if type(third) is Dropout else None)
    return None


def _can_pool(conv: Conv2D, pool: MaxPooling2D) -> bool:
    """Return whether the kernels can pool this convolution: no strides, no dilation, no padded pool."""
    return (
        conv.strides == conv.dilation_rate == (1, 1) and pool.padding == "valid" and pool.algorithm == "auto"
    )


class Fused(ABC):
    """Base class of fused layers.

    Parameters
    ----------
    layers : sequence of Layer
        The layers, in their order.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        self._saved: Any = None

    @abstractmethod
    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients of the parameters and return what `backward` makes dx of."""

    def backward_params(self, dy: np.ndarray) -> None:
        """See `Layer.backward_params`."""
        self._assign(dy)

    def release(self) -> None:
        """See `Layer.release`."""
        self._saved = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(str(layer.name) for layer in self.layers)})"


class FusedConvReLU(Fused):
    """A Conv2D with ReLU: the gradients of the ReLU and of the bias are one pass.

    Parameters
    ----------
    conv : Conv2D
        Built.
    images : int
        Batch size that the algorithms are chosen for.
    """

    def __init__(self, conv: Conv2D, images: int) -> None:
        super().__init__([conv])
        self.conv = conv
        self.images = images
        self.choices = convolution_choices(conv, images)
        self._conv2d, self._grad_input, self._grad_filter = (
            implementation(self.choices["conv2d"]).conv2d,
            implementation(self.choices["conv2d_grad_input"]).conv2d_grad_input,
            implementation(self.choices["conv2d_grad_filter"]).conv2d_grad_filter,
        )
        self._geometry = conv.geometry()

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """See `Layer.forward`."""
        params = self.conv.params
        y = self._conv2d(x, params["kernel"], params.get("bias"), *self._geometry, relu=True)
        if training:
            self._saved = x, y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """See `Layer.backward`."""
        dz = self._assign(dy)
        x, _ = self._saved
        return self._grad_input(dz, self.conv.params["kernel"], x.shape, *self._geometry)

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dz, the gradient before the ReLU."""
        from tinycnn.kernels.fused import relu_bias_grads

        x, y = self._saved
        dz, db = relu_bias_grads.relu_gradient(y, dy)
        w_shape = self.conv.params["kernel"].shape
        self._assign_grads(self._grad_filter(x, dz, w_shape, *self._geometry), db)
        return dz

    def _assign_grads(self, dw: np.ndarray, db: np.ndarray) -> None:
        self.conv.grads["kernel"][...] = dw
        if self.conv.use_bias:
            self.conv.grads["bias"][...] = db

    def rows(self) -> list[Row]:
        """Return what computes each pass, and why."""
        forward, *gradients = convolution_rows(self.conv, self.choices, self.images)
        relu = Row(self.conv.label, RELU_GRADIENT, Choice("epilogue", "bias gradient"))
        return [forward, relu, *gradients]


class FusedConvMaxPool(FusedConvReLU):
    """A Conv2D with ReLU, a MaxPooling2D and perhaps a Dropout.

    Parameters
    ----------
    conv, pool, dropout
        The layers, in their order; built.
    images : int
        Batch size that the algorithms are chosen for.
    """

    def __init__(self, conv: Conv2D, pool: MaxPooling2D, dropout: Dropout | None, images: int) -> None:
        super().__init__(conv, images)
        self.pool, self.dropout = pool, dropout
        self.layers = [conv, pool, *([] if dropout is None else [dropout])]
        # the sums are pooled in the cache by the one kernel that can, Winograd's for batches
        self.pools_in_cache = images > 1 and self.choices["conv2d"].algorithm == "winograd"
        self._pads, self._window = self._geometry[1], (pool.pool_size, pool.strides)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """See `Layer.forward`."""
        from tinycnn.kernels.fused import conv_maxpool

        mask, dropout = conv_maxpool.NO_DROPOUT, self.dropout
        if dropout is not None and training:
            numbers = dropout_mask(dropout.key, dropout.mask_index, dropout.rate)
            mask = conv_maxpool.Mask(*numbers, dropout.first_row)
            dropout.mask_index += 1
        params = self.conv.params
        kernel, bias = params["kernel"], params.get("bias")
        if self.pools_in_cache:
            y, argmax = conv_maxpool.conv2d_maxpool(x, kernel, bias, self._pads, *self._window, mask)
        else:
            z = self._conv2d(x, kernel, bias, *self._geometry, relu=True)
            y, argmax = conv_maxpool.maxpool(z, *self._window, mask)
        if training:
            self._saved = x, argmax, mask.scale
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """See `Layer.backward`."""
        from tinycnn.kernels.fused import conv_maxpool_grads

        self._assign(dy)
        x, argmax, scale = self._saved
        return conv_maxpool_grads.grad_input(
            dy, argmax, self.conv.params["kernel"], x.shape, self._pads, *self._window, scale
        )

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients; there is no dz."""
        from tinycnn.kernels.fused import conv_maxpool_grads

        x, argmax, scale = self._saved
        w_shape = self.conv.params["kernel"].shape
        dw, db = conv_maxpool_grads.grad_filter(x, dy, argmax, w_shape, self._pads, *self._window, scale)
        self._assign_grads(dw, db)
        return dy

    def rows(self) -> list[Row]:
        """Return what computes each pass: the convolution's gradients contain those of the later layers."""
        conv, z_shape = self.conv.label, self.pool.built_shape
        share = math.ceil(100 * math.prod(self.pool.compute_output_shape(z_shape)) / math.prod(z_shape))
        zeros = "pool, ReLU" if self.dropout is None else "pool, ReLU, dropout"
        sparse = Choice("sparse", "non-zeros")
        rows = [convolution_rows(self.conv, self.choices, self.images)[0]]
        rows += [Row(conv, d, sparse, of=zeros, share=share) for d in (INPUT_GRADIENT, FILTER_GRADIENT)]
        forward = Choice("epilogue", "in cache" if self.pools_in_cache else "after")
        for layer in self.layers[1:]:
            rows.append(Row(layer.label, FORWARD, forward, of=conv))
            rows.append(Row(layer.label, INPUT_GRADIENT, Choice("sparse", "in gradients"), of=conv))
        return rows


class FusedDense(Fused):
    """A Dense layer with the Flatten before it and the Dropout after it, in one call.

    Parameters
    ----------
    flatten, dense, dropout
        The layers, in their order; built. The first and the last may be None.
    """

    def __init__(self, flatten: Flatten | None, dense: Dense, dropout: Dropout | None) -> None:
        super().__init__([layer for layer in (flatten, dense, dropout) if layer is not None])
        self.dense, self.dropout = dense, dropout
        self._activation = activations.get(dense.activation)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """See `Layer.forward`."""
        rows, dense, dropout = x.reshape(len(x), math.prod(x.shape[1:])), self.dense, self.dropout
        z = self._matmul(rows, dense.params["kernel"])
        if dense.use_bias:
            z += dense.params["bias"]
        y = self._activation.function(z)
        if not training:
            return y
        if dropout is None:
            self._saved = x.shape, rows, y, None
            return y
        mask = dropout_mask(dropout.key, dropout.mask_index, dropout.rate)
        dropout.mask_index += 1
        factors = draw_mask(y.shape, y.dtype, *mask, dropout.first_row)
        self._saved = x.shape, rows, y, factors
        return y * factors

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """See `Layer.backward`."""
        dz = self._assign(dy)
        return self._matmul(dz, self.dense.params["kernel"].T).reshape(self._saved[0])

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dz, the gradient before the activation."""
        _, rows, y, factors = self._saved
        dz = self._activation.gradient(y, dy if factors is None else dy * factors)
        self._matmul(rows.T, dz, self.dense.grads["kernel"])
        if self.dense.use_bias:
            # a short sum in its dtype is what `sum_rows` makes of it too
            self.dense.grads["bias"][...] = dz.sum(axis=0) if len(dz) <= SHORT else sum_rows(dz)
        return dz

    def _matmul(self, a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return a @ b, by the choice of `kernels.matmul`."""
        if automatic_matmul(a.shape[0] * a.shape[1] * b.shape[1]).algorithm == "numpy":
            return np.matmul(a, b, out=out)
        from tinycnn.kernels.dense import blocked

        return blocked.matmul(a, b, out)
