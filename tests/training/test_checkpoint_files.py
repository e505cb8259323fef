"""The files of a checkpoint folder: whatever cuts a save short, the old state or the new one is read."""

import errno
import os
import shutil
import time

import pytest

from tests.networks import assert_same_weights as same
from tests.networks import dense_only as network
from tests.networks import dense_only_data as data
from tinycnn.saving import npz
from tinycnn.support import files, folder_lock
from tinycnn.training import Callback, LambdaCallback, checkpoint, checkpoint_files
from tinycnn.training.checkpoint_files import DAMAGED, NAME, NEW, NEWEST_FIRST, PREVIOUS, CheckpointFiles

pytestmark = pytest.mark.smoke

X, Y = data()


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    """Checkpoints after each step, not each minute."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)


def run(folder, *callbacks, epochs=3):
    """Train for 15 steps, of which an epoch has 5."""
    model = network()
    model.fit(X, Y, batch_size=11, epochs=epochs, verbose=0, callbacks=callbacks, checkpoint=folder)
    return model


@pytest.fixture(scope="module")
def whole():
    """Return a model that nothing disturbed."""
    model = network()
    model.fit(X, Y, batch_size=11, epochs=3, verbose=0)
    return model


class At(Callback):
    """Calls a function after a step."""

    def __init__(self, step, function):
        self.step, self.function = step, function

    def get_config(self):
        return {}

    def on_batch_end(self, batch, logs):
        if self.model.steps_trained == self.step:
            self.function()


class Killed(BaseException):
    """Ends everything, as SIGKILL does."""


def kill():
    raise Killed


NOTHING = At(-1, kill)


def written(folder, number):
    """Write a small file that can be checked, as a checkpoint."""

    def write(path):
        with files.atomic_path(path) as temporary:
            temporary.write_text(f"<{number}>")

    CheckpointFiles(folder).write(write)


def read(path):
    text = path.read_text(encoding="utf-8")
    if not (text[:1] == "<" and text[-1:] == ">"):
        raise ValueError(f"expected brackets, received {text!r}")
    return int(text[1:-1])


def newest(folder):
    return CheckpointFiles(folder).read(read)


class CutShort:
    """A rename that copies and deletes, and dies after some of these operations."""

    def __init__(self, operations):
        self.left = operations

    def operation(self):
        if self.left == 0:
            raise Killed
        self.left -= 1

    def replace(self, source, target):
        content = source.read_bytes()
        for size in range(len(content) + 1):  # the first of them makes the old content vanish
            self.operation()
            target.write_bytes(content[:size])
        self.operation()
        source.unlink()


@pytest.mark.parametrize("before", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3))])
def test_a_rename_that_is_a_copy(tmp_path, monkeypatch, before):
    """Killed between any two bytes, and again: the old state or the new one, and the next save works."""
    for operations in range(30):
        folder = tmp_path / str(operations)
        folder.mkdir()
        for number in range(before):
            written(folder, 10 + number)
        dying = CutShort(operations)
        with monkeypatch.context() as patch:
            for module in (files, checkpoint_files):
                patch.setattr(module, "replace", dying.replace)
            try:
                written(folder, 99)
            except Killed:
                expected = {99, 9 + before} if before else {99, None}
            else:
                expected = {99}
        if before or (folder / NAME).exists() or not (folder / NEW).exists():
            assert newest(folder) in expected
            assert newest(folder) in expected  # after it put the files in order
            with monkeypatch.context() as patch:
                for module in (files, checkpoint_files):
                    patch.setattr(module, "replace", CutShort(operations % 7).replace)
                with pytest.raises(Killed):
                    written(folder, 100)
            assert newest(folder) in (expected | {100}) - ({None} if before else set())
        written(folder, 101)
        assert newest(folder) == 101
    assert dying.left > 0  # the last one was not killed


def test_the_order_of_reading(tmp_path, capsys):
    """Every combination of files that are there, damaged, and missing."""
    states = ("whole", "damaged", "missing")
    for number, combination in enumerate((a, b, c) for a in states for b in states for c in states):
        folder = tmp_path / str(number)
        folder.mkdir()
        for value, (name, state) in enumerate(zip(NEWEST_FIRST, combination, strict=True)):
            if state != "missing":
                (folder / name).write_text(f"<{value}>" if state == "whole" else "damaged")
        before = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
        if "whole" in combination:
            first = combination.index("whole")
            assert newest(folder) == first
            text = capsys.readouterr().err
            assert ("resuming from the previous one" in text) == ("damaged" in combination[:first])
            contents = [path.read_text(encoding="utf-8") for path in folder.iterdir()]
            assert f"<{first}>" in contents
            assert contents.count("damaged") == combination[: max(first, 2)].count("damaged") + (
                combination[2] == "damaged" and first < 2 and not rotated(combination)
            )
            assert not (folder / NEW).exists()
            written(folder, 7)
            assert newest(folder) == 7
            assert read(folder / PREVIOUS) == first
        elif "damaged" in combination:
            with pytest.raises(ValueError, match=f"{number}: cannot be loaded: .* Nothing in it was changed"):
                newest(folder)
            assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == before
        else:
            assert newest(folder) is None


def rotated(combination):
    """Return whether two whole files came before the damaged one, whose name the second took."""
    return combination[:2] == ("whole", "whole")


def test_what_cannot_be_read_today_is_kept(tmp_path, monkeypatch, capsys):
    """A failing cable is no damage to the file."""
    written(tmp_path, 1)
    written(tmp_path, 2)

    def failing(path):
        if path.name == NAME:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    assert CheckpointFiles(tmp_path).read(failing) == 1
    assert "checkpoint.npz: [Errno 5] Input/output error; resuming" in capsys.readouterr().err
    written(tmp_path, 3)
    assert read(tmp_path / (NAME + DAMAGED)) == 2


def test_rot_in_the_newest_checkpoint_and_in_both(tmp_path, whole, capsys):
    """One bit anywhere: the one before is used, with a message. Both: refused, and nothing is lost."""
    with pytest.raises(Killed):
        run(tmp_path / "run", At(8, kill))
    content = (tmp_path / "run" / NAME).read_bytes()
    for at in (0, len(content) // 2, len(content) - 70, len(content) - 1):
        folder = tmp_path / str(at)
        shutil.copytree(tmp_path / "run", folder)
        rot(folder / NAME, at)
        same(run(folder, NOTHING), whole)
        assert f"{at}/{NAME}: " in capsys.readouterr().err.replace("\\", "/")
        assert (folder / (NAME + DAMAGED)).stat().st_size == len(content)
    for name in (NAME, PREVIOUS):
        rot(tmp_path / "run" / name, 3000)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match=r"checkpoint.npz: expected the SHA-256 .*checkpoint.previous.npz: "):
        run(tmp_path / "run", NOTHING)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def rot(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 16]))


def refused(number):
    """Return a function that the system refuses."""

    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return refuse


FAULTS = {
    "disk full": (npz.np.lib.format, "write_array", errno.ENOSPC),
    "read-only": (files.os, "open", errno.EROFS),
    "permission lost": (files.os, "open", errno.EACCES),
    "failing disk": (files.os, "fsync", errno.EIO),
    "rename refused": (checkpoint_files, "replace", errno.EPERM),
    "first rename refused": (files, "replace", errno.EXDEV),
}


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [
        pytest.param(
            *fault, id=name, marks=[] if name in ("disk full", "rename refused") else pytest.mark.slow
        )
        for name, fault in FAULTS.items()
    ],
)
def test_a_save_that_fails(tmp_path, monkeypatch, whole, module, name, number):
    """In the middle: one warning, and the run goes on. At the end: an error. At first: at once."""
    intact, broken = getattr(module, name), refused(number)

    def off():
        monkeypatch.setattr(module, name, broken)

    def on():
        monkeypatch.setattr(module, name, intact)

    reason = os.strerror(number)
    with pytest.warns(UserWarning, match=f"step 7 could not be saved: {reason}; .* step 6") as warned:
        same(run(tmp_path / "middle", At(6, lambda: None), At(7, off), At(12, on)), whole)
    assert len(warned) == 1
    assert sorted(path.name for path in (tmp_path / "middle").iterdir()) == [NAME, PREVIOUS]

    ended = At(14, off)
    with pytest.warns(UserWarning, match="step 14 could not"), pytest.raises(OSError, match=reason) as caught:
        run(tmp_path / "end", ended)
    on()
    assert "the last checkpoint is of step 13" in str(caught.value)
    same(ended.model, whole)  # nothing of the run is lost to the caller
    assert not list((tmp_path / "end").glob(".*"))
    same(run(tmp_path / "end", NOTHING), whole)

    off()
    with pytest.raises(OSError, match=reason):
        run(tmp_path / "first")
    on()
    assert {path.name for path in (tmp_path / "first").iterdir()} <= {NEW}
    same(run(tmp_path / "first"), whole)


def test_a_folder_that_is_deleted(tmp_path, whole):
    """The run goes on; when the folder is there again, so are checkpoints."""

    def deleted():
        shutil.rmtree(tmp_path / "run")

    with pytest.warns(
        UserWarning, match="step 7 could not be saved: the folder to write into does not exist"
    ):
        same(run(tmp_path / "run", At(7, deleted), At(11, (tmp_path / "run").mkdir)), whole)
    assert (tmp_path / "run" / NAME).exists()


def test_a_file_system_that_cannot_flush(tmp_path, monkeypatch):
    """That is no error of the data."""
    for number in files.NO_FSYNC:
        monkeypatch.setattr(files.os, "fsync", refused(number))
        run(tmp_path / str(number), epochs=1)
        assert (tmp_path / str(number) / NAME).exists()


def test_a_crash_between_the_renames(tmp_path, monkeypatch, whole):
    """Of each of the saves of a run, before the first and the second rename."""
    replace = files.replace
    for renames in (0, 1, 2, 10, 11):
        left = [renames]

        def dying(source, target, left=left):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            replace(source, target)

        folder = tmp_path / str(renames)
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint_files, "replace", dying)
            with pytest.raises(Killed):
                run(folder)
        assert (folder / NEW).exists()
        model = run(folder, epochs=0)
        assert model.steps_trained == min((renames + 1) // 2, 5)  # that of the file which had no name yet
        same(run(folder), whole)


def test_a_clock_that_goes_back(tmp_path, monkeypatch, whole):
    """Neither the time of day nor that of files is asked."""
    now = [4e9]

    def back():
        now[0] -= 1e8
        for path in (tmp_path / "run").iterdir():
            os.utime(path, (now[0], now[0]))
        return now[0]

    monkeypatch.setattr(time, "time", back)
    with pytest.raises(Killed):
        run(tmp_path / "run", At(9, kill), LambdaCallback(on_batch_end=lambda batch, logs: time.time()))
    os.utime(tmp_path / "run" / PREVIOUS, (5e9, 5e9))
    rest = LambdaCallback(on_batch_end=lambda batch, logs: time.time())
    same(run(tmp_path / "run", NOTHING, rest), whole)


def test_a_folder_in_use(tmp_path, whole):
    """Within a run: refused by name, whatever wants it; afterwards it is free, also after an error."""
    errors = []

    def again():
        with pytest.raises(ValueError, match=rf"run: in use by process {os.getpid()} on ") as caught:
            run(tmp_path / "run")
        errors.append(caught)

    same(run(tmp_path / "run", At(4, again), At(15, again)), whole)
    assert len(errors) == 2
    with pytest.raises(Killed):
        run(tmp_path / "other", At(2, kill))
    assert folder_lock._held == {}
    same(run(tmp_path / "other", NOTHING), whole)
    with pytest.raises(ValueError, match="callbacks"):
        run(tmp_path / "other")
    assert folder_lock._held == {}
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [NAME, PREVIOUS]


def test_another_current_folder(tmp_path, monkeypatch, whole):
    """A callback may change it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    same(run("run", At(3, lambda: os.chdir("elsewhere"))), whole)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert len(list((tmp_path / "run").iterdir())) == 2
