"""Networks that are ready: the documented one by name, and saved ones from files.

::

    mnist_cnn() -> Sequential          load_model("mnist_cnn.h5") -> Sequential
    load_pretrained("mnist_cnn") -> the same, trained on MNIST, out of the package
"""

import os
from pathlib import Path

from tinycnn import saving, snapshots
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.sequential import Sequential

# NAME.h5, and NAME.md: how it was trained, on what, how good it is, and what it gets wrong
_PRETRAINED = Path(__file__).parent / "pretrained"


def mnist_cnn(seed: int | None = None, algorithm: str = "auto") -> Sequential:
    """Return the documented network for 28 x 28 grey images and ten classes, not yet trained.

    Parameters
    ----------
    seed : int, optional
        See `Sequential`.
    algorithm : str
        Of the convolutions: "auto" or a name of `tinycnn.kernels.ALGORITHMS`.

    Returns
    -------
    Sequential
        Built, with 1,003,658 parameters; `compile` it to train.
    """
    return Sequential(
        [
            Conv2D(32, 3, activation="relu", algorithm=algorithm),
            Conv2D(64, 3, activation="relu", algorithm=algorithm),
            MaxPooling2D(2),
            Dropout(0.25),
            Conv2D(128, 2, activation="relu", algorithm=algorithm),
            Conv2D(256, 2, activation="relu", algorithm=algorithm),
            MaxPooling2D(2),
            Dropout(0.25),
            Flatten(),
            Dense(128, activation="relu"),
            Dropout(0.5),
            Dense(10, activation="softmax"),
        ],
        seed=seed,
        input_shape=(28, 28, 1),
        name="mnist_cnn",
    )


def load_model(path: str | os.PathLike[str]) -> Sequential:
    """Return the model in a file, compiled when it was saved so, ready to predict or to train on.

    Parameters
    ----------
    path : path
        `.h5`, written by tinycnn, Keras 3 or Keras 2; or `.npz`, written by tinycnn.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When it does not hold a model, or one with layers that tinycnn has not.

    Warns
    -----
    UserWarning
        When the way the model was trained cannot be restored.
    """
    with saving.reading(path) as snapshot:
        model: Sequential = snapshots.restore(Sequential, snapshot)
    return model


def load_pretrained(name: str) -> Sequential:
    """Return a trained network that comes with the package.

    Parameters
    ----------
    name : str
        "mnist_cnn": the documented network, trained on MNIST by the recipe `best`. Its card,
        `tinycnn/pretrained/mnist_cnn.md`, tells how, and how accurate it is.

    Returns
    -------
    Sequential
        Not compiled: it can predict, and `compile` makes it ready to be evaluated or trained further. (Of
        MNIST's training images it has seen 55,000, so a validation split of them tells nothing about it.)
        "mnist_cnn" takes images of shape (N, 28, 28, 1), white digits on black, pixels / 255, and nothing
        else done to them (`tinycnn.datasets.scale_images`); it returns the probabilities of the ten digits.

    Raises
    ------
    ValueError
        When there is no such network.

    Examples
    --------
    >>> import tinycnn
    >>> _, (images, labels) = tinycnn.datasets.load_mnist()
    >>> model = tinycnn.load_pretrained("mnist_cnn")
    >>> model.predict(tinycnn.datasets.scale_images(images[:5])).argmax(axis=1), labels[:5]
    (array([7, 2, 1, 0, 4]), array([7, 2, 1, 0, 4], dtype=uint8))
    """
    names = sorted(path.stem for path in _PRETRAINED.glob("*.h5"))
    if name not in names:
        raise ValueError(f"name: expected {' or '.join(map(repr, names))}, received {name!r}")
    return load_model(_PRETRAINED / f"{name}.h5")
