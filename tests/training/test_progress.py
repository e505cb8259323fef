"""What a user sees while training, the files of the history, and Ctrl-C."""

import csv
import os
import re
import signal
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.inspection.plots import plot_history
from tinycnn.layers import Dense
from tinycnn.support.notices import notice
from tinycnn.training import Callback, History, StopOnInterrupt

TRAIN = """
import numpy as np
from tinycnn import Sequential
from tinycnn.layers import Dense
model = Sequential([Dense(3, activation="softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
x, y = np.ones((70, 4), np.float32), np.arange(70) % 3
model.fit(x, y, epochs=2, validation_split=0.1, verbose={verbose})
"""


def tiny():
    model = Sequential([Dense(3, activation="softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model, np.ones((70, 4), np.float32), np.arange(70) % 3


class WriteOnly:
    """A stream as a logging program makes it."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Flushed(WriteOnly):
    def flush(self):
        pass


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
@pytest.mark.parametrize("stream", [None, WriteOnly, Flushed], ids=str)
def test_any_object_may_stand_in_for_stdout(monkeypatch, stream, verbose):
    """None, as in a program without a console; or one with `write` alone."""
    monkeypatch.setattr(sys, "stdout", stream and stream())
    monkeypatch.setattr(sys, "stderr", stream and stream())
    notice.__wrapped__("a line")
    model, x, y = tiny()
    model.fit(x, y, epochs=2, verbose=verbose)
    model.summary()
    if stream:
        assert "Epoch 2/2" in sys.stdout.text
        assert "dense" in sys.stdout.text
        assert sys.stderr.text == "tinycnn: a line\n"


def test_plain_lines_when_the_output_is_no_terminal(capsys):
    """One line for each epoch, without a single carriage return."""
    model, x, y = tiny()
    model.fit(x, y, epochs=2, validation_split=0.1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    figure = r"\d\.\d{4}"
    assert re.fullmatch(
        rf"Epoch 2/2  \d+\.\d s  \d+ images/s  loss {figure}  accuracy {figure}"
        rf"  val_loss {figure}  val_accuracy {figure}",
        lines[1],
    )


def test_images_per_second_are_those_of_this_epoch(monkeypatch, capsys):
    """In a second from beginning to end; of an epoch that goes on, what is left of it."""
    from tinycnn.training.progress import ProgressLines

    lines = ProgressLines()
    lines.params = {"epochs": 5, "samples": 70, "batch_size": 32}
    for batches, expected in ((((0, 32), (1, 64), (2, 70)), 70), (((1, 64), (2, 70)), 38)):
        clock = iter([10.0, *[11.0] * 4])
        monkeypatch.setattr("tinycnn.training.progress.time.perf_counter", lambda clock=clock: next(clock))
        lines.on_epoch_begin(0)
        for batch, samples in batches:
            lines.on_batch_end(batch, {"samples": samples})
        lines.on_epoch_end(0, {"loss": 1.0})
        assert f" {expected} images/s" in capsys.readouterr().out


def test_silence_on_request(capsys):
    """verbose=0 prints nothing anywhere."""
    model, x, y = tiny()
    model.fit(x, y, verbose=0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_a_bar_in_a_terminal():
    """With loss, accuracy, images/s and the time left."""
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))  # not on Windows
    ours, theirs = pty.openpty()
    rows, columns = 30, 140
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    code = TRAIN.format(verbose='"auto"')
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        shown = read_all(ours)
        assert process.stderr.read() == b""
    last = shown.replace("\n", "\r").split("\r")
    final = [line for line in last if line.startswith("Epoch 2/2: 100%")][-1]
    assert "63/63" in final
    assert re.search(r"images/s", final)
    assert re.search(r"\d\d:\d\d<\d\d:\d\d", final)
    for name in ("loss=", "accuracy=", "val_loss=", "val_accuracy="):
        assert name in final


def read_all(descriptor):
    """Return all that arrives at a pseudo-terminal until its other side closes."""
    shown = b""
    while True:
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # Linux reports the closed side as an input/output error
            piece = b""
        if not piece:
            os.close(descriptor)
            return shown.decode()
        shown += piece


def test_history_to_csv(tmp_path):
    """A heading and a line for each epoch, counted from 1."""
    history = History()
    history.record(0, {"loss": 0.5, "accuracy": 0.25})
    history.record(1, {"loss": 1 / 3, "accuracy": 1})
    history.to_csv(tmp_path / "h.csv")
    with open(tmp_path / "h.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["epoch", "loss", "accuracy"], ["1", "0.5", "0.25"], ["2", "0.333333", "1"]]
    History().to_csv(tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text(encoding="utf-8") == "epoch\n"


def test_plot_history(tmp_path):
    """A picture is written; the suffix decides the format; an empty history is refused."""
    history = History()
    for epoch in range(3):
        history.record(
            epoch, {"loss": 1 / (epoch + 1), "accuracy": 0.5, "val_loss": 0.7, "val_accuracy": 0.4}
        )
    plot_history(history, tmp_path / "h.png", "title")
    assert (tmp_path / "h.png").read_bytes()[:4] == b"\x89PNG"
    plot_history(history, tmp_path / "h.svg")
    assert "<svg" in (tmp_path / "h.svg").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="expected at least one epoch, received none"):
        plot_history(History(), tmp_path / "no.png")


def test_plots_name_the_cure_without_matplotlib(tmp_path, monkeypatch):
    """The extra to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    history = History()
    history.record(0, {"loss": 0.5})
    with pytest.raises(ImportError, match=r'pip install "tinycnn\[plot\]"'):
        plot_history(history, tmp_path / "h.png")


class Interrupt(Callback):
    """Presses Ctrl-C in the middle of a batch, once or twice."""

    def __init__(self, times):
        self.times = times

    def on_batch_end(self, batch, logs):
        if batch == 1:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def before():
    """Python's own handler of Ctrl-C, which a process that was started in the background has not."""
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, found)


def test_ctrl_c_stops_after_the_batch(before):
    """The step is whole, and SIGINT is given back."""
    model, x, y = tiny()
    stop = StopOnInterrupt()
    model.fit(x, y, batch_size=7, epochs=3, callbacks=[stop, Interrupt(1)], verbose=0)
    assert stop.interrupted
    assert (model.steps_trained, model.optimizer.iterations, model.epochs_trained) == (2, 2, 0)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_raises(before):
    """For someone who cannot wait."""
    model, x, y = tiny()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=7, callbacks=[StopOnInterrupt(), Interrupt(2)], verbose=0)
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_taken_over():
    """Where Python would refuse to set a signal handler."""
    model, x, y = tiny()
    stop = StopOnInterrupt()
    thread = threading.Thread(target=lambda: model.fit(x, y, callbacks=[stop], verbose=0))
    thread.start()
    thread.join()
    assert model.epochs_trained == 1
    assert not stop.interrupted


def test_train_end_is_told_after_an_error():
    """So that a bar is closed and signals are given back."""

    class Fails(Callback):
        ended = False

        def on_batch_end(self, batch, logs):
            raise RuntimeError("from a callback")

        def on_train_end(self):
            self.ended = True

    model, x, y = tiny()
    fails = Fails()
    with pytest.raises(RuntimeError, match="from a callback"):
        model.fit(x, y, callbacks=[fails], verbose=0)
    assert fails.ended
