"""Inference of a single image: layers in a row as one compiled program, for the latency of `predict`.

::

    layers, parameters -> make_programs -> [Program, layer, Program, ...], each with forward
    Program: conv, pool, ..., dense -> a table of instructions -> `kernels.fused.single_image`

Convolutions, max-pools and dense layers become instructions; Flatten, Reshape, Dropout and noise, which do
nothing to an image at inference, none. A layer of another kind, or with an activation that no instruction
has, runs by itself between two programs. The results are those of the layers one by one, to the last bit,
except for rounding where the layers leave something to NumPy: small products of dense layers, and the
exponential of a softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinycnn.execution.choices import convolution_choices, output_size
from tinycnn.kernels.fused.instructions import (
    ACTIVATIONS,
    DENSE,
    DIRECT,
    MAXPOOL,
    WINOGRAD,
    Instruction,
    pack,
)
from tinycnn.kernels.selection import tile_size
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, GaussianNoise, Layer, MaxPooling2D, Reshape

# Layers that do nothing to an image at inference, except for its shape.
NO_OPERATION = (Dropout, Flatten, GaussianNoise, Reshape)


def make_programs(layers: Sequence[Layer], parameters: np.ndarray) -> list[Program | Layer]:
    """Return the layers of a network, runs of those that can be instructions joined in programs.

    Parameters
    ----------
    layers : sequence of Layer
        Built.
    parameters : ndarray of shape (count,)
        The network's, of which the layers hold views.
    """
    runnables: list[Program | Layer] = []
    run: list[Layer] = []
    for layer in [*layers, None]:
        if layer is not None and _has_instruction(layer, parameters):
            run.append(layer)
            continue
        runnables += [Program(run, parameters)] if any(not isinstance(x, NO_OPERATION) for x in run) else run
        runnables += [] if layer is None else [layer]
        run = []
    return runnables


class Program:
    """Layers in a row, as the instructions of one compiled call.

    Parameters
    ----------
    layers : sequence of Layer
        Built; at least one is an instruction.
    parameters : ndarray of shape (count,)
        As in `make_programs`.
    """

    def __init__(self, layers: Sequence[Layer], parameters: np.ndarray) -> None:
        from tinycnn.kernels.fused import single_image

        self.layers = list(layers)
        self.instructions = instructions([x for x in layers if not isinstance(x, NO_OPERATION)], parameters)
        self._run = single_image.Interpreter(pack(self.instructions), parameters)
        self._parameters = parameters
        self._held = [(layer.params, name, array) for layer in layers for name, array in layer.params.items()]
        first, last = self.layers[0], self.layers[-1]
        self._x_shape = 1, *first.built_shape
        self._y_shape = 1, *last.compute_output_shape(last.built_shape)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the output (1, ...) of the last layer for one image (1, ...)."""
        if x.shape != self._x_shape or x.dtype != self._parameters.dtype:
            self.layers[0].check_input(x)  # it has the error messages
        y = np.empty(self._y_shape, x.dtype)
        self._run(np.require(x, requirements=["C", "W"]).reshape(-1), y.reshape(-1))
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Raise RuntimeError: a program is for inference."""
        raise RuntimeError(f"{self!r}: call forward(x, training=True) before backward")

    def backward_params(self, dy: np.ndarray) -> None:
        """See `backward`."""
        self.backward(dy)

    def release(self) -> None:
        """See `Layer.release`; nothing is saved."""

    def is_current(self, parameters: np.ndarray) -> bool:
        """Return whether the layers still hold the arrays that the instructions read."""
        if parameters is not self._parameters:
            return False
        for params, name, array in self._held:  # noqa: SIM110  (no generator in each call)
            if params[name] is not array:
                return False
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(str(layer.name) for layer in self.layers)})"


def _has_instruction(layer: Layer, parameters: np.ndarray) -> bool:
    """Return whether a layer can be an instruction; one of a subclass of these may do something else."""
    if type(layer) not in (Conv2D, MaxPooling2D, Dense, *NO_OPERATION):
        return False
    if getattr(layer, "algorithm", "auto") != "auto":
        return False
    if any(array.base is not parameters for array in layer.params.values()):
        return False
    activation = getattr(layer, "activation", None)
    if activation not in (None, "linear", "relu") and not (activation == "softmax" and type(layer) is Dense):
        return False
    if isinstance(layer, Conv2D) and _uses_winograd(layer):
        from tinycnn.kernels.conv.winograd_image import fits_in_cache

        y_shape = 1, *layer.compute_output_shape(layer.built_shape)
        return fits_in_cache(layer.params["kernel"].shape, y_shape, layer.dtype)
    return True


def _uses_winograd(conv: Conv2D) -> bool:
    return convolution_choices(conv, images=1)["conv2d"].algorithm == "winograd"


def instructions(layers: Sequence[Layer], parameters: np.ndarray) -> list[Instruction]:
    """Return the instructions of layers; a pool after a Winograd convolution is part of its instruction."""
    rows: list[Instruction] = []
    rest = list(layers)
    while rest:
        layer = rest.pop(0)
        if isinstance(layer, Conv2D):
            pool = rest[0] if rest and isinstance(rest[0], MaxPooling2D) else None
            if pool is not None and pool.padding == "valid" and _uses_winograd(layer):
                rest.pop(0)
            else:
                pool = None
            rows.append(_convolution(layer, pool, parameters))
        elif isinstance(layer, MaxPooling2D):
            rows.append(_maxpool(layer))
        elif isinstance(layer, Dense):
            rows.append(_dense(layer, parameters))
    return rows


def _convolution(conv: Conv2D, pool: MaxPooling2D | None, parameters: np.ndarray) -> Instruction:
    (H, W, C), (OH, OW) = conv.built_shape, output_size(conv)
    (SH, SW), ((PT, _), (PL, _)), (DH, DW) = conv.geometry()
    KH, KW = conv.kernel_size
    row = Instruction(
        DIRECT, H=H, W=W, C=C, KH=KH, KW=KW, F=conv.filters, OH=OH, OW=OW, SH=SH, SW=SW, DH=DH, DW=DW,
        PT=PT, PL=PL, **_weights(conv, parameters),
    )  # fmt: skip
    if not _uses_winograd(conv):
        return row
    row = row._replace(kind=WINOGRAD, m=tile_size(KH, OH, OW, images=1))
    if pool is None:
        return row
    PH, PW, _ = pool.compute_output_shape(pool.built_shape)
    (QH, QW), (SH, SW) = pool.pool_size, pool.strides
    return row._replace(OH=PH, OW=PW, pool_height=QH, pool_width=QW, SH=SH, SW=SW)


def _maxpool(pool: MaxPooling2D) -> Instruction:
    (H, W, C), (OH, OW, F) = pool.built_shape, pool.compute_output_shape(pool.built_shape)
    (KH, KW), (SH, SW), ((PT, _), (PL, _)) = pool.geometry()
    return Instruction(
        MAXPOOL, H=H, W=W, C=C, KH=KH, KW=KW, F=F, OH=OH, OW=OW, SH=SH, SW=SW, PT=PT, PL=PL
    )  # fmt: skip


def _dense(dense: Dense, parameters: np.ndarray) -> Instruction:
    """Return the instruction of a dense layer: one pixel of C channels becomes one of F."""
    (C,) = dense.built_shape
    return Instruction(DENSE, C=C, F=dense.units, **_weights(dense, parameters))


def _weights(layer: Conv2D | Dense, parameters: np.ndarray) -> dict[str, int]:
    """Return where the weights begin in `parameters`, -1 for no bias, and the activation."""
    starts = {
        name: int(array.ctypes.data - parameters.ctypes.data) // parameters.itemsize
        for name, array in layer.params.items()
    }
    return {
        "kernel": starts["kernel"],
        "bias": starts.get("bias", -1),
        "activation": ACTIVATIONS[layer.activation],
    }
