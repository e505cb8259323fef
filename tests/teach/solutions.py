"""The solutions in the instructor's notebook, as functions: what a student would write."""

import json
from functools import cache
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebooks" / "homework.ipynb"


@cache
def cells():
    """Return the cells of the notebook."""
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def source(cell):
    """Return the text of a cell."""
    return "".join(cell["source"])


@cache
def solution_file():
    """Return a Python file with all solutions."""
    parts = [source(cell) for cell in cells() if cell["metadata"]["nbgrader"]["solution"]]
    return "\n\n\n".join(["import numpy as np", *parts, ""])


@cache
def solutions():
    """Return the functions by name."""
    namespace = {}
    exec(solution_file(), namespace)
    return {name: value for name, value in namespace.items() if callable(value) and name[0] != "_"}
