"""Layers that run in one call when there is a single image: for the latency of `predict`.

::

    network -> Parts: [Chain, layer, Chain, ...], each with forward
    Chain: conv -> pool -> ... -> dense, as a table of steps for `kernels.chain`

Convolutions, max-pools and dense layers become steps; Flatten and Dropout, which do nothing to an image at
inference, none. A layer of another kind, or with an activation that no step can do, runs by itself, between
two chains. The numbers are those that the layers compute one by one, to the last bit; but for rounding, where
the layers leave something to NumPy: small products of dense layers, and the exponential of a softmax.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinycnn import kernels
from tinycnn.checks import Pair
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D
from tinycnn.network import Network

#: Up to so many images are predicted one by one. (8 take the documented network as long in stages.)
ALONE = 8
# What these do to an image at inference is nothing, but for its shape.
IDENTITIES = (Dropout, Flatten)


class Parts:
    """What runs for a single image of a network: chains, and the layers that fit in none.

    Parameters
    ----------
    network : Network
        It may change: layers and arrays in them are looked at again before each use.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._parts: list[Chain | Layer] = []

    def __getstate__(self) -> dict[str, Any]:
        """Leave the parts out of a copy, which links its own."""
        return self.__dict__ | {"_parts": []}

    def apply(self) -> bool:
        """Return whether the network is built, and no algorithm is asked for."""
        return self._network.built and kernels.requested_now("auto") == "auto"

    def take(self, x: np.ndarray) -> bool:
        """Return whether x are few images. What is no array is for the layers to refuse."""
        return isinstance(x, np.ndarray) and x.ndim > 0 and 0 < len(x) <= ALONE and self.apply()

    def __iter__(self) -> Iterator[Chain | Layer]:
        """Iterate over the parts in their order."""
        network = self._network
        current = (part.is_current(network.parameters) for part in self._parts if isinstance(part, Chain))
        if not self._parts or not all(current):
            self._parts = link(network.layers, network.parameters)
        return iter(self._parts)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output of the last layer for images (N, H, W, C), at least one, of the model's dtype."""
        images = [x[i : i + 1] for i in range(len(x))]
        for part in self:
            images = [part.forward(image) for image in images]
        return np.concatenate(images)

    def notes(self) -> list[str]:
        """Return what there is to say of the chains, in a sentence."""
        chains = [part.layers for part in self if isinstance(part, Chain)] if self.apply() else []
        ends = [dict.fromkeys((str(layers[0].name), str(layers[-1].name))) for layers in chains]
        names = ", ".join(" to ".join(names) for names in ends)
        each = "in one call" if len(chains) == 1 else "each in one call"
        told = f"Up to {ALONE} images are predicted one by one, {names} {each} of compiled code."
        return [told] if chains else []


def link(layers: Sequence[Layer], parameters: np.ndarray) -> list[Chain | Layer]:
    """Return the layers of a network, those that follow each other and can be steps joined in chains.

    Parameters
    ----------
    layers : sequence of Layer
        Built.
    parameters : ndarray of shape (count,)
        The network's, of which the layers hold views.
    """
    parts: list[Chain | Layer] = []
    run: list[Layer] = []
    for layer in [*layers, None]:
        if layer is not None and _links(layer, parameters):
            run.append(layer)
            continue
        parts += [Chain(run, parameters)] if any(not isinstance(x, IDENTITIES) for x in run) else run
        parts += [] if layer is None else [layer]
        run = []
    return parts


