"""Training of `mnist_cnn` on MNIST: the command `tinycnn train` as a program, with the same options.

::

    images -> mnist_cnn -> a recipe -> mnist_cnn.h5, mnist_cnn.csv, mnist_cnn.png

The code is in tinycnn/cli/train.py, the settings are in tinycnn/recipes.py. examples/mnist_cnn.py trains in a
few lines.
"""

import sys
from collections.abc import Sequence

from tinycnn.cli import train
from tinycnn.cli.program import run_alone


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, write the model, its history and its curves, and test once."""
    run_alone(train.add_options, train.run, arguments)


if __name__ == "__main__":
    try:
        main()
    except (FloatingPointError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
