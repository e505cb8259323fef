"""Small pieces of HTML that notebooks show: tables, and arrays as coloured squares.

::

    rows -> <table>            arrays (H, W) of both signs -> <svg>, red above 0, blue below, white at 0

The colours of text are those of the page, light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

CELL, GAP = 5, 4  # pixels: side of a square, and between two arrays
MOST = 64  # arrays that are drawn


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], numbers: int = 0) -> str:
    """Return a table; the last `numbers` columns are aligned to the right."""
    first = len(titles) - numbers

    def line(tag: str, cells: Sequence[object]) -> str:
        sides = ("left" if i < first else "right" for i in range(len(cells)))
        return "".join(
            f'<{tag} style="text-align: {side}">{escape(str(cell))}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{line('th', titles)}</tr></thead><tbody>{body}</tbody></table>"


def squares(arrays: Sequence[np.ndarray], label: str, columns: int = 16) -> str:
    """Return arrays (H, W) as pictures side by side, on one scale, the first `MOST` of them."""
    arrays = arrays[:MOST]
    finite = (np.abs(array[np.isfinite(array)]) for array in arrays)
    reach = max((float(sizes.max(initial=0)) for sizes in finite), default=0.0) or 1.0
    H, W = arrays[0].shape
    high, wide = H * CELL + GAP, W * CELL + GAP
    rows = -(-len(arrays) // columns)
    parts = []
    for number, array in enumerate(arrays):
        row, column = divmod(number, columns)
        for i, j in np.ndindex(H, W):
            x, y = column * wide + j * CELL, row * high + i * CELL
            colour = _colour(float(array[i, j]) / reach)
            parts.append(f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{colour}"/>')
    width, height = min(columns, len(arrays)) * wide, rows * high
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(label)}"><title>{escape(label)}</title>{"".join(parts)}</svg>'
    )


def _colour(share: float) -> str:
    """Return the colour of a number from -1 to 1; grey for one that is not finite."""
    if not np.isfinite(share):
        return "#808080"
    full = (178, 24, 43) if share > 0 else (33, 102, 172)
    mixed = (round(255 + abs(share) * (channel - 255)) for channel in full)
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
