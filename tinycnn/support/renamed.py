"""Old module names, which work for one version: an import warns and names the new one.

::

    import tinycnn.schedules -> DeprecationWarning -> tinycnn.optimizers.schedules
"""

import importlib
import importlib.abc
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Old names, and where the module is now.
RENAMED = {
    "tinycnn.checks": "tinycnn.support.checks",
    "tinycnn.compilation": "tinycnn.warmup",
    "tinycnn.config": "tinycnn.support.constructor",
    "tinycnn.files": "tinycnn.support.files",
    "tinycnn.gradcheck": "tinycnn.inspection.gradcheck",
    "tinycnn.notices": "tinycnn.support.notices",
    "tinycnn.randomness": "tinycnn.support.randomness",
    "tinycnn.schedules": "tinycnn.optimizers.schedules",
    "tinycnn.snapshots": "tinycnn.saving.conversion",
    "tinycnn.summary": "tinycnn.inspection.summary",
    "tinycnn.kernels.naive": "tinycnn.kernels.conv.naive",
    "tinycnn.kernels.im2col": "tinycnn.kernels.conv.im2col",
    "tinycnn.kernels.direct": "tinycnn.kernels.conv.direct",
    "tinycnn.kernels.winograd": "tinycnn.kernels.conv.winograd",
}


class RenamedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of `RENAMED`; the import system asks it after it has found nothing itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old name, None for every other name."""
        return importlib.util.spec_from_loader(fullname, self) if fullname in RENAMED else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module that has the new name in the place of the empty one."""
        new = RENAMED[module.__name__]
        warnings.warn(f"{module.__name__} is now {new}", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)


def install() -> None:
    """Make the old names importable."""
    if not any(isinstance(finder, RenamedModules) for finder in sys.meta_path):
        sys.meta_path.append(RenamedModules())


def find(name: str) -> ModuleType:
    """Return the module that had a name, with the warning; raise AttributeError for any other name."""
    if name not in RENAMED:
        package, _, attribute = name.rpartition(".")
        raise AttributeError(f"module {package!r} has no attribute {attribute!r}")
    return importlib.import_module(name)
