"""Roofline plot of the measured convolutions (Williams, Waterman & Patterson, CACM 2009).

::

    rows of conv.py, measured peaks -> a panel for each pass: GFLOP/s over FLOP per byte of compulsory traffic

The slope is the limit of the memory, the level line that of the multiply-adds. A point above the level line
has saved multiplications: Winograd, or a sparse gradient.
"""

from pathlib import Path
from typing import Any

import numpy as np

# Okabe and Ito's colours, distinguishable with every kind of colour vision; shapes help in black and white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
MARKERS = "osD^vP*X"


def draw(path: Path, rows: list[dict[str, Any]], peaks: dict[str, float], title: str) -> None:
    """Draw the plot to a file.

    Parameters
    ----------
    path : Path
        Its suffix is the format.
    rows : list of dict
        With "layer", "pass", "who", "GFLOP/s" and "FLOP/byte". Rows without a time are left out.
    peaks : dict
        "GFLOP/s" and "GB/s", measured.
    title : str
    """
    from matplotlib.figure import Figure

    rows = [row for row in rows if "ms" in row]
    passes = list(dict.fromkeys(row["pass"] for row in rows))
    if not passes:
        return
    people = [
        row["who"].removesuffix(" channels_last") for row in rows
    ]  # PyTorch is one contestant, whatever its format
    styles = dict(zip(dict.fromkeys(people), zip(COLOURS * 2, MARKERS * 2, strict=True), strict=False))
    figure = Figure(figsize=(max(7.0, 4.6 * len(passes)), 5.2), layout="constrained")
    panels = figure.subplots(1, len(passes), sharey=True, sharex=True, squeeze=False)[0]
    intensities = [row["FLOP/byte"] for row in rows]
    ridge = peaks["GFLOP/s"] / peaks["GB/s"]
    span = np.array([min([*intensities, ridge]) / 2, max([*intensities, ridge]) * 2])
    for axes, name in zip(panels, passes, strict=True):
        _roofs(axes, span, peaks)
        for who, (colour, marker) in styles.items():
            mine = [
                row for row, person in zip(rows, people, strict=True) if person == who and row["pass"] == name
            ]
            x, y = ([row[key] for row in mine] for key in ("FLOP/byte", "GFLOP/s"))
            axes.scatter(x, y, color=colour, marker=marker, s=38, label=who, zorder=3, alpha=0.9)
        _layer_names(axes, [row for row in rows if row["pass"] == name])
        axes.set_title(name)
        axes.set_xlabel("FLOP per byte of compulsory traffic")
    panels[0].set_ylabel("GFLOP/s of the direct arithmetic")
    low = min(*(row["GFLOP/s"] for row in rows), peaks["GFLOP/s"]) / 3
    panels[0].set_ylim(low, max(*(row["GFLOP/s"] for row in rows), peaks["GFLOP/s"]) * 1.6)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 8), frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def _roofs(axes: Any, span: np.ndarray, peaks: dict[str, float]) -> None:
    """Draw the two limits, on logarithmic axes."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(which="both", alpha=0.2)
    ridge = peaks["GFLOP/s"] / peaks["GB/s"]
    roof = np.array([span[0], ridge, span[1]])
    axes.plot(roof, np.minimum(roof * peaks["GB/s"], peaks["GFLOP/s"]), color="black", linewidth=1.2)
    axes.set_xlim(*span)
    axes.text(ridge, peaks["GFLOP/s"] * 1.04, f"FMA {peaks['GFLOP/s']:.0f} GFLOP/s", fontsize=8, va="bottom")
    middle = np.sqrt(span[0] * ridge)
    axes.annotate(
        f"memory {peaks['GB/s']:.0f} GB/s",
        (middle, middle * peaks["GB/s"]),
        xytext=(5, -3),
        textcoords="offset points",
        fontsize=8,
        va="top",
    )


def _layer_names(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Write the name of each layer at the bottom of the panel, at the intensity of its dense algorithms."""
    for layer in dict.fromkeys(row["layer"] for row in rows):
        x = min(row["FLOP/byte"] for row in rows if row["layer"] == layer)
        axes.axvline(x, color="black", alpha=0.12, linewidth=1)
        axes.text(
            x,
            0.02,
            layer,
            transform=axes.get_xaxis_transform(),
            rotation=90,
            ha="right",
            va="bottom",
            fontsize=8,
        )
