"""ONNX models (.onnx): what predicts, for other tools, and feed-forward networks of other tools.

::

    Snapshot -> exporting -> graph -> m.onnx -> ONNX Runtime, OpenVINO, OpenCV, ...
    m.onnx of PyTorch, Keras, scikit-learn, ... -> importing -> operators -> Snapshot

A file has layers and weights, and nothing of training: no optimizer, no loss, no dropout. Files are written
with opset 13. Those of opset 7 and later are read if they are a stack of layers that tinycnn has.

Reading parses the file and does the rest in Python. ONNX's checker, its shape inference and its converter of
versions, which are programs in C++, never see it.
"""

import os
from pathlib import Path
from typing import Any

from tinycnn.saving.onnx import exporting, importing, wire
from tinycnn.saving.snapshot import Snapshot
from tinycnn.support.files import atomic_path

__all__ = ["library", "producer", "read", "write"]


def write(path: str | os.PathLike[str], snapshot: Snapshot, data_format: str = "channels_last") -> None:
    """Write the layers and weights of a snapshot; the weights become float32.

    Parameters
    ----------
    path : path
    snapshot : Snapshot
        Its optimizer, loss and progress are left out.
    data_format : "channels_last" or "channels_first"
        Whether the model takes images (N, H, W, C), as tinycnn, or (N, C, H, W).

    Raises
    ------
    ImportError
        Without the library `onnx`: `pip install "tinycnn[onnx]"`.
    ValueError
        For weights that float32 or a file of 2 GiB does not hold.
    """
    library()
    content = exporting.to_bytes(snapshot, data_format)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read(path: str | os.PathLike[str]) -> Snapshot:
    """Return the network in a file.

    Raises
    ------
    ImportError
        Without the library `onnx`: `pip install "tinycnn[onnx]"`.
    ValueError
        For a file that is no ONNX model, or holds one that is no stack of tinycnn's layers.
    """
    model, size = _parse(path)
    return importing.to_snapshot(model, Path(path).parent, size)


def producer(path: str | os.PathLike[str]) -> str:
    """Return the name of the program that wrote a file, as the file has it. It raises as `read` does."""
    return str(_parse(path)[0].producer_name)


def _parse(path: str | os.PathLike[str]) -> tuple[Any, int]:
    """Return the ModelProto in a file, and how many bytes it has."""
    library()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    content = Path(path).read_bytes()
    wire.check_count(content, ModelProto.DESCRIPTOR)
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ValueError(f"expected an ONNX model, received other content: {error}") from None
    return model, len(content)


def library() -> Any:
    """Return the library of the file's messages; raise ImportError where it is missing."""
    try:
        import onnx
    except ImportError:
        raise ImportError('ONNX files need the library onnx: pip install "tinycnn[onnx]"') from None
    return onnx
