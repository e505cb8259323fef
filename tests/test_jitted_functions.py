"""Jitted functions can be read: what each computes, and from what."""

import ast

import pytest

from tests.test_structure import FILES, parsed, place

pytestmark = pytest.mark.smoke

MOST_ARGUMENTS = 12


def is_jitted(node):
    """Return whether a function has one of the decorators that compile."""
    names = {ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list}
    return bool(names & {"jit", "linked", "register_jitable"})


JITTED = [
    pytest.param(node, id=f"{place(path)}:{node.name}")
    for path in FILES
    for node in ast.walk(parsed(path))
    if isinstance(node, ast.FunctionDef) and is_jitted(node)
]


def test_they_are_found():
    assert len(JITTED) > 40


@pytest.mark.parametrize("node", JITTED)
def test_it_has_few_arguments_and_a_docstring(node):
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    assert len(arguments) <= MOST_ARGUMENTS
    assert ast.get_docstring(node)
