"""The processor, BLAS and versions of packages, without Numba.

::

    /proc/cpuinfo -> processor      NumPy's configuration -> blas      installed packages -> version
"""

import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.support.files import PACKAGE


def processor() -> str:
    """Return the name of the processor, as far as the system knows it."""
    for line in lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def lines(path: Path) -> list[str]:
    """Return the lines of a file of the system; none if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def version(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    import importlib.metadata as metadata  # here, since its import takes as long as the whole command line

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def blas() -> str:
    """Return the BLAS library that NumPy was built with."""
    try:
        built: Any = np.show_config(mode="dicts")  # NumPy 1.26 and newer
        library = built["Build Dependencies"]["blas"]
        return f"{library['name']} {library.get('version', '')}".strip()
    except (TypeError, KeyError):
        return "unknown"


@cache
def sources() -> str:
    """Return 16 digits of the SHA-256 of the package's modules; "unknown" where it is in a zip.

    Between releases the version stays the same, and this tells one state of the code from another.
    """
    digest, found = hashlib.sha256(), sorted(PACKAGE.rglob("*.py"))
    for path in found:
        name = path.relative_to(PACKAGE).as_posix()
        digest.update(f"{name}\n".encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16] if found else "unknown"
