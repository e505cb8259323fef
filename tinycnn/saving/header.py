"""JSON header of a model file: all of a snapshot but its arrays.

::

    Snapshot -> to_header -> dictionary          dictionary, arrays by name -> from_header -> Snapshot
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn.saving.snapshot import Snapshot

FORMAT = "tinycnn-1"


def to_header(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a file says of a snapshot beside its arrays, JSON-serialisable."""
    return {
        "format": FORMAT,
        "config": snapshot.config,
        "weights": [name for name, _ in snapshot.weights],
        "training": snapshot.training,
        "slots": {name: len(arrays) for name, arrays in snapshot.slots.items()},
        "progress": snapshot.progress,
    }


def from_header(
    header: dict[str, Any],
    weight: Callable[[int, str], np.ndarray],
    slot: Callable[[str, int], np.ndarray],
) -> Snapshot:
    """Return the snapshot that a header describes.

    Parameters
    ----------
    header : dict
        What `to_header` returned, or what a hostile file has instead.
    weight : callable
        Returns the array of a weight, given its number and its name.
    slot : callable
        Returns an array of a moment, given the moment's name and the array's number.

    Raises
    ------
    ValueError, and others
        When the header is of another format, or lacks something.
    """
    if header["format"] != FORMAT:
        raise ValueError(f"format: expected {FORMAT!r}, received {header['format']!r}")
    return Snapshot(
        header["config"],
        [(str(name), weight(i, name)) for i, name in enumerate(header["weights"])],
        header["training"],
        {name: [slot(name, i) for i in range(count)] for name, count in header["slots"].items()},
        header["progress"],
    )
