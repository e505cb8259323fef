"""The reference: one page for each public module, with every public name of it; the text is the docstrings.

::

    MODULES -> public_names -> reStructuredText for Sphinx's autodoc and numpydoc
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: The public modules, below `tinycnn`; "" is the package itself. A test looks for others.
MODULES = (
    "",
    "layers",
    "activations",
    "initializers",
    "regularizers",
    "losses",
    "metrics",
    "optimizers",
    "optimizers.schedules",
    "training",
    "training.receipt_comparison",
    "datasets",
    "inspection",
    "inspection.activations",
    "inspection.costs",
    "inspection.gradcheck",
    "inspection.plots",
    "inspection.saliency",
    "inspection.trace",
    "kernels",
    "saving",
    "saving.onnx",
    "recipes",
    "distributed",
    "sklearn",
    "teach",
)
#: Where the methods that a class inherits are not listed again: bases that Python and scikit-learn have, and
#: public bases.
BUILT_IN = (
    *("object", "tuple", "dict", "Exception", "ValueError", "ABC", "Protocol"),
    *("BaseEstimator", "ClassifierMixin", "_MetadataRequester"),
)
#: Methods that scikit-learn puts into a class of its own accord; their text refers to its own pages.
REQUESTS = re.compile(r"set_\w+_request")


def module_of(name: str) -> ModuleType:
    """Return a module by its name below `tinycnn`."""
    return importlib.import_module(f"tinycnn.{name}".rstrip("."))


def public_names(module: ModuleType) -> list[str]:
    """Return the names of `__all__`; without it, those that the module defines, without an underscore.

    A constant without `__all__` counts if it has a comment of the form `#: text`.
    """
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not name.startswith("_")]
    source = inspect.getsource(module)
    lines = source.splitlines()
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and lines[node.lineno - 2].startswith("#:"):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if not name.startswith("_")]


def document(module: ModuleType) -> str:
    """Return the name of the page of a module."""
    return f"reference/{module.__name__}"


def page(module: ModuleType) -> str:
    """Return the reStructuredText of a module's page."""
    heading = module.__name__
    parts = [f"{heading}\n{'=' * len(heading)}", f".. automodule:: {heading}\n   :no-members:"]
    values = [(name, getattr(module, name)) for name in public_names(module)]
    values.sort(key=lambda named: not isinstance(named[1], ModuleType))  # modules first
    parts += [entry(heading, name, value) for name, value in values]
    return "\n\n".join(parts) + "\n"


def entry(module: str, name: str, value: Any) -> str:
    """Return the directive for a public name."""
    if isinstance(value, ModuleType):
        return f"* :doc:`{module}.{name} </{document(value)}>`"
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        stop = ", ".join((*BUILT_IN, *bases(value)))
        directive = f".. {kind}:: {module}.{name}\n   :members:\n   :inherited-members: {stop}"
        left_out = ", ".join(filter(REQUESTS.fullmatch, dir(value)))
        return f"{directive}\n   :exclude-members: {left_out}" if left_out else directive
    if inspect.isroutine(value):
        return f".. autofunction:: {module}.{name}"
    return f".. autodata:: {module}.{name}\n   :no-value:"


def bases(cls: type) -> list[str]:
    """Return the names of the base classes that have entries of their own."""
    public = {value for name in MODULES for value in vars(module_of(name)).values() if inspect.isclass(value)}
    return [base.__name__ for base in cls.__mro__[1:] if base in public and base.__module__ != "builtins"]


def index() -> str:
    """Return the page that lists the modules, each with the first line of its docstring."""
    names = [module_of(name) for name in MODULES]
    rows = [f"* :doc:`/{document(module)}`: {(module.__doc__ or '').splitlines()[0]}" for module in names]
    tree = "\n".join(f"   /{document(module)}" for module in names)
    return "\n\n".join(
        (
            "Reference\n=========",
            "Every public name, from its docstring. The examples in it are run by the tests.",
            "\n".join(rows),
            f".. toctree::\n   :hidden:\n\n{tree}\n",
        )
    )


def missing(documented: set[str]) -> list[str]:
    """Return the public names that are not in the reference."""
    names = [
        f"{module.__name__}.{name}" for module in map(module_of, MODULES) for name in public_names(module)
    ]
    modules = {f"tinycnn.{name}".rstrip(".") for name in MODULES} | {"tinycnn.gradcheck"}  # also inspection's
    return [name for name in names if name not in documented | modules]


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of public names that have no entry."""
    from sphinx.util import logging

    if "reference/index" in env.found_docs:
        for name in missing(set(env.domaindata["py"]["objects"])):
            logging.getLogger(__name__).warning("%s: expected an entry in the reference, received none", name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the check, which runs when all documents have been read."""
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True}
