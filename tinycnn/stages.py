"""Layers that run together: a convolution with its ReLU, and the max-pool and dropout after it, as one stage.

::

    layers -> group -> stages, each with forward and backward like a layer
    x -> conv -> max-pool -> bias, ReLU -> dropout -> y    dy, winner -> lists of non-zeros -> grads, dx

Three things are saved. What follows the convolution is done while its sums are in the cache
(`kernels.epilogue`), and the map before the pool is never written. The ReLU comes after the maximum, on a
quarter of the numbers. And the gradient that comes back through dropout, ReLU and pool is mostly zero, so the
backward pass of the convolution runs over what is left (`kernels.pooled`).

A stage owns no parameters: it writes into its layers' `grads`, draws its layers' dropout masks, and computes
the same as they would one by one, but for rounding. It steps aside, and lets them, where an algorithm was
asked for by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tinycnn import kernels
from tinycnn.kernels.explanation import FILTER_GRADIENT, FORWARD, INPUT_GRADIENT, RELU_GRADIENT, Pass
from tinycnn.layers import Conv2D, Dropout, Layer, MaxPooling2D
from tinycnn.randomness import philox_key


class Runnable(Protocol):
    """What a network runs: a layer, or a stage. See `Layer` for the contract."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray: ...

    def backward(self, dy: np.ndarray) -> np.ndarray: ...

    def backward_params(self, dy: np.ndarray) -> None: ...

    def forget(self) -> None: ...

    def passes(self) -> list[Pass]: ...


def group(layers: Sequence[Layer]) -> list[Runnable]:
    """Return the layers, with those that can run together joined in stages."""
    stages: list[Runnable] = []
    rest = list(layers)
    while rest:
        conv, pool, dropout = [*rest[:3], None, None][:3]
        if not isinstance(conv, Conv2D) or conv.activation != "relu":
            stages.append(rest.pop(0))
        elif isinstance(pool, MaxPooling2D) and _fits(conv, pool):
            joined = dropout if isinstance(dropout, Dropout) else None
            stages.append(ConvPoolStage(conv, pool, joined))
            rest = rest[2 if joined is None else 3 :]
        else:
            stages.append(ConvStage(conv))
            rest.pop(0)
    return stages


def _fits(conv: Conv2D, pool: MaxPooling2D) -> bool:
    """Return whether the two can be one: without strides, dilation or a padded pool."""
    return conv.strides == conv.dilation_rate == (1, 1) and pool.padding == "valid"


class ConvStage:
    """A Conv2D with ReLU, whose gradients of the ReLU and of the bias are one pass.

    Parameters
    ----------
    conv : Conv2D
        Built when the stage runs.
    """

    def __init__(self, conv: Conv2D) -> None:
        self.conv = conv
        self.layers: list[Layer] = [conv]
        self._kept: Any = None

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the output of the last layer."""
        if training:
            self._kept = None
        if not self._is_automatic():
            for layer in self.layers:
                x = layer.forward(x, training)
            return x
        return self._forward(x, training)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients of the convolution and return dx."""
        if self._kept is None:
            for layer in reversed(self.layers):
                dy = layer.backward(dy)
            return dy
        return self._grad_input(self._assign(dy))

    def backward_params(self, dy: np.ndarray) -> None:
        """See `Layer.backward_params`."""
        if self._kept is not None:
            self._assign(dy)
            return
        for layer in reversed(self.layers[1:]):
            dy = layer.backward(dy)
        self.layers[0].backward_params(dy)

    def forget(self) -> None:
        """See `Layer.forget`."""
        self._kept = None
        for layer in self.layers:
            layer.forget()

    def passes(self) -> list[Pass]:
        """See `Layer.passes`."""
        if not self._is_automatic():
            return [row for layer in self.layers for row in layer.passes()]
        return self._passes()

    def _passes(self) -> list[Pass]:
        reason = "with the gradient of the bias, in one pass"
        forward, *gradients = self.conv.passes()
        return [forward, Pass(self.conv.label, RELU_GRADIENT, "epilogue", reason), *gradients]

    def _forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        y = self.conv.forward(x)
        if training:
            self._kept = x, y
        return y

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        """Assign the gradients and return what `_grad_input` needs."""
        x, y = self._kept
        self.conv.check_gradient(dy, y.shape)
        dz, db = kernels.module("epilogue").relu_gradient(y, dy)
        self.conv.assign_grads(self.conv.grad_kernel(x, dz), db)
        return dz

    def _grad_input(self, dz: np.ndarray) -> np.ndarray:
        return self.conv.grad_input(dz)

    def _is_automatic(self) -> bool:
        """Return whether no algorithm was asked for: neither by a layer, nor around, nor by the process."""
        if kernels.requested_now("auto") != "auto":
            return False
        return all(getattr(layer, "algorithm", "auto") == "auto" for layer in self.layers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(str(layer.name) for layer in self.layers)})"


