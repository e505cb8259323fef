"""Layers that run together: convolution, ReLU, max-pool and dropout as one stage.

::

    layers -> group -> stages, each with forward and backward like a layer
    x -> conv + bias -> max-pool -> ReLU -> dropout -> y            dy -> what is not zero -> kernel, bias, dx

Two things are saved. A ReLU may as well come after the maximum as before it, on a quarter of the numbers.
And the gradient that comes back through dropout, ReLU and pool is mostly zero, so the backward pass of the
convolution runs over what is left (`kernels.pooled`).

A stage owns no parameters: it writes into its layers' `grads`, draws its layers' dropout masks, and computes
the same as they would one by one, but for rounding. It steps aside, and lets them, where an algorithm was
asked for by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tinycnn import kernels
from tinycnn.layers import Conv2D, Dropout, Layer, MaxPooling2D


class Runnable(Protocol):
    """What a network runs: a layer, or a stage."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return y."""

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return dx."""


def group(layers: Sequence[Layer]) -> list[Runnable]:
    """Return the layers, with those that can run together joined in stages."""
    stages: list[Runnable] = []
    rest = list(layers)
    while rest:
        conv, pool, dropout = [*rest[:3], None, None][:3]
        if isinstance(conv, Conv2D) and isinstance(pool, MaxPooling2D) and _fits(conv, pool):
            joined = dropout if isinstance(dropout, Dropout) else None
            stages.append(ConvPoolStage(conv, pool, joined))
            rest = rest[2 if joined is None else 3 :]
        else:
            stages.append(rest.pop(0))
    return stages


def _fits(conv: Conv2D, pool: MaxPooling2D) -> bool:
    """Return whether the two can be one: what follows a ReLU, without strides, dilation or a padded pool."""
    plain = conv.strides == conv.dilation_rate == (1, 1) and pool.padding == "valid"
    return plain and conv.activation == "relu"


class ConvPoolStage:
    """A Conv2D with ReLU, a MaxPooling2D and perhaps a Dropout, as one.

    Parameters
    ----------
    conv, pool, dropout
        The layers, in their order; they are built when the stage runs.
    """

    def __init__(self, conv: Conv2D, pool: MaxPooling2D, dropout: Dropout | None) -> None:
        self.conv, self.pool, self.dropout = conv, pool, dropout
        self.layers: list[Layer] = [conv, pool, *([] if dropout is None else [dropout])]
        self._kept: Any = None

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the output of the last layer."""
        if not self._is_automatic():
            self._kept = None
            for layer in self.layers:
                x = layer.forward(x, training)
            return x
        z = self.conv.convolve(x)
        y, argmax = kernels.find("maxpool2d", self.pool.algorithm)(z, self.pool.pool_size, self.pool.strides)
        np.maximum(y, 0, out=y)
        if not training:
            return y
        slope = y > 0
        if self.dropout is not None:
            mask = self.dropout.draw_mask(y.shape)
            y *= mask
            slope = slope * mask
        self._kept = x, argmax, slope
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients of the convolution and return dx."""
        if self._kept is None:
            for layer in reversed(self.layers):
                dy = layer.backward(dy)
            return dy
        x, argmax, slope = self._kept
        dp = dy * slope  # (N, PH, PW, F), where the ReLU is on and the dropout let it pass
        pooled = importlib.import_module("tinycnn.kernels.pooled")
        conv = self.conv
        kernel, geometry = conv.params["kernel"], (conv.pads(), self.pool.pool_size, self.pool.strides)
        conv.grads["kernel"][...] = pooled.conv2d_grad_kernel(x, dp, argmax, kernel.shape, *geometry)
        if conv.use_bias:
            dp.sum(axis=(0, 1, 2), out=conv.grads["bias"])
        return pooled.conv2d_grad_input(dp, argmax, kernel, x.shape, *geometry)

    def _is_automatic(self) -> bool:
        """Return whether no algorithm was asked for: neither by a layer, nor around, nor by the process."""
        return (
            kernels.requested_now(self.conv.algorithm) == kernels.requested_now(self.pool.algorithm) == "auto"
        )

    def __repr__(self) -> str:
        return f"ConvPoolStage({', '.join(str(layer.name) for layer in self.layers)})"
