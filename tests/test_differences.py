"""The page about Keras and the tests that run Keras beside it name the same differences."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.smoke

TESTS = Path(__file__).parent / "peers" / "test_differences_keras.py"
PAGE = Path(__file__).parents[1] / "docs" / "keras.md"


def test_each_difference_has_a_test():
    """A row without a test is a claim; a test without a row is a secret."""
    table = PAGE.read_text(encoding="utf-8").split("## Differences")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    functions = [
        node.name
        for node in ast.parse(TESTS.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    tests = [name.removeprefix("test_") for name in functions if name.startswith("test_")]
    assert len(rows) == len(set(rows)) > 50
    assert rows == tests