class ConvPoolStage(ConvStage):
    """A Conv2D with ReLU, a MaxPooling2D and perhaps a Dropout, as one.

    Parameters
    ----------
    conv, pool, dropout
        The layers, in their order; they are built when the stage runs.
    """

    def __init__(self, conv: Conv2D, pool: MaxPooling2D, dropout: Dropout | None) -> None:
        super().__init__(conv)
        self.pool, self.dropout = pool, dropout
        self.layers = [conv, pool, *([] if dropout is None else [dropout])]

    def _forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        name, dropped, scale = (0, "none", 0), 0, 1.0
        if self.dropout is not None and training:
            name, dropped, scale = self.dropout.next_mask()
        pool = self.pool.pool_size, self.pool.strides, philox_key(*name), dropped, scale
        if self._pools_in_cache(len(x)):
            self.conv.check_input(x)
            kernel, bias = self.conv.params["kernel"], self.conv.params.get("bias")
            y, winner = kernels.module("winograd").conv2d_pool(x, kernel, bias, self.conv.pads(), *pool)
        else:
            y, winner = kernels.module("epilogue").pool(self.conv.forward(x), *pool)
        if training:
            self._kept = x, winner, scale
        return y

    def _assign(self, dy: np.ndarray) -> np.ndarray:
        x, winner, scale = self._kept
        self.layers[-1].check_gradient(dy, winner.shape)
        kernel, geometry = self.conv.params["kernel"], self._geometry()
        dw, db = kernels.module("pooled").conv2d_grad_kernel(x, dy, winner, kernel.shape, *geometry, scale)
        self.conv.assign_grads(dw, db)
        return dy

    def _grad_input(self, dy: np.ndarray) -> np.ndarray:
        x, winner, scale = self._kept
        kernel, geometry = self.conv.params["kernel"], self._geometry()
        dx: np.ndarray = kernels.module("pooled").conv2d_grad_input(
            dy, winner, kernel, x.shape, *geometry, scale
        )
        return dx

    def _pools_in_cache(self, images: int) -> bool:
        """Return whether the sums are pooled before they are written: in the kernel that can, of batches."""
        return images > 1 and self.conv.select("conv2d", images) == "winograd"

    def _passes(self) -> list[Pass]:
        """Return the rows of the convolution, whose gradients take in those of the layers after it."""
        conv, z_shape = self.conv.label, self.pool.input_shape or ()
        share = math.prod(self.pool.compute_output_shape(z_shape)) / math.prod(z_shape)
        zeros = "pool, ReLU" if self.dropout is None else "pool, ReLU, dropout"
        why = f"skips zeros: {zeros} leave <= {math.ceil(100 * share)} %"
        when = (
            "while the sums of {} are in the cache"
            if self._pools_in_cache(kernels.WINOGRAD_OUTPUTS)  # as many images as that are many
            else "of the output of {}, whole"
        )
        rows = [self.conv.passes()[0]]
        rows += [Pass(conv, step, "pooled", why) for step in (INPUT_GRADIENT, FILTER_GRADIENT)]
        for layer in self.layers[1:]:
            rows.append(Pass(layer.label, FORWARD, "epilogue", when.format(conv)))
            rows.append(Pass(layer.label, INPUT_GRADIENT, "pooled", f"in the gradients of {conv}"))
        return rows

    def _geometry(self) -> tuple[Any, ...]:
        return self.conv.pads(), self.pool.pool_size, self.pool.strides
