"""Ctrl-C and SIGTERM, once and twice, at any place of a run; and disks that refuse, for real.

tests/training/forked_runs.py runs the cases in processes of their own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.networks import assert_same_weights as same
from tinycnn import load_model
from tinycnn.training import Callback, StopOnInterrupt, checkpoint
from tinycnn.training.checkpoint_files import NAME, PREVIOUS

pytestmark = [pytest.mark.smoke, pytest.mark.skipif(os.name != "posix", reason="fork and signals of POSIX")]

if os.name == "posix":
    from tests.training.forked_runs import FAILED, INTERRUPTED, STEP, Events, train

INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.fixture(scope="module")
def program():
    """Return a function that runs a case and returns its exit code and what it printed."""
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "TINYCNN_ALGORITHM": "im2col"}
    command = [sys.executable, "-u", "-c", "from tests.training.forked_runs import main; main()"]
    with subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def run(folder, **case):
            errors = folder.with_suffix(".errors")
            errors.touch()
            process.stdin.write(json.dumps({"folder": str(folder), "errors": str(errors), **case}) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline()), errors.read_text(encoding="utf-8")

        yield run
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a model that nothing disturbed."""
    return train(tmp_path_factory.mktemp("whole"))


CASES = {  # where, signals, exit code, steps of the checkpoint that is left
    "in a step": ("step", [INT], "interrupted", STEP),
    "in a callback": ("callback", [INT], "interrupted", STEP - 1),
    "in validation": ("validation", [INT], "interrupted", 10),
    "SIGTERM in a step": ("step", [TERM], -TERM, STEP),
    "SIGTERM in validation": ("validation", [TERM], -TERM, 10),
    "twice in a step": ("step", [INT, INT], "interrupted", 5),
    "twice in a callback": ("callback", [INT, INT], "interrupted", 5),
    "twice in validation": ("validation", [INT, INT], "interrupted", 5),
    "SIGTERM twice": ("step", [TERM, TERM], -TERM, 5),
    "SIGTERM after Ctrl-C": ("callback", [INT, TERM], -TERM, 5),
    "Ctrl-C after SIGTERM": ("callback", [TERM, INT], "interrupted", 5),
    "the second in the write": ("callback write", [INT, INT], "interrupted", 5),
    "the second between the renames": ("callback renames", [INT, INT], "interrupted", STEP - 1),
    "SIGTERM, then in the write": ("callback write", [TERM, TERM], -TERM, 5),
    "SIGTERM, then between the renames": ("callback renames", [TERM, TERM], -TERM, STEP - 1),
}


@pytest.mark.parametrize(("where", "signals", "code", "steps"), CASES.values(), ids=CASES)
def test_signals(program, whole, tmp_path, where, signals, code, steps):
    """The first: the step ends, a checkpoint, a message. The second: at once. Resumed: the same bits."""
    folder = tmp_path / "run"
    where, *then = where.split()
    case = {"where": where, **({"then": then[0]} if then else {})}
    received, errors = program(folder, signals=signals, **case)
    assert received == (INTERRUPTED if code == "interrupted" else code), errors
    said = f"{folder}: stopped after step {steps}; the same call of fit resumes it"
    assert (said in errors) == (len(signals) == 1)
    # of a second SIGTERM the system ends the process, so nothing has put the files in order
    names = {NAME, PREVIOUS, "checkpoint.lock", "checkpoint.new.npz"}
    assert {path.name for path in folder.iterdir() if path.suffix != ".tmp"} <= names
    if code == "interrupted":
        assert not list(folder.glob(".*"))
        assert not (folder / "checkpoint.lock").exists()
    newest = folder / "checkpoint.new.npz"
    left = load_model(newest if newest.exists() else folder / NAME)
    assert left.steps_trained == left.optimizer.iterations == steps
    same(train(folder), whole)
    assert sorted(path.name for path in folder.iterdir()) == [NAME, PREVIOUS]


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("number", [INT, TERM])
def test_with_stop_on_interrupt(program, whole, tmp_path, own, number):
    """`fit` returns, where the callback is the user's."""
    code, errors = program(tmp_path / "run", signals=[number], where="step", own=own)
    assert code == (0 if own else INTERRUPTED if number == INT else -TERM)
    assert (f"ended after {STEP} steps" in errors) == own
    assert load_model(tmp_path / "run" / NAME).steps_trained == STEP


def test_a_handler_of_ones_own(tmp_path, whole):
    """It is called once, after the checkpoint was written, and is there again; so is "ignore"."""
    calls = []

    def handler(number, frame):
        calls.append((number, load_model(tmp_path / "run" / NAME).steps_trained))

    before = signal.getsignal(INT), signal.getsignal(TERM)
    try:
        signal.signal(INT, handler)
        signal.signal(TERM, signal.SIG_IGN)
        model = train(tmp_path / "run", Events({"signals": [TERM, INT], "where": "step"}))
        assert signal.getsignal(INT) is handler
        assert signal.getsignal(TERM) is signal.SIG_IGN
        assert calls == [(INT, STEP)]
        assert model.steps_trained == STEP
        same(train(tmp_path / "run"), whole)
        with pytest.raises(ZeroDivisionError):
            train(tmp_path / "other", Broken())
        assert signal.getsignal(INT) is handler
    finally:
        signal.signal(INT, before[0])
        signal.signal(TERM, before[1])


