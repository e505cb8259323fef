"""The examples in docstrings, `>>>` as in Python's own shell: each runs and prints what it says."""

import doctest
import importlib

import pytest

from tests.test_structure import FILES, place

# The modules whose examples run compiled kernels; NumPy computes the others.
COMPILED = {"datasets/augment.py", "models.py", "warmup.py"}
# Those that say which algorithm would run, and run none.
CHOOSING = {"tinycnn.kernels.explanation", "tinycnn.kernels.selection"}


def module_name(path):
    """Return the name by which a file of the package is imported."""
    return f"tinycnn/{place(path)}".removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def parameter(path):
    """Return the parameter of a file, marked as a smoke test if its examples compile nothing."""
    marks = () if place(path) in COMPILED else pytest.mark.smoke
    return pytest.param(module_name(path), id=place(path), marks=marks)


WITH_EXAMPLES = [parameter(path) for path in FILES if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_print_what_they_say(name, monkeypatch, tmp_path):
    """As `python -m doctest` runs them, from any folder."""
    monkeypatch.chdir(tmp_path)
    if name in CHOOSING:
        monkeypatch.delenv("TINYCNN_ALGORITHM", raising=False)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
