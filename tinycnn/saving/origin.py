"""Origin of a model file: its format, and who wrote it.

::

    model.h5 -> attributes keras_version, backend, tinycnn -> Origin          model.npz -> Origin

Only short texts are read. Whether the file holds a model is for `saving.read` to find out.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

LONGEST = 100  # characters of a version or of a backend that are kept


class Origin(NamedTuple):
    """Origin of a file.

    Attributes
    ----------
    format : str
        In words.
    writer : str
        "tinycnn", "Keras", or "" where the file does not say.
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
    OSError, ValueError
        When the file cannot be opened, or an attribute is not one short text.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        return Origin("NumPy archive (.npz)", "tinycnn")
    if suffix not in (".h5", ".hdf5"):
        return Origin(suffix)
    import h5py

    with h5py.File(path, "r") as file:
        version, backend = (_short_text(file, name) for name in ("keras_version", "backend"))
        writer = "tinycnn" if "tinycnn" in file.attrs else "Keras" if version else ""
    return Origin("HDF5, Keras' legacy format (.h5)", writer, version, backend)


def _short_text(file: Any, name: str) -> str:
    """Return an attribute that is one text; an empty string if there is none."""
    import h5py

    if name not in file.attrs:
        return ""
    declared = file.attrs.get_id(name)
    if declared.shape != () or h5py.check_string_dtype(declared.dtype) is None:
        raise ValueError(f"{name}: expected text, received {declared.dtype} of shape {declared.shape}")
    if declared.dtype.itemsize > 2**16:
        raise ValueError(f"{name}: expected a short text, received {declared.dtype.itemsize} bytes")
    value = file.attrs[name]
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value))[:LONGEST]