class Broken(Events):
    """Fails in a step."""

    def on_batch_end(self, batch, logs):
        raise ZeroDivisionError


def test_a_handler_that_a_callback_installs(tmp_path):
    """It is not taken away when the run ends."""
    before = signal.getsignal(INT)

    class Install(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            signal.signal(INT, other)

    def other(number, frame):
        raise AssertionError

    try:
        train(tmp_path / "run", Events(), Install())
        assert signal.getsignal(INT) is other
    finally:
        signal.signal(INT, before)


def test_in_a_thread(tmp_path, whole):
    """Handlers belong to the main thread: a run in another leaves them, and goes on."""
    before, models, stop = (signal.getsignal(INT), signal.getsignal(TERM)), [], StopOnInterrupt()
    thread = threading.Thread(target=lambda: models.append(train(tmp_path / "run", None, stop)))
    thread.start()
    assert (signal.getsignal(INT), signal.getsignal(TERM)) == before
    thread.join()
    same(models[0], whole)
    assert stop.signal is None


def test_a_limit_of_the_size_of_files(program, whole, tmp_path):
    """The system refuses in the middle of a write: no half file is left, and the run goes on."""
    case = {"do": ["limit"], "bytes": 5000, "seconds": 0}
    code, errors = program(tmp_path / "run", **case, undo=["unlimit"])
    assert code == 0, errors
    assert f"step {STEP} could not be saved: File too large; the last one is of step {STEP - 1}" in errors
    assert errors.count("UserWarning") == 1
    same(load_model(tmp_path / "run" / NAME), whole)
    code, errors = program(tmp_path / "other", **case)
    assert code == FAILED
    assert f"NotSavedError: {tmp_path / 'other'}: the last checkpoint is of step {STEP - 1}" in errors
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [NAME, PREVIOUS]
    same(train(tmp_path / "other"), whole)


@pytest.mark.parametrize(
    ("do", "undo", "reason"),
    [("fill", "empty", "No space left on device"), ("read-only", "writable", "Read-only file system")],
)
def test_a_full_disk_and_a_read_only_one(program, tmp_path, do, undo, reason):
    """A real file system of 128 kB, where this process may mount one."""
    (tmp_path / "disk").mkdir()
    shutil.copytree(tmp_path / "disk", tmp_path / "disk2")
    code, errors = program(tmp_path / "disk" / "run", mount=True, do=[do], undo=[undo], seconds=0)
    if code == FAILED and ("mount" in errors or "unshare" in errors):
        pytest.skip("no rights to mount a file system")
    assert code == 0, errors
    assert f"step {STEP} could not be saved: " in errors
    assert reason in errors
    assert errors.count("UserWarning") == 1
    assert str([NAME, PREVIOUS]) in errors
    code, errors = program(tmp_path / "disk2" / "run", mount=True, do=[do], seconds=0)
    assert code == FAILED
    assert f"the last checkpoint is of step {STEP - 1}" in errors


@pytest.mark.slow
def test_permissions_that_are_lost(program, whole):
    """Of a user who is not root."""
    root = Path(tempfile.mkdtemp(dir="/tmp" if os.geteuid() == 0 else None))  # where any user may be
    try:
        root.chmod(0o711)
        uid = {"uid": 65534} if os.geteuid() == 0 else {}
        for name, undo in (("run", ["allow"]), ("other", [])):
            code, errors = program(root / name, do=["forbid"], undo=undo, seconds=0, **uid)
            assert f"step {STEP} could not be saved: Permission denied" in errors
            assert errors.count("UserWarning") == 1
            assert code == (0 if undo else FAILED), errors
        (root / "other").chmod(0o700)
        assert load_model(root / "other" / NAME).steps_trained == STEP - 1
        same(train(root / "other"), whole)
        np.testing.assert_array_equal(load_model(root / "run" / NAME).parameters, whole.parameters)
    finally:
        shutil.rmtree(root)


ALONE = """
import sys, time
from tests.networks import dense_only, dense_only_data
from tinycnn.training import LambdaCallback
slow = LambdaCallback(on_batch_end=lambda batch, logs: time.sleep(0.02))
x, y = dense_only_data()
begun = LambdaCallback(on_epoch_begin=lambda epoch, logs: print(epoch, flush=True))
dense_only().fit(x, y, batch_size=11, epochs=9999, checkpoint=sys.argv[1], callbacks=[slow, begun], verbose=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [INT, TERM])
@pytest.mark.parametrize("times", [1, 2])
def test_a_program(tmp_path, number, times):
    """As a shell and a job scheduler send it: Python ends by the signal, with or without a traceback."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", ALONE, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as process:
        for _ in range(2):
            process.stdout.readline()
        for _ in range(times):
            process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == -number
    assert ("the same call of fit resumes it" in errors) or times == 2
    assert load_model(tmp_path / NAME).steps_trained >= 5
    lock = checkpoint.Checkpoint(tmp_path, {}).files.lock
    lock.acquire()
    lock.release()
