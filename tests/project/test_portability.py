"""Rules that keep the code running on Windows and macOS, read from the syntax tree.

Text files are UTF-8 everywhere: Windows would take its own code page.
Modules that only POSIX has are imported where they are used.
"""

import ast
from pathlib import Path

import pytest

from tests.each_file import each
from tests.test_structure import PACKAGE, imports, parsed

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    [ROOT / "noxfile.py"]
    + [
        path
        for folder in (".ci", "benchmarks", "docs/site", "examples")
        for path in (ROOT / folder).glob("*.py")
    ]
    + list(PACKAGE.rglob("*.py"))
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
POSIX_ONLY = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}
TEXT_METHODS = {"open", "read_text", "write_text", "fdopen"}
OTHERS = {"os.open", "tarfile.open", "gzip.open", "archive.open", "library.open", "webbrowser.open"}


def without_encoding(tree):
    """Return the calls that read or write text in the encoding of the system."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and opens_text(node) and "encoding" not in keywords(node)
    ]


def opens_text(call):
    """Return whether a call opens a file as text."""
    name = ast.unparse(call.func)
    return name.split(".")[-1] in TEXT_METHODS and name not in OTHERS and not binary(call)


def binary(call):
    """Return whether the mode of `open(path, mode)` or `path.open(mode)` has a "b"."""
    first = 1 if isinstance(call.func, ast.Name) else 0
    given = [*call.args[first:], *(word.value for word in call.keywords if word.arg == "mode")]
    return any(isinstance(a, ast.Constant) and isinstance(a.value, str) and "b" in a.value for a in given)


def keywords(call):
    """Return the names of a call's keyword arguments."""
    return {word.arg for word in call.keywords}


@pytest.mark.slow
@each(SHIPPED, str)
def test_text_has_an_encoding(path):
    """In all that users run."""
    assert without_encoding(parsed(path)) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("open(path)", 1),
        ("open(path, 'w', newline='')", 1),
        ("Path(name).read_text()", 1),
        ("path.write_text(text)", 1),
        ("path.open()", 1),
        ("open(path, 'rb'), path.open('wb'), open(path, mode='ab'), os.open(path, flags)", 0),
        ("open(path, encoding='utf-8'), path.read_text(encoding='ascii')", 0),
    ],
)
def test_the_rule_sees_text_without_an_encoding(code, found):
    """And nothing else."""
    assert len(without_encoding(ast.parse(code))) == found


@pytest.mark.slow
@each([*SHIPPED, *TESTS], str)
def test_modules_of_posix_are_imported_where_they_are_used(path):
    """At the top of a file they would make it useless on Windows."""
    names = imports(parsed(path), module_level_only=True)
    assert not POSIX_ONLY & {name.split(".")[0] for name in names}
