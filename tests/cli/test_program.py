"""The frame of all commands: help, statuses, errors in one line, and streams that refuse."""

import configparser
import io
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import tinycnn
from tinycnn.cli import output, program

pytestmark = pytest.mark.smoke

ANY_STATUS = (program.FINE, program.FAILED, program.WRONG_USAGE, program.INTERRUPTED)


@pytest.fixture
def replaced(monkeypatch):
    """Return a function that puts another function in the place of `tinycnn summary`."""

    def replace(run):
        command = program.COMMANDS["summary"]._replace(run=run)
        monkeypatch.setitem(program.COMMANDS, "summary", command)

    return replace


def raising(error):
    def run(options):
        """Raise."""
        raise error

    return run


def test_help_names_every_command_and_every_status(call):
    done = call("--help")
    assert (done.status, done.err) == (0, "")
    for name in program.COMMANDS:
        assert re.search(rf"^ +{name} ", done.out, re.MULTILINE)
    for status in ANY_STATUS:
        assert re.search(rf"^ +{status} ", done.out, re.MULTILINE)


@pytest.mark.parametrize("command", program.COMMANDS)
def test_each_command_has_its_help(call, command):
    done = call(command, "--help")
    assert (done.status, done.err) == (0, "")
    assert ("--json" in done.out) == (command not in ("train", "serve"))
    assert "--traceback" in done.out


def test_version(call):
    assert call("--version") == (0, f"tinycnn {tinycnn.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["train", "--recipe", "slow"], "invalid choice: 'slow'"),
        (["train", "--out", "model.txt"], "--out: expected a file name ending in .h5"),
        (["train", "--json"], "unrecognized arguments: --json"),
        (["predict"], "required: IMAGE"),
        (["predict", "a.png", "--top", "0"], "--top: expected a whole number >= 1, received 0"),
        (["predict", "a.png", "b.png", "--steps", "s.png"], "--steps: expected one picture, received 2"),
        (["predict", "a.png", "--several", "--steps", "s.png"], "--steps: expected a picture of one digit"),
        (["predict", "a.png", "--steps", "no/s.png"], "--steps: the folder does not exist"),
        (["evaluate", "--views", "-1"], "--views: expected a whole number >= 0, received -1"),
        (["evaluate", "--out", "nowhere"], "--out: the folder does not exist: nowhere"),
        (["explain", "--batch-size", "0"], "--batch-size: expected a whole number >= 1, received 0"),
        (["bench", "--seconds", "0"], "--seconds: expected a number above 0, at most 15, received 0.0"),
        (["bench", "--seconds", "nan"], "--seconds: expected a number above 0"),
        (["bench", "--batch-size", "0"], "--batch-size: expected 1 to 10000 images, received 0"),
        (["inspect"], "required: FILE"),
        (["summary", "a.h5", "b.h5"], "unrecognized arguments: b.h5"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(call, arguments, message):
    done = call(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("tinycnn: error: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert "--help shows the options" in done.err


def test_a_missing_library_of_the_output_is_named_before_the_run(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    done = call("train", "--out", "model.safetensors")
    assert (done.status, done.out) == (2, "")
    assert '--out: this format needs safetensors: pip install "tinycnn[safetensors]"' in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summary", "no.h5"], "no.h5: No such file or directory"),
        (["inspect", "no.h5"], "no.h5: No such file or directory"),
        (["explain", "no.npz"], "no.npz: No such file or directory"),
        (["evaluate", "no.h5"], "no.h5: No such file or directory"),
        (["predict", "a.png", "--model", "no.h5"], "no.h5: No such file or directory"),
        (["evaluate", "--data", "nowhere"], "nowhere: expected a file named train-images-idx3-ubyte"),
        (["train", "--data", "nowhere"], "nowhere: expected a file named train-images-idx3-ubyte"),
        (["inspect", "."], ".: expected a model file or a folder with checkpoint.npz"),
        (["summary", "model.txt"], "model.txt: No such file or directory"),
        (["summary", __file__], "expected a file name ending in .h5"),
    ],
)
def test_what_fails_is_one_line_and_status_1(call, arguments, message):
    done = call(*arguments)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("tinycnn: error: ")
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("x: expected 1,\n  received 2"), "x: expected 1,; received 2"),
        (FileNotFoundError(2, "No such file", "a\x1b[31m.h5"), r"a\x1b[31m.h5: No such file"),
        (ImportError("install it"), "install it"),
        (MemoryError(), "not enough memory"),
        (KeyError("name"), "unexpected KeyError: 'name'; --traceback shows where it came from"),
        (ValueError(), "unexpected ValueError: ; --traceback shows where it came from"),
    ],
)
def test_an_exception_becomes_a_line(call, replaced, error, sentence):
    replaced(raising(error))
    assert call("summary") == (1, "", f"tinycnn: error: {sentence}\n")


