"""Text, tables, JSON and the bar."""

import io
import json
import os

import numpy as np
import pytest

from tinycnn.cli import output

pytestmark = pytest.mark.smoke


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes stdout and stderr a terminal of some columns."""

    def make(columns):
        stream = Terminal()
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))
        return stream

    return make


def test_json_has_no_type_of_numpy_and_no_nan(capsys):
    value = {
        "a": np.float32(0.5),
        "b": np.arange(3, dtype=np.uint8),
        "c": [np.nan, np.inf, -0.0],
        "d": (True, None, np.bool_(False)),
        3: {"name": "\u00e9\udcff"},
    }
    output.say_json(value)
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {
        "a": 0.5,
        "b": [0, 1, 2],
        "c": [None, None, 0.0],
        "d": [True, None, False],
        "3": {"name": "\u00e9\udcff"},
    }


def test_a_table_aligns_its_columns():
    rows = [("name", "n", "why"), ("conv", 12, "long enough"), ("x\x1b[0m\ny", 3, "")]
    assert output.table(rows) == "name        n   why\nconv        12  long enough\nx\\x1b[0m y  3"


def test_on_a_narrow_terminal_the_last_column_is_wrapped(terminal):
    terminal(44)
    text = output.table([("name", "the reason is longer than this terminal is wide")])
    assert text == "name  the reason is longer than this\n      terminal is wide"
    assert output.width(65) == 44
    terminal(20)
    assert output.width(65) == 40
    terminal(200)
    assert output.width(65) == 65


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 KB"), (4_040_000, "4.0 MB"), (76.2e9, "76.2 GB")],
)
def test_sizes(count, text):
    assert output.size(count) == text


def test_a_bar_is_drawn_on_a_terminal_and_removed(terminal, monkeypatch):
    monkeypatch.setattr(output, "SECONDS_BETWEEN", -1.0)
    stream = terminal(60)
    assert list(output.progress("abcd", 4, "images")) == list("abcd")
    frames = [frame.rstrip() for frame in stream.getvalue().split("\r") if frame.strip()]
    assert frames == [f"tinycnn: [{'#' * n}{'.' * (20 - n)}] images" for n in (0, 5, 10, 15)]
    assert stream.getvalue().endswith("\r" + " " * 59 + "\r")


def test_a_bar_fits_the_terminal(terminal):
    stream = terminal(30)
    with output.bar("a label that is too long for it") as show:
        show(2.0)
    assert max(map(len, stream.getvalue().split("\r"))) == 29


def test_without_a_terminal_there_is_no_bar(capsys):
    assert list(output.progress("ab", 2, "images")) == ["a", "b"]
    assert capsys.readouterr() == ("", "")


def test_quietly():
    """What a call prints stays away; its value comes back."""
    assert output.quietly(lambda: print("noise") or 3) == 3
