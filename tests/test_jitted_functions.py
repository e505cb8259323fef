"""Jitted functions can be read: what each computes, and from what."""

import ast
from functools import cache

import pytest

from tests.test_structure import FILES, nodes, parsed, place

pytestmark = pytest.mark.smoke

MOST_ARGUMENTS = 12


def is_jitted(node):
    """Return whether a function has one of the decorators that compile."""
    names = {ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list}
    return bool(names & {"jit", "linked", "register_jitable"})


@cache
def jitted():
    """Return the jitted functions of the package, by file and name."""
    return {
        f"{place(path)}:{node.name}": node
        for path in FILES
        for node in nodes(parsed(path))
        if isinstance(node, ast.FunctionDef) and is_jitted(node)
    }


def test_they_are_found():
    assert len(jitted()) > 40


def test_each_has_few_arguments_and_a_docstring():
    for name, node in jitted().items():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        assert len(arguments) <= MOST_ARGUMENTS, name
        assert ast.get_docstring(node), name