@pytest.mark.parametrize("arguments", [("--traceback", "summary"), ("summary", "--traceback")])
def test_developers_see_where_an_error_came_from(call, replaced, arguments):
    replaced(raising(ValueError("here")))
    done = call(*arguments)
    assert done.status == 1
    assert done.err.startswith("Traceback")
    assert done.err.endswith("tinycnn: error: here\n")


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_the_environment_asks_for_tracebacks_too(call, replaced, monkeypatch, value, shown):
    monkeypatch.setenv("TINYCNN_DEBUG", value)
    replaced(raising(ValueError("here")))
    assert ("Traceback" in call("summary").err) == shown


def test_ctrl_c_is_status_130(call, replaced):
    replaced(raising(KeyboardInterrupt()))
    assert call("summary") == (130, "", "tinycnn: interrupted\n")


def test_a_warning_is_a_line_on_stderr(call, replaced):
    def run(options):
        """Warn."""
        warnings.warn("the optimizer is ignored", stacklevel=1)
        return 0

    replaced(run)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert call("summary") == (0, "", "tinycnn: warning: the optimizer is ignored\n")


def test_it_leaves_the_streams_as_they_were(call, replaced):
    before = sys.stdout.errors, warnings.showwarning
    replaced(lambda options: 0)
    assert call("summary").status == 0
    assert (sys.stdout.errors, warnings.showwarning) == before


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_text_that_the_stream_cannot_encode_is_escaped(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\n"))
    with output.prepared_streams():
        output.say("\u6570\u5b57 \udcff \x1b]0;title\x07")
        output.flush()
    expected = {"utf-8": "\u6570\u5b57".encode()}.get(encoding, rb"\u6570\u5b57")
    assert raw.getvalue() == expected + rb" \udcff \x1b]0;title\x07" + b"\n"


def test_without_stdout(call, monkeypatch):
    """As under pythonw, or in a shell with `>&-`."""
    monkeypatch.setattr(sys, "stdout", None)
    assert program.main(["summary"]) == 0
    monkeypatch.setattr(sys, "stderr", None)
    assert program.main(["summary", "no.h5"]) == 1


def run_program(*arguments, **settings):
    """Run `python -m tinycnn` in another process."""
    command = [sys.executable, "-m", "tinycnn", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **settings)


def test_the_module_is_the_command(tmp_path):
    done = run_program("summary", "no.h5", cwd=tmp_path, stdout=subprocess.PIPE)
    error = "tinycnn: error: no.h5: No such file or directory\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", error)


def test_the_installed_script_is_the_command():
    """What setup.cfg names."""
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    scripts = settings["options.entry_points"]["console_scripts"]
    assert scripts.strip() == "tinycnn = tinycnn.cli:main"
    from tinycnn import cli

    assert cli.main is program.main


@pytest.mark.skipif(os.name != "posix", reason="pipes and signals of POSIX")
def test_a_reader_that_has_seen_enough():
    """`tinycnn summary | head -0`: no word of it."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = run_program("summary", stdout=closed)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk():
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = run_program("summary", stdout=full)
    assert (done.returncode, done.stderr) == (1, "tinycnn: error: No space left on device\n")


def test_an_ascii_terminal():
    """LC_ALL=C, as in slim containers: every command's help can be printed."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"}
    done = run_program("summary", "\u6570.h5", stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stderr) == (
        1,
        "tinycnn: error: \\u6570.h5: No such file or directory\n",
    )
