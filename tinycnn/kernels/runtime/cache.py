"""Compilation cache: machine code in files for the next process, safe against damaged and outdated files.

::

    compiled -> (whose it is, digest, machine code) -> file -> the same? -> run : compile again

Numba writes a table, from signatures to names of files, and then the file. A process that is killed between
the two, or two that start at once, leave a table that names a file of other sources or another signature;
Numba would run it. And a file that was cut off (a full disk, a power failure) would end the program with an
error of pickle, or with a crash. So each file also stores its key and a digest of its code.
"""

import hashlib
import pickle
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile

from tinycnn.support.notices import notice

#: Functions that define the symbols which cached machine code calls, by symbol; see `runtime.linking`.
SYMBOLS: dict[str, Callable[[], Any]] = {}


class KernelCache(FunctionCache):
    """Compilation cache of one function. Loading and saving never raise; a notice says what failed.

    Parameters
    ----------
    function : function
        Not yet compiled.
    stamp : str
        Of the sources; code with another stamp is not used.

    Raises
    ------
    RuntimeError
        From the constructor, when no folder is writable.
    """

    def __init__(self, function: Callable[..., Any], stamp: str) -> None:
        super().__init__(function)
        # Numba's own name has the line number in it, which an edited comment above the function changes
        name = f"{function.__module__}.{function.__qualname__}".replace("<", "").replace(">", "")
        python = f"py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"
        self._cache_file = SealedFile(self.cache_path, f"{name}.{python}", stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function for a signature, or None."""
        try:
            return super().load_overload(sig, target_context)
        except OSError:  # not there, or not for us to read; if that matters, `save_overload` will say so
            return None
        except Exception:  # unpickling what is damaged can raise anything
            notice(f"kernels are compiled again, since a file in {self.cache_path} is damaged")
            with suppress(Exception):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, if the folder is still there, writable and not full."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            notice(f"compiled kernels cannot be kept in {self.cache_path} for the next start: {reason}")


class SealedFile(IndexDataCacheFile):
    """Numba's files, with what each is the code of in the file itself."""

    def save(self, key: Any, data: Any) -> None:
        """Write the code for a key: the signature, the kind of CPU and the function's bytecode."""
        code = self._dump(data)
        super().save(key, (self._owner(key), hashlib.sha256(code).digest(), code))

    def load(self, key: Any) -> Any:
        """Return the code for a key, or None when there is none that is certainly this key's."""
        found = super().load(key)
        if found is None:
            return None
        owner, digest, code = found
        if owner != self._owner(key):
            return None
        if digest != hashlib.sha256(code).digest():
            raise ValueError("the digest differs")
        for symbol, make in SYMBOLS.items():
            if symbol.encode() in code:
                make()
        return pickle.loads(code)

    def _owner(self, key: Any) -> tuple[Any, ...]:
        return self._version, self._source_stamp, key

    def entries(self) -> Iterator[str]:
        """Yield "current", "outdated" or "damaged" for each signature of this function."""
        try:
            with open(self._index_path, "rb") as file:
                if pickle.load(file) != self._version:
                    yield "outdated"
                    return
                stamp, names = pickle.load(file)
        except Exception:  # unpickling what is damaged can raise anything
            yield "damaged"
            return
        for key, name in names.items():
            yield "outdated" if stamp != self._source_stamp else self._entry(key, name)

    def _entry(self, key: Any, name: str) -> str:
        try:
            owner, digest, code = self._load_data(name)
            if digest != hashlib.sha256(code).digest():
                return "damaged"
        except Exception:  # also when the file is gone
            return "damaged"
        return "current" if owner == self._owner(key) else "outdated"


def survey(folder: Path, stamp: str) -> Counter[str]:
    """Count the entries of a cache folder, one for each function and signature.

    Parameters
    ----------
    folder : Path
        Of the compilation cache; other files in it, such as Python's own, are passed over.
    stamp : str
        Of the sources, as `KernelCache` takes it.

    Returns
    -------
    Counter
        "current", "outdated" (of other sources, or another Numba), "damaged", and "other" (of another Python,
        or not of tinycnn), which are not opened.
    """
    python = f".py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"
    found: Counter[str] = Counter()
    for path in folder.glob("*.nbi"):
        if path.name.startswith("tinycnn.") and path.stem.endswith(python):
            found.update(SealedFile(str(folder), path.stem, stamp).entries())
        else:
            found["other"] += 1
    return found
