"""`python -m tinycnn.teach`: files of students that end, hang, print or damage their process."""

import json
import subprocess
import sys

import pytest

from tests.teach.solutions import solution_file
from tinycnn.teach import EXERCISES, child, grade, grade_file
from tinycnn.teach.__main__ import main

pytestmark = pytest.mark.smoke

ADAM = "def adam_step(p, g, m, v, t, rate, beta_1, beta_2, epsilon):\n    {body}\n"


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a student's file."""

    def write(text, name="solution.py"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_right_file(write, capsys):
    path = write(solution_file())
    assert main(["grade", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.count(": right, ") == 7
    assert out.endswith("score: 70 of 70\n")


def test_json_has_the_fields_of_gradescope(write, capsys):
    """What the student prints is not in it: at once, by the file's number, or in another process."""
    noise = (
        "import os, subprocess, sys\nprint('noise')\nos.write(1, b'more\\n')\n"
        "subprocess.run([sys.executable, '-c', 'print(1)'])\n"
    )
    flipped = ADAM.format(body="print('{'); return p - rate * g, m, v")
    path = write(noise + flipped)
    assert main(["grade", str(path), "--json"]) == 1
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert err == ""
    assert set(report) == {"score", "output", "tests", "extra_data"}
    assert [test["name"] for test in report["tests"]] == list(EXERCISES)
    adam = report["tests"][-1]
    assert {"name", "score", "max_score", "status", "output", "extra_data"} == set(adam)
    assert (adam["score"], adam["max_score"], adam["status"]) == (0, 10, "failed")
    assert adam["extra_data"]["state"] == "wrong"
    first = adam["extra_data"]["checks"][0]
    assert first["case"] == "the first step"
    assert first["difference"]["kind"] == "value"
    assert first["difference"]["index"] == [0]
    assert "p[0]: expected" in adam["output"]
    assert report["tests"][0]["extra_data"]["state"] == "not written yet"
    assert report["score"] == 0


@pytest.mark.slow
def test_json_in_a_file(write, tmp_path, capsys):
    path = write(solution_file())
    assert main(["grade", str(path), "--exercise", "dropout", "--json", str(tmp_path / "results.json")]) == 0
    assert "dropout: right" in capsys.readouterr().out
    report = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert report["score"] == 10
    assert report["extra_data"]["passed"] is True
    assert len(report["tests"]) == 1


@pytest.mark.slow
def test_a_hint_reaches_the_json(write, capsys):
    path = write(solution_file().replace("m / (1 - beta_1**t)", "m").replace("v / (1 - beta_2**t)", "v"))
    assert main(["grade", str(path), "--exercise", "adam_step", "--json"]) == 1
    (test,) = json.loads(capsys.readouterr().out)["tests"]
    (hint,) = test["extra_data"]["hints"]
    assert (hint["mistake"], hint["explains"]) == ("bias correction forgotten", ["p"])


LOADING = [
    ("def f(:\n", "SyntaxError: "),
    ("x = 1\n  y = 2\n", "IndentationError: unexpected indent (line 2)"),
    ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
    ("1 / 0\n", "ZeroDivisionError: division by zero"),
    ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
    ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    (b"\x00\xff", "Error: "),
]


@pytest.mark.parametrize(("text", "message"), LOADING, ids=[repr(text) for text, _ in LOADING])
def test_what_is_wrong_with_a_file(write, monkeypatch, text, message):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "solution", None)
    _, problem = child.load(write(text))
    assert message in problem


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "SyntaxError: "),
        ("import os\nos._exit(0)\n", "the process ended: exit status 0"),
        ("while True:\n    pass\n", "stopped after 1 s"),
    ],
)
def test_a_file_that_cannot_be_loaded(write, capsys, text, message):
    """Is a result, with status 1, and JSON."""
    path = write(text)
    assert main(["grade", str(path), "--seconds", "1", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["output"].startswith(f"solution.py could not be loaded: {message}")
    assert report["score"] == 0
    assert all(message in test["output"] for test in report["tests"])


@pytest.mark.slow
def test_calls_that_do_not_return(write):
    """Each costs its own exercise; the others are graded."""
    bodies = {
        "conv2d_forward": "while True: print('noise')",
        "conv2d_backward": "import os; os._exit(5)",
        "maxpool_backward": "raise KeyboardInterrupt",
        "softmax_cross_entropy": "import os; os.close(1); os.close(2); return [3]",
    }
    text = solution_file()
    for name, body in bodies.items():
        text += f"\n\ndef {EXERCISES[name].signature}:\n    {body}\n"
    report = grade_file(write(text), seconds=2)
    assert [result.state for result in report.results] == ["wrong"] * 4 + ["right"] * 3
    problems = [result.problem for result in report.results[:3]]
    assert problems[0] == "stopped after 2 s: is there a loop that does not end?"
    assert problems[1] == "the process ended: exit status 5"
    assert problems[2].startswith("the process ended: ")
    assert "received a list of 1" in str(report.results[3])
    assert report.score == 30


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SystemExit("done"), "raised SystemExit: done (line "),
        (IndexError("index 99"), "raised IndexError: index 99 (line "),
        (RecursionError(), "raised RecursionError (line "),
        (ValueError("two\nlines"), "raised ValueError: two lines (line "),
    ],
)
def test_exceptions_are_results(error, message):
    """With the line of the student's code."""

    def dropout(x, dy, rate, rng, training):
        raise error

    first = grade(dropout).results[0].checks[0].difference
    assert first.kind == "error"
    assert first.message.startswith(message)
    assert first.message.endswith(": raise error)")


