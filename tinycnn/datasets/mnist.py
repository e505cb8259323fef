"""MNIST, and data sets in the same four files, such as Fashion-MNIST and KMNIST.

::

    folder -> four IDX files -> checks -> (x_train, y_train), (x_test, y_test), uint8
    x, uint8 in 0..255, (N, H, W) -> scale_images -> float32 in 0..1, (N, H, W, 1)

MNIST itself is part of the package and needs no download. mnist_files/NOTICE names its authors and licence.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinycnn.datasets import idx
from tinycnn.support import checks, files

Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (N, H, W) and labels (N,)

_PACKAGED = Path(__file__).parent / "mnist_files"
# SHA-256 of the unpacked files. Training on a damaged file of the right length would only be less accurate.
_SHA256 = {
    "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_NDIM = {"images": 3, "labels": 1}
_KINDS = {name: f"idx{_NDIM[name.split('-')[1]]}-ubyte" for name in _SHA256}


def load_mnist(folder: str | os.PathLike[str] | None = None, classes: int = 10) -> tuple[Split, Split]:
    """Read MNIST, or another data set in the same format.

    Parameters
    ----------
    folder : path, optional
        The folder of the four files train-images, train-labels, t10k-images and t10k-labels. Each is named
        like `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, raw or with `.gz`. A raw file is
        preferred to a compressed one, and `-idx` to `.idx`. By default the MNIST of the package is read, and
        its SHA-256 sums are checked.
    classes : int
        Number of classes: labels are 0 to classes - 1.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray of uint8
        Images of shape (N, H, W), with a background of 0, and labels of shape (N,). For MNIST, N is 60,000
        and 10,000, and H and W are 28.

    Raises
    ------
    FileNotFoundError
        When one of the four files is not in `folder`.
    IdxError
        When a file is damaged or does not match its name, when images and labels differ in number, when a
        label is out of range, or when training and test images differ in size.
    ValueError
        When `classes` is not a whole number of at least 1.
    """
    classes = checks.whole("classes", classes, minimum=1)
    if folder is None:
        with files.package_folder(_PACKAGED, [f"{name}-{_KINDS[name]}.gz" for name in _SHA256]) as packaged:
            return _load(packaged, _SHA256, classes)
    return _load(Path(folder), {}, classes)


def _load(source: Path, sums: dict[str, str], classes: int) -> tuple[Split, Split]:
    """Return the training and the test set in a folder; `sums` are those of its files, if they are known."""
    paths = {name: _find(source, name) for name in _SHA256}
    arrays = {name: _read(path, name, sums.get(name)) for name, path in paths.items()}
    for part in ("train", "t10k"):
        images, labels = arrays[f"{part}-images"], arrays[f"{part}-labels"]
        path = paths[f"{part}-labels"]
        if len(images) != len(labels):
            expected = f"{len(images)} labels, one for each image of {paths[f'{part}-images'].name}"
            raise idx.mismatch(path, expected, f"{len(labels)}")
        _check_range(path, labels, classes)
    expected_size, size = arrays["train-images"].shape[1:], arrays["t10k-images"].shape[1:]
    if size != expected_size:
        expected = f"images of (height, width) {expected_size}, as in {paths['train-images'].name}"
        raise idx.mismatch(paths["t10k-images"], expected, f"{size}")
    return (arrays["train-images"], arrays["train-labels"]), (arrays["t10k-images"], arrays["t10k-labels"])


def _find(folder: Path, name: str) -> Path:
    names = [f"{name}{mark}{_KINDS[name]}{suffix}" for suffix in ("", ".gz") for mark in "-."]
    for candidate in names:
        if (folder / candidate).is_file():
            return folder / candidate
    found = "none of them" if folder.is_dir() else "no such folder"
    raise FileNotFoundError(f"{folder}: expected a file named {' or '.join(names)}, found {found}")


def _read(path: Path, name: str, sha256: str | None) -> NDArray[np.uint8]:
    array = idx.read_idx(path)
    if sha256 is not None:
        # an array has exactly one IDX form, so header and data are the bytes of the unpacked file
        digest = hashlib.sha256(idx.header(array))
        digest.update(array.data)
        if digest.hexdigest() != sha256:
            raise idx.mismatch(path, f"unpacked bytes of SHA-256 {sha256}", digest.hexdigest())
    wanted = "images" if name.endswith("images") else "labels"
    if array.dtype != np.uint8 or array.ndim != _NDIM[wanted]:
        found = f"{array.dtype} of shape {array.shape}"
        for other, ndim in _NDIM.items():
            if array.dtype == np.uint8 and array.ndim == ndim:
                found += f": a file of {other} given for {wanted}"
        raise idx.mismatch(path, f"{wanted}: uint8 with ndim {_NDIM[wanted]}", found)
    return array


def _check_range(path: Path, labels: NDArray[np.uint8], classes: int) -> None:
    outside = np.flatnonzero(labels >= classes)
    if outside.size:
        first = outside[0]
        raise idx.mismatch(path, f"labels in 0..{classes - 1}", f"{labels[first]} at index {first}")


def scale_images(images: NDArray[Any]) -> NDArray[np.float32]:
    """Scale images to floats in [0, 1] with a channel axis, as the layers take them.

    Parameters
    ----------
    images : ndarray of uint8, of shape (N, H, W) or (N, H, W, C)

    Returns
    -------
    ndarray of float32, of shape (N, H, W, 1) or (N, H, W, C)
        `images / 255`.

    Raises
    ------
    ValueError
        When `images` has another type or number of axes.
    """
    if not isinstance(images, np.ndarray):
        raise ValueError(f"images: expected a NumPy array, received {type(images).__name__}")
    if images.dtype != np.uint8:
        hint = " (are they scaled already?)" if images.dtype.kind == "f" else ""
        raise ValueError(f"images: expected an array of uint8, received {images.dtype}{hint}")
    if images.ndim not in (3, 4):
        raise ValueError(f"images: expected shape (N, H, W) or (N, H, W, C), received {images.shape}")
    scaled = images.astype(np.float32, order="C")
    scaled /= 255
    return scaled[..., np.newaxis] if images.ndim == 3 else scaled  # (N, H, W) -> (N, H, W, 1)