class Chain:
    """Layers that follow each other, as steps of one call.

    Parameters
    ----------
    layers : list of Layer
        Built; at least one is a step.
    parameters : ndarray of shape (count,)
        As in `link`.
    """

    def __init__(self, layers: Sequence[Layer], parameters: np.ndarray) -> None:
        self.layers = list(layers)
        self._parameters = parameters
        self._held = [(layer, name, array) for layer in layers for name, array in layer.params.items()]
        steps = _table([layer for layer in layers if not isinstance(layer, IDENTITIES)], parameters)
        self._program = kernels.module("chain").Program(steps, parameters)
        first, last = self.layers[0], self.layers[-1]
        self._x_shape = 1, *(first.input_shape or ())
        self._y_shape = 1, *last.compute_output_shape(last.input_shape or ())

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output (1, ...) of the last layer for one image (1, ...)."""
        if x.shape != self._x_shape or x.dtype != self._parameters.dtype:
            self.layers[0].check_input(x)  # it has the words for what is wrong
        y = np.empty(self._y_shape, x.dtype)
        self._program(np.require(x, requirements=["C", "W"]).reshape(-1), y.reshape(-1))
        return y

    def is_current(self, parameters: np.ndarray) -> bool:
        """Return whether the layers still hold the arrays that the steps read, and ask for no algorithm."""
        held = parameters is self._parameters and all(
            layer.params[name] is array for layer, name, array in self._held
        )
        return held and all(getattr(layer, "algorithm", "auto") == "auto" for layer in self.layers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(str(layer.name) for layer in self.layers)})"


def _links(layer: Layer, parameters: np.ndarray) -> bool:
    """Return whether a layer can be in a chain; one of a class derived from these may do something else."""
    if type(layer) not in (Conv2D, MaxPooling2D, Dense, *IDENTITIES):
        return False
    if getattr(layer, "algorithm", "auto") != "auto":
        return False
    if any(array.base is not parameters for array in layer.params.values()):
        return False
    activation = getattr(layer, "activation", None)
    if activation not in (None, "linear", "relu") and not (activation == "softmax" and type(layer) is Dense):
        return False
    if isinstance(layer, Conv2D) and layer.select("conv2d", 1) == "winograd":
        y_shape = 1, *layer.compute_output_shape(layer.input_shape or ())
        fits: bool = kernels.module("winograd_image").fits_one_thread(
            layer.params["kernel"].shape, y_shape, layer.dtype
        )
        return fits
    return True


def _table(layers: Sequence[Layer], parameters: np.ndarray) -> np.ndarray:
    """Return the steps; see `kernels.chain.STEP`."""
    steps = kernels.module("chain")
    activations = {None: steps.LINEAR, "linear": steps.LINEAR, "relu": steps.RELU, "softmax": steps.SOFTMAX}
    rows: list[dict[str, int]] = []
    for layer, before in zip(layers, [None, *layers], strict=False):
        row = _shapes(layer)
        if isinstance(layer, Dense):
            row |= {"kind": steps.DENSE}
        elif isinstance(layer, MaxPooling2D):
            summed = isinstance(before, Conv2D) and rows[-1]["kind"] == steps.WINOGRAD
            if summed and layer.padding == "valid":  # done with the sums
                (QH, QW), (SH, SW) = layer.pool_size, layer.strides
                rows[-1] |= {"QH": QH, "QW": QW, "SH": SH, "SW": SW, "OH": row["OH"], "OW": row["OW"]}
                continue
            row |= {"kind": steps.MAXPOOL} | _window(layer.pool_size, layer)
        elif isinstance(layer, Conv2D):
            DH, DW = layer.dilation_rate
            row |= {"kind": steps.DIRECT, "DH": DH, "DW": DW} | _window(layer.kernel_size, layer)
            if layer.select("conv2d", 1) == "winograd":
                m = kernels.module("tiles").tile_size(row["KH"], row["OH"], row["OW"], images=1)
                row |= {"kind": steps.WINOGRAD, "m": m, "QH": 1, "QW": 1}
        places = {name: _place(array, parameters) for name, array in layer.params.items()}
        row |= {"w": places.get("kernel", -1), "b": places.get("bias", -1)}
        row |= {"activation": activations[getattr(layer, "activation", None)]}
        rows.append(row)
    table = np.zeros(len(rows), steps.STEP)
    for step, row in zip(table, rows, strict=True):
        for name, value in row.items():
            step[name] = value
    return table


def _shapes(layer: Layer) -> dict[str, int]:
    """Return the sizes of an image before and after a layer; a dense layer's is one pixel of C channels."""
    before = layer.input_shape or ()
    after = layer.compute_output_shape(before)
    (H, W, C), (OH, OW, F) = ((1, 1, *shape)[-3:] for shape in (before, after))
    return {"H": H, "W": W, "C": C, "OH": OH, "OW": OW, "F": F, "KH": 1, "KW": 1}


def _window(size: Pair, layer: Conv2D | MaxPooling2D) -> dict[str, int]:
    """Return what windows of a size slide by, and the padding before the image."""
    (PT, _), (PL, _) = layer.pads()
    (KH, KW), (SH, SW) = size, layer.strides
    return {"KH": KH, "KW": KW, "SH": SH, "SW": SW, "PT": PT, "PL": PL}


def _place(array: np.ndarray, parameters: np.ndarray) -> int:
    """Return the index in `parameters` of the first number of a view of them."""
    return int(array.ctypes.data - parameters.ctypes.data) // parameters.itemsize
