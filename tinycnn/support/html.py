"""Small pieces of HTML that notebooks show: tables, and arrays as coloured squares.

::

    rows -> <table>
    arrays (H, W) of both signs -> <svg> or <img>, red above 0, blue below, white at 0

The colours of text are those of the page, light or dark.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from tinycnn.support.svg import escaped

CELL, GAP = 5, 4  # pixels: side of a square, and between two arrays
MOST = 64  # arrays that are drawn


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], numbers: int = 0) -> str:
    """Return a table; the last `numbers` columns are aligned to the right."""
    first = len(titles) - numbers

    def line(tag: str, cells: Sequence[object]) -> str:
        sides = ("left" if i < first else "right" for i in range(len(cells)))
        return "".join(
            f'<{tag} style="text-align: {side}">{escaped(cell)}</{tag}>'
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
        f'aria-label="{escaped(label)}"><title>{escaped(label)}</title>{"".join(parts)}</svg>'
    )


def _colour(share: float) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in colours(np.array(share)))


def colours(shares: np.ndarray) -> np.ndarray:
    """Return the colours (..., 3), uint8, of numbers from -1 to 1; grey for those that are not finite."""
    shares = shares[..., np.newaxis]
    full = np.where(shares > 0, (178, 24, 43), (33, 102, 172))
    mixed = np.rint(255 + np.abs(np.nan_to_num(shares)).clip(0, 1) * (full - 255))
    found: np.ndarray = np.where(np.isfinite(shares), mixed, 128).astype(np.uint8)
    return found


def image(pixels: np.ndarray, label: str, scale: int = 1) -> str:
    """Return an uint8 array (H, W, 3) as an image, each pixel `scale` pixels of the screen wide."""
    H, W, _ = pixels.shape
    data = base64.b64encode(png(pixels)).decode("ascii")
    return (
        f'<img src="data:image/png;base64,{data}" width="{W * scale}" height="{H * scale}" '
        f'alt="{escaped(label)}" title="{escaped(label)}" style="image-rendering: pixelated"/>'
    )


def png(pixels: np.ndarray) -> bytes:
    """Return an uint8 array (H, W, 3) as a PNG file (W3C, "Portable Network Graphics", third edition)."""
    H, W, _ = pixels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    rows = np.zeros((H, 1 + 3 * W), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = pixels.reshape(H, 3 * W)
    header = struct.pack(">IIBBBBB", W, H, 8, 2, 0, 0, 0)  # 8 bits, RGB
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )
