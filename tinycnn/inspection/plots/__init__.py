"""Plots of training, of images and of networks, by matplotlib (extra `plot`).

::

    data -> a function of this package -> axes, in a notebook or a figure of one's own, and a file for `path`

Every function takes `ax`, the axes to draw on, and returns the axes. Without `ax` it makes a figure.
"""

from tinycnn.inspection.plots.diagrams import plot_blocks, plot_roofline
from tinycnn.inspection.plots.pictures import (
    plot_augmentation,
    plot_digit_steps,
    plot_errors,
    plot_feature_maps,
    plot_filters,
    plot_images,
)
from tinycnn.inspection.plots.training import plot_confusion_matrix, plot_history, plot_range_test

__all__ = [
    "plot_augmentation",
    "plot_blocks",
    "plot_confusion_matrix",
    "plot_digit_steps",
    "plot_errors",
    "plot_feature_maps",
    "plot_filters",
    "plot_history",
    "plot_images",
    "plot_range_test",
    "plot_roofline",
]
