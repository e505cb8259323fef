"""A picture of augmentation: variants of a few digits.

::

    one image of each class -> augmentation of a recipe, epoch by epoch -> augmented_digits.png
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tinycnn.datasets import Augmentation, load_mnist, scale_images
from tinycnn.inspection.plots import plot_augmentation
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
    augmentation = Augmentation(**RECIPES[options.recipe].augmentation)
    plot_augmentation(augmentation, images, options.out, epochs=EPOCHS, samples=first)
    print(f"Wrote {options.out}.")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
