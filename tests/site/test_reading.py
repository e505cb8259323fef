"""Pages with prose beside source: they hold each line of the file once, in order."""

import functools
import re
import textwrap

import pytest
import reading
import staging
from reading_order import CHAPTERS

from tests.each_file import each
from tests.test_structure import FILES, place

pytestmark = pytest.mark.smoke

SOURCE = textwrap.dedent('''\
    """A module.

    ::

        x -> y
    """

    import math

    # Two lines
    # on SIZE_*.
    SIZE = 3  # not a block


    # Above `f`.
    @cache
    def f(x):
        """Return x."""
        text = """
    # no comment
    """
        # Inside.
        return x


    class A:
        """A class.

        Attributes
        ----------
        x : int
        """

        def g(self):
            return 1
    ''')


def numbers(row):
    """Return the lines of a row's code, in the order of its pieces."""
    return [number for first, last, _ in reading.pieces(row) for number in range(first, last + 1)]


@pytest.mark.slow
@each(FILES, place)
def test_each_line_of_a_file_is_in_one_row(path):
    """In order; of every file of the package, not only of those that have a page."""
    source = path.read_text(encoding="utf-8")
    found = [number for row in reading.rows(source) for number in numbers(row)]
    assert found == list(range(1, len(source.splitlines()) + 1))


def test_rows_and_their_prose():
    """A comment above a function belongs to it; text in a string is no comment."""
    rows = reading.rows(SOURCE)
    said = [(row.first, [prose.text for prose in row.prose]) for row in rows]
    assert said == [
        (1, ["A module.\n\n::\n\n    x -> y"]),
        (10, ["Two lines\non SIZE_*."]),
        (15, ["Above `f`.", "Return x."]),
        (22, ["Inside."]),
        (26, ["A class.\n\nAttributes\n----------\nx : int"]),
        (34, []),
    ]
    assert [row.last for row in rows] == [9, 14, 21, 25, 33, 35]


def test_what_is_folded():
    """Docstrings and comments of several lines; a single line stays open."""
    folded = [piece[:2] for row in reading.rows(SOURCE) for piece in reading.pieces(row) if piece[2]]
    assert folded == [(1, 6), (10, 11), (27, 32)]


def test_comments_are_plain_text():
    """Only `names` are markup."""
    assert reading.comment_text("`a_` * b_ |c| \\d") == r"``a_`` \* b\_ \|c\| \\d"


def test_comments_for_tools_are_no_prose():
    """They tell a reader nothing."""
    assert reading.rows("x = 1\n# ruff: noqa\n# fmt: off\ny = 2\n") == [reading.Row(1, 4, ())]


@functools.cache
def pages():
    """Return the text of each page by its place."""
    pytest.importorskip("numpydoc", reason="the site needs the extra docs")
    return dict(staging.reading_pages())


@pytest.mark.slow
@each(staging.read_files(), str)
def test_each_page_shows_the_whole_file(path):
    """The lines that the page includes, in order, and the prose of each docstring."""
    text = pages()[f"{reading.document(path)}.rst"]
    source = (staging.PACKAGE.parent / path).read_text(encoding="utf-8")
    ranges = re.findall(rf"literalinclude:: /{path}\n +:lines: (\d+)-(\d+)", text)
    included = [number for first, last in ranges for number in range(int(first), int(last) + 1)]
    assert included == list(range(1, len(source.splitlines()) + 1))
    flat = " ".join(text.split())
    for row in reading.rows(source):
        for prose in row.prose:
            assert " ".join(reading.comment_text(prose.text.partition("\n")[0]).split()) in flat or (
                " ".join(prose.text.partition("\n")[0].split()) in flat
            )


def test_the_order_is_that_of_the_issue():
    """A convolution: the layer, then its four algorithms; and each page leads to the next."""
    files = staging.read_files()
    order = ["layers/conv", *(f"kernels/conv/{name}" for name in ("naive", "im2col", "direct", "winograd"))]
    positions = [files.index(f"tinycnn/{name}.py") for name in order]
    assert positions == sorted(positions)
    assert len(files) == len(set(files))
    places = list(pages())
    for text, following in zip(pages().values(), places[1:], strict=False):
        assert f"next: :doc:`/{following.removesuffix('.rst')}`" in text


def test_introductions_are_short():
    """The prose is the file's own."""
    sentences = [text for chapter in CHAPTERS for _, text in chapter.files]
    assert max(map(len, sentences)) < 120
