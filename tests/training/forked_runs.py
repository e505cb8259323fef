"""A program that trains small networks in forked children, with real signals and real limits.

Each line of its input is a case as JSON, each line of its output the exit code of the child: that of a signal
is negative, as `subprocess` has it. Starting one Python for all cases saves most of the time.
"""

import ctypes
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path

from tests.networks import dense_only, dense_only_data
from tinycnn.saving import npz
from tinycnn.training import Callback, StopOnInterrupt, checkpoint, checkpoint_files

if os.name == "posix":
    import resource  # before a child gives up the right to read it

STEP = 7  # of 15, of which an epoch has 5
INTERRUPTED, FAILED = 100, 101  # exit codes for KeyboardInterrupt, and for other errors


class Events(Callback):
    """Sends the signals of a case to its own process, at the place in the run that the case names."""

    def __init__(self, case=None):
        self.signals = list((case or {}).get("signals", []))
        self.case = case or {}

    def get_config(self):
        return {}

    def send(self, where):
        """Send one signal after the other; with "then", the second one at another place."""
        while self.signals and self.case["where"] == where and self.model.steps_trained >= STEP - 1:
            number = self.signals.pop(0)
            if "then" in self.case:
                self.case["where"] = self.case.pop("then")
            os.kill(os.getpid(), number)

    def on_batch_end(self, batch, logs):
        self.send("callback")
        if self.model.steps_trained == STEP:
            for name in self.case.get("do", []):
                DEEDS[name](self.case)
        if self.model.steps_trained == STEP + 4:
            for name in self.case.get("undo", []):
                DEEDS[name](self.case)

    def on_test_batch_begin(self, batch):
        self.send("validation")

    def augment(self, images, *rest):
        """Send a signal in the middle of a step."""
        self.send("step")
        return images


def limit(case):
    resource.setrlimit(resource.RLIMIT_FSIZE, (case["bytes"], resource.RLIM_INFINITY))


def unlimit(case):
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def fill(case):
    """Fill the file system of the folder."""
    with open(Path(case["folder"]).parent / "ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


DEEDS = {
    "limit": limit,
    "unlimit": unlimit,
    "fill": fill,
    "empty": lambda case: (Path(case["folder"]).parent / "ballast").unlink(),
    "forbid": lambda case: os.chmod(case["folder"], 0o500),
    "allow": lambda case: os.chmod(case["folder"], 0o700),
    "read-only": lambda case: make_read_only(case["folder"].encode()),
    "writable": lambda case: libc().umount2(case["folder"].encode(), 2),
}


def libc():
    """Return the C library, whose functions leave `errno`."""
    return ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags, data=None):
    if libc().mount(source, target, kind, flags, data):
        raise OSError(ctypes.get_errno(), "mount")


def mount_small_disk(case):
    """Mount 128 kB of memory as the parent of the folder, in a namespace that ends with the process."""
    if libc().unshare(0x00020000):
        raise OSError(ctypes.get_errno(), "unshare")
    mount(b"none", b"/", None, 0x4000 | 0x40000)  # MS_REC, MS_PRIVATE
    mount(b"none", str(Path(case["folder"]).parent).encode(), b"tmpfs", 0, b"size=128k")


def make_read_only(folder):
    """Mount a folder over itself, and that read-only, which another open file does not hinder."""
    mount(folder, folder, None, 0x1000)  # MS_BIND
    mount(b"none", folder, None, 0x1000 | 32 | 1)  # MS_BIND, MS_REMOUNT, MS_RDONLY


def train(folder, events=None, *more):
    """Train 15 steps, with validation; return the model."""
    model, (x, y) = dense_only(), dense_only_data()
    events = events or Events()
    model.fit(
        x,
        y,
        batch_size=11,
        epochs=3,
        verbose=0,
        callbacks=[events, *more],
        validation_data=(x[:20], y[:20]),
        augment=events.augment,
        checkpoint=folder,
    )
    return model


def prepare(case, events):
    """Let a case have its places in the writing of a file, and its limits."""
    checkpoint.SECONDS_BETWEEN = case.get("seconds", 1e9)
    write_array, replace = npz.np.lib.format.write_array, checkpoint_files.replace

    def writing(*arguments, **options):
        write_array(*arguments, **options)
        events.send("write")

    def renaming(source, target):
        replace(source, target)
        events.send("renames")

    npz.np.lib.format.write_array, checkpoint_files.replace = writing, renaming
    if case.get("mount"):
        mount_small_disk(case)
    if "uid" in case:
        os.makedirs(case["folder"], exist_ok=True)
        os.chown(case["folder"], case["uid"], -1)
        os.setuid(case["uid"])


def obey(case):
    """Run a case; return the exit code."""
    os.dup2(os.open(case["errors"], os.O_CREAT | os.O_WRONLY, 0o600), 2)
    events = Events(case)
    try:
        prepare(case, events)
        own = [StopOnInterrupt()] if case.get("own") else []
        model = train(case["folder"], events, *own)
        if case.get("mount") or "uid" in case:  # what is in the folder ends with this process
            unlimit(case)
            print(sorted(os.listdir(case["folder"])), file=sys.stderr)
        print(f"ended after {model.steps_trained} steps", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException:
        traceback.print_exc()
        return FAILED
    return 0


def main():
    """Run the cases."""
    with tempfile.TemporaryDirectory() as folder:
        train(folder)  # imports all that a run needs
    assert threading.active_count() == 1
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            code = obey(json.loads(line))
            sys.stderr.flush()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
