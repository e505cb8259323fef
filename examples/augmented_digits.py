"""A picture of augmentation: variants of a few digits.

::

    one image of each class -> augmentation of a recipe, epoch by epoch -> augmented_digits.png
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tinycnn.datasets import Augmentation, load_mnist, scale_images
from tinycnn.inspection.plots import plot_images
from tinycnn.recipes import RECIPES

EPOCHS = 12


def main(arguments: list[str] | None = None) -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description="Draw augmented digits.")
    recipes = [name for name, recipe in RECIPES.items() if recipe.augmentation]
    parser.add_argument("--recipe", choices=recipes, default="best", help="(default: best)")
    parser.add_argument("--data", type=Path, help="a folder with four IDX files (default: MNIST)")
    parser.add_argument("--out", type=Path, default=Path("augmented_digits.png"))
    options = parser.parse_args(arguments)
    (x, y), _ = load_mnist(options.data)
    first = np.unique(y, return_index=True)[1]
    images = scale_images(x[first])
    augment = Augmentation(**RECIPES[options.recipe].augmentation)
    variants = [images, *(augment(images, seed=0, epoch=epoch, samples=first) for epoch in range(EPOCHS))]
    rows = np.stack(variants, axis=1).reshape(-1, *images.shape[1:])  # one digit after the other
    captions = ["as it is", *(f"epoch {epoch + 1}" for epoch in range(EPOCHS))]
    captions += [""] * (len(rows) - len(captions))
    plot_images(rows, options.out, captions, columns=EPOCHS + 1)
    print(f"Wrote {options.out}.")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
