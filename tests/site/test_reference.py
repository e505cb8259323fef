"""The reference: no public name is forgotten."""

import ast
import functools
import inspect
from types import ModuleType

import pytest
import reference

import tinycnn
from tests.test_documents import BLOCK, DOCUMENTS, text
from tests.test_structure import FILES, parsed, place

pytestmark = pytest.mark.smoke

# Packages with an `__all__` whose names are for the library itself.
INTERNAL = {"cli", "saving.h5", "teach.mistakes"}


@functools.cache
def documented():
    """Return the full names that the pages have entries for."""
    found: set[str] = set()
    for name in reference.MODULES:
        module = reference.module_of(name)
        page = reference.page(module)
        assert f"automodule:: {module.__name__}\n" in page
        found.add(module.__name__)
        found |= {line.split(":: ")[1] for line in page.splitlines() if line.startswith(".. auto")}
    return found


def test_every_public_name_of_the_package_has_an_entry():
    """Names of `tinycnn.__all__`, and of the modules among them."""
    found = documented()
    for name in set(tinycnn.__all__) - {"__version__"}:
        value = getattr(tinycnn, name)
        if not isinstance(value, ModuleType):
            assert f"tinycnn.{name}" in found
            continue
        assert value.__name__ in found
        for inner in reference.public_names(value):
            assert f"{value.__name__}.{inner}" in found


def test_every_package_with_a_list_of_names_has_a_page():
    """Or it is named here as internal."""
    packages = {place(path).removesuffix("__init__.py").strip("/").replace("/", ".") for path in FILES
                if path.name == "__init__.py" and "__all__" in path.read_text(encoding="utf-8")}  # fmt: skip
    assert packages - INTERNAL <= set(reference.MODULES)
    assert packages >= INTERNAL


def test_what_the_documents_import_has_an_entry():
    """Their readers look it up."""
    found = documented()
    for path in DOCUMENTS:
        for block in BLOCK.findall(text(path)):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tinycnn"):
                    missing = {f"{node.module}.{alias.name}" for alias in node.names} - found
                    assert missing == set(), path


def test_public_names_without_a_list():
    """Functions and classes that the module defines, and constants with a `#:` comment."""
    names = reference.public_names(tinycnn.metrics)
    assert "NEGATIVE_SLOPE" not in reference.public_names(tinycnn.activations)
    assert {"accuracy", "confusion_matrix", "METRICS"} <= set(names)
    assert not {"np", "annotations"} & set(names)
    defined = {node.name for path in FILES if place(path) == "metrics.py" for node in parsed(path).body
               if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_"}  # fmt: skip
    assert defined <= set(names)


def test_a_name_without_an_entry_is_found():
    """The check that the build makes."""
    entries = documented()
    assert reference.missing(entries) == []
    assert reference.missing(entries - {"tinycnn.layers.Conv2D"}) == ["tinycnn.layers.Conv2D"]


def test_inherited_methods_are_listed_once():
    """`Sequential` has those of its bases, which have no entries; `Conv2D` leaves them to `Layer`."""
    page = reference.page(tinycnn.layers)
    stop = (
        page.partition("autoclass:: tinycnn.layers.Conv2D\n")[2]
        .split("inherited-members:")[1]
        .splitlines()[0]
    )
    assert "Layer" in stop.split(", ")
    entry = reference.entry("tinycnn", "Sequential", tinycnn.Sequential)
    assert entry.split("inherited-members: ")[1] == ", ".join(reference.BUILT_IN)
    assert inspect.isclass(tinycnn.Sequential)
