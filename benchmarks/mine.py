"""Loading and checking of a user's own kernel, at shapes where kernels go wrong.

::

    path -> load -> {name: function} -> report -> right, refused and wrong shapes
"""

import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases import PASSES
from checking import check_everywhere, first_line

FUNCTIONS = [function for _, function in PASSES.values()]
SHOWN = 4  # shapes of each kind that are listed


def load(path: Path) -> dict[str, Callable[..., Any]]:
    """Return the functions that a kernel file defines, by name.

    Raises
    ------
    ValueError
        When the file does not exist, cannot be run, or defines none of `FUNCTIONS`. The message is one line.
    """
    if not path.is_file():
        raise ValueError(f"expected a Python file, received {str(path)!r}, which is not a file")
    spec = importlib.util.spec_from_file_location("kernel_of_mine", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"expected a name ending in .py, received {str(path)!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Numba's cache looks its functions up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file may raise anything, which is reported
        raise ValueError(f"{path} raises {type(error).__name__}: {first_line(error)}") from error
    if hasattr(module, "conv2d_grad_kernel"):  # its name in version 0.1
        warnings.warn("conv2d_grad_kernel is now conv2d_grad_filter", DeprecationWarning, stacklevel=2)
        module.conv2d_grad_filter = module.conv2d_grad_kernel
    functions = {name: getattr(module, name) for name in FUNCTIONS if callable(getattr(module, name, None))}
    if not functions:
        raise ValueError(f"expected {path} to define one of {', '.join(FUNCTIONS)}, received none of them")
    return functions


def report(path: Path, functions: dict[str, Callable[..., Any]]) -> list[dict[str, Any]]:
    """Check each function at the adversarial shapes; print and return the results.

    Returns
    -------
    list of dict
        For each function its name, the numbers of right, refused and wrong shapes, and the wrong shapes with
        their reasons.
    """
    found = []
    print(f"\n{path}, checked against float64:")
    for name in FUNCTIONS:
        if name not in functions:
            print(f"  {name}: not defined")
            continue
        kinds: dict[str, list[tuple[str, str]]] = {"right": [], "refused": [], "wrong": []}
        for shape, verdict in check_everywhere(functions[name], name):
            kinds[verdict.kind].append((shape, verdict.reason))
        print(f"  {name}: " + ", ".join(f"{len(shapes)} shapes {kind}" for kind, shapes in kinds.items()))
        for kind, word in (("refused", "refuses"), ("wrong", "WRONG at")):
            for shape, reason in kinds[kind][:SHOWN]:
                print(f"    {word} {shape}\n      {reason}")
            if len(kinds[kind]) > SHOWN:
                print(f"    and {len(kinds[kind]) - SHOWN} more {kind}")
        found.append(
            {"function": name, **{kind: len(shapes) for kind, shapes in kinds.items()}}
            | {"wrong at": [f"{shape}: {reason}" for shape, reason in kinds["wrong"]]}
        )
    return found
