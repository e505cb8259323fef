"""What the library says on its own account: one line on stderr, once, and never an error."""

import io
import sys

import pytest

from tinycnn.support.notices import notice, status

pytestmark = pytest.mark.smoke


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv("TINYCNN_QUIET", raising=False)
    notice.cache_clear()
    yield
    notice.cache_clear()


def test_a_line_on_stderr_once(capsys):
    notice("first")
    notice("second")
    notice("first")
    assert capsys.readouterr() == ("", "tinycnn: first\ntinycnn: second\n")


@pytest.mark.parametrize(("value", "silent"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_it_can_be_silenced(monkeypatch, capsys, value, silent):
    monkeypatch.setenv("TINYCNN_QUIET", value)
    notice("first")
    assert (capsys.readouterr().err == "") == silent


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_in_a_terminal_it_covers_a_progress_bar(monkeypatch):
    """Nothing of what stood on the line is left, and the bar is drawn again on the next."""
    monkeypatch.setenv("COLUMNS", "60")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    notice("first")
    assert screen.getvalue() == "\r" + "tinycnn: first".ljust(59) + "\n"


def test_no_stream_is_no_error(monkeypatch, capsys):
    """pythonw has none; a daemon may have closed it."""
    monkeypatch.setattr(sys, "stderr", None)
    notice("first")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    notice("second")
    assert capsys.readouterr().out == ""


def test_a_status_is_drawn_in_place_and_only_in_a_terminal(monkeypatch, capsys):
    """Over the last one, cut to the width, and cleared at the end."""
    status("unseen")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("COLUMNS", "30")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    status("compiling a kernel with a long name ...")
    status("")
    first, second = "tinycnn: compiling a kernel with a long name ..."[:29], " " * 29
    assert screen.getvalue() == f"\r{first}\r{second}\r"
