"""Pictures as SVG: shown by notebooks, read as text, written to files.

::

    elements -> framed -> Picture -> _repr_svg_, str, save
"""

from __future__ import annotations

import os
from pathlib import Path

from tinycnn.support import files, svg

LIGHT, DARK = ("#ffffff", "#1b1b1b"), ("#1b1f24", "#e8e8e8")  # background and text
#: A background of its own: the text is legible on a page of any colour. Both are dark where the reader asks.
STYLE = (
    "@media (prefers-color-scheme: dark) {{ .tinycnn-picture {{ color: {1} }} "
    ".tinycnn-picture .background {{ fill: {0} }} }}"
).format(*DARK)


class Picture:
    """A picture as the text of an SVG file.

    Notebooks show it; `str` is its text.

    Attributes
    ----------
    svg : str
    """

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file, atomically.

        Raises
        ------
        ValueError
            For a name that does not end in .svg.
        OSError
            When the file cannot be written.
        """
        check_path(path)
        with files.atomic_path(path) as temporary:
            temporary.write_text(self.svg + "\n", encoding="utf-8", newline="\n")

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Picture: SVG of {len(self.svg):,} characters; picture.save('network.svg') writes it>"


def check_path(path: str | os.PathLike[str]) -> None:
    """Raise ValueError for a file that is not .svg."""
    if Path(path).suffix.lower() != ".svg":
        raise ValueError(
            f"path: expected a file name ending in .svg, received {os.fspath(path)!r}; a browser "
            "prints .svg as .pdf, and tinycnn.inspection.plots.plot_blocks draws .png and .pdf"
        )


def framed(elements: str, size: tuple[float, float], title: str, description: str) -> str:
    """Return an SVG picture of elements whose colour is `currentColor`.

    Parameters
    ----------
    elements : str
    size : (float, float)
        Width and height in pixels.
    title, description : str
        For those who do not see it.
    """
    width, height = (f"{side:.0f}" for side in size)
    label = svg.escaped(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tinycnn-picture" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{label}" color="{LIGHT[1]}" '
        f'font-family="sans-serif"><title>{label}</title><desc>{svg.escaped(description)}</desc>'
        f"<style>{STYLE}</style>"
        f'<rect class="background" width="{width}" height="{height}" fill="{LIGHT[0]}"/>{elements}</svg>'
    )
