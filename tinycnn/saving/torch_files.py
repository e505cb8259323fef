"""PyTorch's files (.pt, .pth): state dicts, read and written by PyTorch itself.

::

    Snapshot -> write -> torch.save(state dict)          torch.load(weights_only=True) -> read -> weights

Such a file is a pickle in a zip archive. PyTorch's restricted unpickler reads it, which knows tensors and
dictionaries. It had holes up to PyTorch 2.5 (CVE-2025-32434) and 2.9 (CVE-2026-24747), so older versions are
refused. So are compressed members, which could unpack to any size, and files of PyTorch before 1.6, which are
no archives.
"""

import os
import pickle
import re
import zipfile
from typing import Any

import numpy as np

from tinycnn.saving import npz, torch_state
from tinycnn.saving.snapshot import Snapshot
from tinycnn.saving.torch_modules import modules
from tinycnn.support.files import atomic_path

SUFFIXES = (".pt", ".pth")
SAFE = (2, 10)  # the first version whose `weights_only` has no known hole
CURE = 'PyTorch\'s files need PyTorch 2.10 or newer: pip install "torch>=2.10"'


def _torch() -> Any:
    """Return PyTorch, if it is there and its unpickler is safe."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(CURE) from error
    version = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if version is None or tuple(map(int, version.groups())) < SAFE:
        raise ImportError(
            f"{CURE}; this is {torch.__version__}, in which a file can run code even with weights_only=True "
            "(CVE-2025-32434, CVE-2026-24747). A file that you trust can be loaded with torch.load, and "
            "given to tinycnn.saving.from_torch_state_dict"
        )
    return torch


def write(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write the weights of a snapshot as a state dict; see `torch_state.to_torch_state_dict` for its keys."""
    torch = _torch()
    arrays = torch_state.state_dict(modules(snapshot.config), dict(snapshot.weights))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(tensors, file)


def read(path: str | os.PathLike[str], config: dict[str, Any]) -> list[tuple[str, np.ndarray]]:
    """Return the weights in a file as ("layer/weight", array), in the order of the model's.

    Parameters
    ----------
    path : path
        It holds a state dict, or a checkpoint with one; see `torch_state.from_torch_state_dict`.
    config : dict
        A `Snapshot.config`: that of the model that the weights are for.

    Raises
    ------
    ImportError
        When PyTorch is missing, or its unpickler is unsafe.
    ValueError, and others
        When the file is no such archive, does not fit the model, or is hostile.
    """
    torch = _torch()
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(
                "expected a file of PyTorch 1.6 or newer, received none; if it is older, load it with "
                "torch.load and write it again with torch.save"
            )
        with zipfile.ZipFile(file) as archive:
            npz.check_members(archive.infolist(), os.fstat(file.fileno()).st_size)
        file.seek(0)
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:  # its text proposes to run what is in the file
            found = re.search(r"GLOBAL ([\w.]+)", str(error))
            received = f"an object of {found[1]}, which could run code" if found else "something else"
            raise ValueError(
                f"expected a state dict of tensors, received {received}; write the file with "
                "torch.save(module.state_dict(), path)"
            ) from error
    return torch_state.weights(config, torch_state.stored(content))
