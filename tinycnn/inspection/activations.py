"""Intermediate outputs of a network: what each layer makes of the images.

::

    images -> layer -> output -> layer -> output -> ...        {"conv2d_1": (N, 26, 26, 32), ...}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinycnn.layers import Layer
from tinycnn.support import checks


def activations(
    model: Any, x: np.ndarray, layers: Iterable[str | int | Layer] | None = None, batch_size: int = 128
) -> dict[str, np.ndarray]:
    """Return the outputs of layers, by their names, at inference.

    Parameters
    ----------
    model : Sequential
    x : float ndarray of shape (N, H, W, C)
        Images.
    layers : iterable of str, int or Layer, optional
        Names, numbers or layers of the model; all by default.
    batch_size : int
        Images that are computed at once. The layers run one by one, so results differ from those of `predict`
        by rounding.

    Returns
    -------
    dict of str to ndarray
        In the order of the layers.

    Examples
    --------
    >>> from tinycnn import Sequential
    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(10, activation="softmax")], seed=1, input_shape=(2, 2, 1))
    >>> {name: y.shape for name, y in model.activations(np.zeros((5, 2, 2, 1))).items()}
    {'flatten_1': (5, 4), 'dense_1': (5, 10)}
    """
    x = model.check_images(x)
    size = checks.whole("batch_size", batch_size, 1)
    wanted = {_find(model, one).name for one in (model.layers if layers is None else _several(layers))}
    found: dict[str, list[np.ndarray]] = {layer.name: [] for layer in model.layers if layer.name in wanted}
    for start in range(0, max(len(x), 1), size):
        y = x[start : start + size]
        for layer in model.layers:
            y = layer.forward(y)
            if layer.name in wanted:
                found[layer.name].append(y)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _several(layers: Any) -> Iterable[Any]:
    return [layers] if isinstance(layers, str | int | Layer) else layers


def _find(model: Any, layer: str | int | Layer) -> Any:
    if isinstance(layer, Layer):
        return model.get_layer(layer.name)
    return model.get_layer(index=layer) if isinstance(layer, int) else model.get_layer(layer)
