"""Pictures of training.

::

    History -> loss and accuracy by epoch -> PNG
"""

import os
from pathlib import Path

from tinycnn.files import atomic_path
from tinycnn.training import History

TRAINING, VALIDATION = "#1f77b4", "#d95f02"  # two colours that stay apart in every kind of colour vision


def plot_history(history: History, path: str | os.PathLike[str], title: str = "") -> None:
    """Draw the loss and each metric, one panel for each, into a picture file.

    Parameters
    ----------
    history : History
        With at least one epoch.
    path : path
        The suffix decides the format: .png, .svg, .pdf.
    title : str

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    ValueError
        For a history without epochs.
    """
    try:
        # Figure, not pyplot: no window system is asked for, and no state stays behind
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "tinycnn[plot]"') from error
    names = [name for name in history.history if not name.startswith("val_")]
    if not names:
        raise ValueError("history: expected at least one epoch, received none")
    figure = Figure(figsize=(4.2 * len(names), 3.2), layout="constrained")
    epochs = [epoch + 1 for epoch in history.epoch]
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(epochs, history.history[name], "o-", color=TRAINING, label="training (with dropout)")
        if f"val_{name}" in history.history:
            axes.plot(epochs, history.history[f"val_{name}"], "s-", color=VALIDATION, label="validation")
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format=Path(path).suffix[1:])