@pytest.mark.slow
def test_what_is_missing_is_not_written_yet(write):
    report = grade_file(write("adam_step = 3\n"))
    assert [result.state for result in report.results] == ["not written yet"] * 6 + ["wrong"]
    assert report.score == 0


def test_a_file_cannot_grade_itself(write):
    """It replaces what the child process has of the grader, and writes into its channel."""
    path = write(
        "import os, numpy as np\n"
        "from tinycnn.teach import calling, comparing, exercises, grader\n"
        "comparing.difference = grader.difference = lambda *a: None\n"
        "np.array_equal = np.isclose = lambda *a, **k: True\n"
        "for number in range(3, 12):\n"
        "    try:\n"
        "        os.write(number, b'[]\\n')\n"
        "    except OSError:\n"
        "        pass\n" + ADAM.format(body="return p, m, v")
    )
    report = grade_file(path, ["adam_step"])
    assert not report.passed
    assert report.score == 0


@pytest.mark.slow
def test_a_file_may_import_its_neighbours(write):
    write("FACTOR = 1.0\n", "helpers.py")
    path = write("from helpers import FACTOR\n" + solution_file())
    assert grade_file(path, ["dropout", "dropout"]).score == 10


@pytest.mark.slow
def test_start_writes_a_file_that_is_not_written_yet(tmp_path, capsys):
    path = tmp_path / "solution.py"
    assert main(["start", str(path)]) == 0
    assert main(["grade", str(path)]) == 1
    assert capsys.readouterr().out.count("not written yet") == 7
    path.write_text("mine", encoding="utf-8")
    assert main(["start", str(path)]) == 2
    assert "exists; --force overwrites it" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"
    assert main(["start", str(path), "--force"]) == 0
    assert path.read_text(encoding="utf-8").count("raise NotImplementedError\n") == 7


def test_list_and_show(capsys):
    assert main(["list"]) == 0
    assert [line.partition("(")[0] for line in capsys.readouterr().out.splitlines()] == list(EXERCISES)
    assert main(["show", "conv2d_forward"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("def conv2d_forward(x, w, b, strides, padding):\n")
    assert "  one image, one channel, one filter\n" in out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["grade"],
        ["grade", "missing.py"],
        ["grade", "."],
        ["grade", "solution.py", "--exercise", "conv3d"],
        ["grade", "solution.py", "--seconds", "0"],
        ["grade", "solution.py", "--json", "solution.py"],
        ["grade", "--json", "solution.py"],
        ["grade", "solution.py", "--json", "no/such/folder.json"],
        ["show", "conv3d"],
        ["start", "no/such/folder.py"],
    ],
)
def test_wrong_usage(write, monkeypatch, capsys, tmp_path, arguments):
    """Ends with status 2, says why in a line, and leaves the student's file alone."""
    path = write("x = 1\n")
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert "error: " in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "x = 1\n"


@pytest.mark.slow
def test_the_module_as_a_program_compiles_nothing(write):
    """No Numba in the process; and the exit status is that of `main`."""
    code = "import sys, tinycnn.teach.__main__; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    done = subprocess.run(
        [sys.executable, "-m", "tinycnn.teach", "grade", str(write("1 / 0\n"))],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
