"""NumPy archives (.npz) of weights alone, from any program: `np.savez(path, **{name: array})`.

::

    archive -> shape and dtype of each array -> plain_arrays.weights -> the arrays that are weights are read

Members may be compressed, as by `np.savez_compressed`. First the headers of the arrays are read, of each no
more than `LONGEST` bytes. An array is read only if its shape is that of a weight of the model. So a file
takes no more memory than a few times the model's, whatever it declares and however far it unpacks. Nothing
is unpickled.
"""

import io
import math
import os
import zipfile
from typing import Any

import numpy as np

from tinycnn.saving import npz, plain_arrays
from tinycnn.saving.stored import Stored

LONGEST = 2**14  # bytes of an array's header: 10,000 are what NumPy reads at most
MOST_ARRAYS = 2**14
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read(path: str | os.PathLike[str], config: dict[str, Any]) -> list[tuple[str, np.ndarray]] | None:
    """Return the weights in an archive as ("layer/weight", array), in the order of the model's.

    Parameters
    ----------
    path : path
    config : dict
        A `Snapshot.config`: that of the model that the weights are for.

    Returns
    -------
    list of (str, ndarray), or None
        None for a file that holds a whole model.

    Raises
    ------
    ValueError, OSError, and others
        When the file is no such archive, does not fit the model, or is hostile.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [info.filename for info in members]
        if "model.json.npy" in names or archive.comment.startswith(npz.MARK):
            return None
        if len(members) > MOST_ARRAYS or len(set(names)) < len(names):
            raise ValueError(f"expected at most {MOST_ARRAYS} members, each once, received {len(names)}")
        arrays = {info.filename.removesuffix(".npy"): _stored(archive, info) for info in members}
        return plain_arrays.weights(config, arrays, in_order=True)


def _stored(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Stored:
    """Return the array of a member, not yet read, after comparing its header with the size of the member."""
    name = info.filename
    if not name.endswith(".npy") or info.compress_type not in METHODS:
        raise ValueError(f"{name!r:.100}: expected an array, stored or deflated, received another member")
    with archive.open(info) as member:
        start = io.BytesIO(member.read(LONGEST))
    version = np.lib.format.read_magic(start)
    if version not in npz.HEADERS:
        raise ValueError(f"{name!r:.100}: expected version 1.0 or 2.0 of NumPy's format, received {version}")
    shape, _, dtype = npz.HEADERS[version](start)
    declared, stored = math.prod(shape) * dtype.itemsize, info.file_size - start.tell()
    if declared != stored or min(shape, default=0) < 0:
        raise ValueError(f"{name!r:.100}: expected {declared} bytes for the shape {shape}, received {stored}")

    def array() -> np.ndarray:
        with archive.open(info) as member:
            values: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
            if member.read(1):  # to the end, where the archive's own checksum is compared
                raise ValueError(f"{name!r:.100}: expected {declared} bytes, received more")
        return values

    return Stored(shape, dtype.name, array)
