"""Ready networks: `mnist_cnn`, and models from files.

::

    mnist_cnn() -> Sequential          load_model("mnist_cnn.h5") -> Sequential
    load_pretrained("mnist_cnn") -> Sequential, trained on MNIST, from the package
"""

import os
from pathlib import Path

from tinycnn import saving
from tinycnn.datasets.likeness import warn_unlike_mnist
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.saving import conversion
from tinycnn.sequential import Sequential
from tinycnn.support import files

# NAME.h5, and its card NAME.md: how it was trained, on what, its accuracy, and what it gets wrong
_PRETRAINED = Path(__file__).parent / "pretrained"
_NAMES = ("mnist_cnn",)


def mnist_cnn(seed: int | None = None, algorithm: str = "auto") -> Sequential:
    """Return a convolutional network for 28 x 28 grey images and ten classes, not yet trained.

    It is the network of the examples, the benchmarks and the documentation: four convolutions with ReLU, two
    max-pools, three dropouts and two dense layers.

    Parameters
    ----------
    seed : int, optional
        See `Sequential`.
    algorithm : str
        The algorithm of the convolutions: "auto" or a name of `tinycnn.kernels.ALGORITHMS`.

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
    """Return the model in a file, ready to predict; compiled, and ready to train, if it was saved compiled.

    Parameters
    ----------
    path : path
        `.h5` or `.keras`, written by tinycnn, Keras 3 or Keras 2; `.npz` or `.safetensors`, written by
        tinycnn; or `.onnx`, a stack of layers that any tool wrote.

    Raises
    ------
    FileNotFoundError
        When the file does not exist.
    ValueError
        When the file does not hold a model, or holds one with layers that tinycnn does not have.

    Warns
    -----
    UserWarning
        When something in the file cannot be restored: the optimizer, the loss, a regularizer, a constraint.
        Also for weights that are NaN or infinite.
    """
    with saving.reading(path) as snapshot:
        model: Sequential = conversion.restore(Sequential, snapshot)
    return model


def load_pretrained(name: str) -> Sequential:
    """Return a trained network from the package.

    Parameters
    ----------
    name : str
        "mnist_cnn": the network of `mnist_cnn`, trained on MNIST by the recipe `best`. Its card,
        `tinycnn/pretrained/mnist_cnn.md`, says how it was trained and how accurate it is.

    Returns
    -------
    Sequential
        Not compiled: it can predict, and `compile` makes it ready to be evaluated or trained further. It has
        seen 55,000 of MNIST's training images, so a validation split of them says nothing about it.
        "mnist_cnn" takes white digits on black, pixels / 255 (`tinycnn.datasets.scale_images`), of shape
        (N, 28, 28, 1). It returns the probabilities of the ten digits, (N, 10).

    Raises
    ------
    ValueError
        When the package has no network of this name.

    Warns
    -----
    UserWarning
        `predict` and `evaluate` warn of images that are unlike MNIST's (`tinycnn.datasets.unlike_mnist`).
        After training on other data, `model.input_check = None` ends that.

    Examples
    --------
    >>> import tinycnn
    >>> _, (images, labels) = tinycnn.datasets.load_mnist()
    >>> model = tinycnn.load_pretrained("mnist_cnn")
    >>> model.predict(tinycnn.datasets.scale_images(images[:5])).argmax(axis=1), labels[:5]
    (array([7, 2, 1, 0, 4]), array([7, 2, 1, 0, 4], dtype=uint8))
    """
    if name not in _NAMES:
        raise ValueError(f"name: expected {' or '.join(map(repr, _NAMES))}, received {name!r}")
    with files.package_folder(_PRETRAINED, [f"{name}.h5"]) as folder:
        model = load_model(folder / f"{name}.h5")
    model.input_check = warn_unlike_mnist
    return model
