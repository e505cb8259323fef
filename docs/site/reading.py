"""Pages that show prose beside source: both come from the same file, so the prose cannot become false.

::

    source of a file -> rows -> reStructuredText: docstrings and comments at the left, code at the right

A row begins at each class, function and comment block. Its prose is the docstrings and comments in it. Every
line of the file is in the code of exactly one row, in order. The lines that the prose repeats are folded.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

#: Longer docstrings are folded in the code; a comment or a docstring of one line is left open.
OPEN_LINES = 1
# Comments for tools.
DIRECTIVE = re.compile(r"#\s*(ruff|noqa|type:|pragma|fmt)")
# What reStructuredText would take for markup in a comment, which is plain text.
MARKUP = re.compile(r"([\\*_|])")
CODE = re.compile(r"`+([^`]+)`+")


class Prose(NamedTuple):
    """A docstring or a comment block: its first and last line, counted from 1, and its text."""

    first: int
    last: int
    text: str
    docstring: bool


class Row(NamedTuple):
    """Lines of a file that stand beside their prose, from `first` to `last`, counted from 1."""

    first: int
    last: int
    prose: tuple[Prose, ...]


def rows(source: str) -> list[Row]:
    """Return the rows of a Python file, in order; together they hold each line once."""
    lines = source.splitlines()
    tree = ast.parse(source)
    told = sorted([*docstrings(tree, lines), *comments(lines, tree)])
    firsts = {1} | {prose.first for prose in told if not prose.docstring} | set(definitions(tree))
    starts = without_empty_rows(sorted(firsts), lines, told)
    ends = [start - 1 for start in starts[1:]] + [len(lines)]
    return [
        Row(first, last, tuple(prose for prose in told if first <= prose.first <= last))
        for first, last in zip(starts, ends, strict=True)
    ]


def docstrings(tree: ast.Module, lines: list[str]) -> Iterator[Prose]:
    """Yield the docstrings of the module, its classes and functions that have lines of their own."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        text = ast.get_docstring(node)
        if text is None:
            continue
        first, last = node.body[0].lineno, node.body[0].end_lineno or 0
        if lines[first - 1].lstrip()[:1] in "\"'rR" and lines[last - 1].rstrip().endswith(('"', "'")):
            yield Prose(first, last, text, True)


def comments(lines: list[str], tree: ast.Module) -> Iterator[Prose]:
    """Yield the blocks of lines that are comments and nothing else."""
    in_strings = {
        number
        for node in ast.walk(tree)
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and (node.end_lineno or 0) > node.lineno
        for number in range(node.lineno + 1, (node.end_lineno or 0) + 1)
    }
    block: list[int] = []
    for number, line in enumerate([*lines, ""], 1):
        text = line.strip()
        if text.startswith("#") and number not in in_strings and not DIRECTIVE.match(text):
            block.append(number)
            continue
        if block:
            words = [lines[number - 1].strip().lstrip("#:").strip() for number in block]
            yield Prose(block[0], block[-1], "\n".join(words), False)
        block = []


def definitions(tree: ast.Module) -> Iterator[int]:
    """Yield the first lines of classes and functions, that of the first decorator where there is one."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def without_empty_rows(starts: list[int], lines: list[str], told: list[Prose]) -> list[int]:
    """Return the starts of rows without those that follow nothing but prose: a comment above a function."""
    covered = {number for prose in told for number in range(prose.first, prose.last + 1)}
    module = next((prose.last for prose in told if prose.docstring and prose.first == starts[0]), 0)
    kept = [starts[0]]
    for start in starts[1:]:
        between = [number for number in range(kept[-1], start) if lines[number - 1].strip()]
        if set(between) - covered or (between and between[-1] <= module):
            kept.append(start)
    return kept


def page(source: str, path: str, title: str, introduction: str, around: tuple[str, str], link: str) -> str:
    """Return the reStructuredText of a page.

    Parameters
    ----------
    source : str
        The content of the file.
    path, title, introduction : str
        The file's path in the repository, the heading, and a sentence or two by hand.
    around : (str, str)
        Documents before and after this one in the reading order, "" for none.
    link : str
        The address of the file in the repository.
    """
    facts = [f"`{path} <{link}>`__, {len(source.splitlines())} lines"]
    facts += [f"{word}: :doc:`{name}`" for word, name in zip(("before", "next"), around, strict=True) if name]
    head = (
        f":html_theme.sidebar_secondary.remove:\n\n{title}\n{'=' * len(title)}\n\n"
        f".. container:: reading-head\n\n   {' · '.join(facts)}"
    )
    return "\n\n".join([head, introduction, *(row_text(row, path) for row in rows(source))]) + "\n"


def row_text(row: Row, path: str) -> str:
    """Return a container with the prose of a row and its code."""
    prose = "\n\n".join(docstring_text(p.text) if p.docstring else comment_text(p.text) for p in row.prose)
    wide = " reading-wide" if row.first == 1 and row.prose and row.prose[0].docstring else ""
    code = "\n\n".join(code_text(*piece, path) for piece in pieces(row))
    return (
        f".. container:: reading-row{wide}\n\n"
        f"   .. container:: reading-prose\n\n{textwrap.indent(prose or '..', ' ' * 6)}\n\n"
        f"   .. container:: reading-code\n\n{textwrap.indent(code, ' ' * 6)}"
    )


def pieces(row: Row) -> Iterator[tuple[int, int, bool]]:
    """Yield (first line, last line, folded) of the pieces of a row's code, in order."""
    position = row.first
    for prose in row.prose:
        if prose.last - prose.first < OPEN_LINES:
            continue
        if prose.first > position:
            yield position, prose.first - 1, False
        yield prose.first, prose.last, True
        position = prose.last + 1
    if position <= row.last:
        yield position, row.last, False


def code_text(first: int, last: int, folded: bool, path: str) -> str:
    """Return lines of a file with their numbers; folded lines can be opened."""
    code = f".. literalinclude:: /{path}\n   :lines: {first}-{last}\n   :lineno-match:\n   :language: python"
    if not folded:
        return code
    summary = f"<details><summary>lines {first} to {last}</summary>"
    return f".. raw:: html\n\n   {summary}\n\n{code}\n\n.. raw:: html\n\n   </details>"


def docstring_text(text: str) -> str:
    """Return the reStructuredText of a docstring in numpydoc's form."""
    from numpydoc.docscrape_sphinx import SphinxDocString

    return str(SphinxDocString(text, config={"show_class_members": False})).strip()


def comment_text(text: str) -> str:
    """Return a comment as a paragraph: `names` as code, nothing else as markup."""
    pieces = CODE.split(text)  # words and names in turn
    return "".join(f"``{piece}``" if i % 2 else MARKUP.sub(r"\\\1", piece) for i, piece in enumerate(pieces))


def document(path: str) -> str:
    """Return the name of the page of a file: "tinycnn/layers/conv.py" is reading/layers/conv."""
    parts = PurePosixPath(path).with_suffix("").parts[1:]
    return "reading/" + "/".join("package" if part == "__init__" else part for part in parts)
