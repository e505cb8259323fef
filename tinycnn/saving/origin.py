"""Origin of a model file: its format, and who wrote it.

::

    model.h5 -> attributes keras_version, backend, tinycnn ->
    model.keras -> metadata.json: keras_version, tinycnn   -> Origin
    model.npz                                              ->

Only short texts are read. Whether the file holds a model is for `saving.read` to find out.
"""

import os
from pathlib import Path
from typing import NamedTuple

from tinycnn.saving import h5, keras_archive, onnx

LONGEST = 100  # characters of a version or of a backend that are kept
LARGEST = 2**16  # bytes of a text that is read


class Origin(NamedTuple):
    """Origin of a file.

    Attributes
    ----------
    format : str
        In words.
    writer : str
        "tinycnn", "Keras", what an ONNX model names, or "" where the file does not say.
    keras_version, backend : str
        As the file has them; empty where it has none.
    """

    format: str
    writer: str = ""
    keras_version: str = ""
    backend: str = ""


def origin(path: str | os.PathLike[str]) -> Origin:
    """Return the origin of a model file that `saving.read` can read.

    Raises
    ------
    OSError, ValueError, zipfile.BadZipFile
        When the file cannot be opened, or an attribute is not one short text.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        return Origin("NumPy archive (.npz)", "tinycnn")
    if suffix == ".safetensors":
        return Origin("safetensors", "tinycnn")
    if suffix == ".keras":
        found = keras_archive.metadata(path)
        version = str(found.get("keras_version", ""))[:LONGEST]
        return Origin("Keras archive (.keras)", _writer("tinycnn" in found, version), version)
    if suffix == ".onnx":
        return Origin("ONNX (.onnx)", onnx.producer(path)[:LONGEST])
    if suffix not in (".h5", ".hdf5"):
        return Origin(suffix)
    with h5.File(path) as file:
        attributes = file.root.attributes
        version, backend = (_short_text(attributes, name) for name in ("keras_version", "backend"))
    writer = _writer("tinycnn" in attributes, version)
    return Origin("HDF5, Keras' legacy format (.h5)", writer, version, backend)


def _writer(is_own: bool, keras_version: str) -> str:
    return "tinycnn" if is_own else "Keras" if keras_version else ""


def _short_text(attributes: dict[str, h5.Attribute], name: str) -> str:
    """Return an attribute that is one text; an empty string if there is none."""
    if name not in attributes:
        return ""
    found = attributes[name]
    if found.shape != () or found.datatype.text is None:
        raise ValueError(f"{name}: expected text, received {found.datatype.name} of shape {found.shape}")
    return found.texts(LARGEST)[0][:LONGEST]
