"""Lives of a run: a process is started, killed as planned, and its death is checked.

::

    Kill("renames", "SIGKILL", 2) -> live -> Life(status, marks) -> died -> True, False (ended before), Fault

A run is a folder. `run_through` starts lives in it, one kill each, then one that nothing disturbs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from storm_child import INTERRUPTED, NAME, NEW, PLACES, PREVIOUS

CHILD = Path(__file__).with_name("storm_child.py")
#: What is sent; the second signal follows at once.
SIGNALS = {
    "SIGKILL": ("SIGKILL",),
    "SIGTERM": ("SIGTERM",),
    "SIGINT": ("SIGINT",),
    "SIGTERM twice": ("SIGTERM", "SIGTERM"),
    "SIGINT twice": ("SIGINT", "SIGINT"),
}
RANDOM = "random"
#: The largest number of times that a life comes to a place before it ends there; RANDOM: milliseconds.
LATEST = {
    "folder": 1,
    "resume": 8,
    "write": 60,
    "new": 3,
    "renames": 3,
    "batch": 8,
    "validation": 4,
    "epoch": 2,
    "end": 1,
    RANDOM: 300,
}
RANDOM_KILLS = 3  # in each run
KILLS = len(PLACES) + RANDOM_KILLS  # in each run
LONGEST = 300  # seconds of a life that compiles on a busy machine
#: What is in the folder of the checkpoints at a place: names and sizes -> whether it is as it should be.
PROOFS: dict[str, Callable[[dict[str, int]], bool]] = {
    "folder": lambda files: not any(name.endswith(".npz") for name in files),
    "resume": lambda files: NAME in files or PREVIOUS in files or NEW in files,
    "write": lambda files: any(NEW in name and name != NEW and size for name, size in files.items()),
    "new": lambda files: NEW in files,
    "renames": lambda files: NAME not in files and PREVIOUS in files,
}


class Fault(Exception):
    """A run that did not do what it should."""


class Kill(NamedTuple):
    """A kill: where, by what, and at which occurrence of the place (RANDOM: after how many milliseconds)."""

    place: str
    signal: str
    occurrence: int

    @property
    def polite(self) -> bool:
        """Whether the process may finish its step and save."""
        return self.signal in ("SIGTERM", "SIGINT")


class Life(NamedTuple):
    """The exit status of a process (negative: its signal) and what it noted."""

    status: int
    marks: list[dict[str, Any]]

    @property
    def steps(self) -> list[int]:
        """The steps that were trained before this life, and after each of its own; empty if it had none."""
        return [mark["step"] for mark in self.marks if "step" in mark]


def plan(kind: int, run: int, seed: int) -> list[Kill]:
    """Return the kills of a run: at each place once, and `RANDOM_KILLS` at random moments.

    In five runs of a kind, each place sees each signal. Only the first life creates the folder, and only the
    last one comes to the end; without a checkpoint there is nothing to resume.
    """
    rng, names = random.Random(f"{seed} {kind} {run}"), list(SIGNALS)
    kills = [
        Kill(place, names[(number + run + kind) % len(names)], rng.randint(1, LATEST[place]))
        for number, place in enumerate([*PLACES, *[RANDOM] * RANDOM_KILLS])
    ]
    between = [kill for kill in kills if kill.place not in ("folder", "end")]
    rng.shuffle(between)
    if between[0].place == "resume":
        between.reverse()
    first, last = (next(kill for kill in kills if kill.place == place) for place in ("folder", "end"))
    return [first, *between, last]


def live(folder: Path, kind: str, kill: Kill | None = None, forget: str | None = None) -> Life:
    """Start a process in the folder of a run, and wait for its end."""
    marks = folder / "marks.jsonl"
    marks.unlink(missing_ok=True)
    command = [sys.executable, str(CHILD), kind, str(folder), *(["--forget", forget] if forget else [])]
    if kill is not None and kill.place != RANDOM:
        command += ["--place", kill.place, "--occurrence", str(kill.occurrence)]
        command += [text for name in SIGNALS[kill.signal] for text in ("--signal", name)]
    paths = [str(CHILD.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    one = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **one, "PYTHONPATH": os.pathsep.join(paths), "TINYCNN_QUIET": "0"}
    with (
        open(folder / "errors.txt", "wb") as errors,
        subprocess.Popen(command, stderr=errors, env=environment) as process,
    ):
        try:
            if kill is not None and kill.place == RANDOM:
                shoot(process, marks, kill)
            process.wait(LONGEST)
        finally:
            process.kill()
    lines = marks.read_text(encoding="utf-8").splitlines() if marks.exists() else []
    return Life(process.returncode, [json.loads(line) for line in lines])


def shoot(process: subprocess.Popen[bytes], marks: Path, kill: Kill) -> None:
    """Wait until a process trains, and a random time more; send the signals."""
    deadline = time.monotonic() + LONGEST
    while not (marks.exists() and marks.stat().st_size) and process.poll() is None:
        if time.monotonic() > deadline:
            raise Fault(f"expected a step within {LONGEST} s, received none")
        time.sleep(0.002)
    time.sleep(kill.occurrence / 1000)
    for name in SIGNALS[kill.signal]:
        process.send_signal(getattr(signal, name))
        time.sleep(0.001)


def died(kill: Kill, life: Life) -> bool:
    """Return whether a life ended as planned; False if the run ended before.

    Raises
    ------
    Fault
        When it ended in another way, or in another place.
    """
    if life.status == 0:
        return False
    expected = -getattr(signal, SIGNALS[kill.signal][0])
    if life.status not in (expected, expected if kill.signal == "SIGKILL" else INTERRUPTED):
        raise Fault(f"{kill}: expected the exit status {expected}, received {life.status}")
    if kill.place == RANDOM:
        if not life.marks:
            raise Fault(f"{kill}: expected a process that trains, received none")
        return True
    here = [number for number, mark in enumerate(life.marks) if mark.get("place") == kill.place]
    if not here:
        raise Fault(f"{kill}: expected a death there, received one elsewhere")
    if not kill.polite and here != [len(life.marks) - 1]:
        raise Fault(f"{kill}: expected a death there, received one later")
    if not PROOFS.get(kill.place, lambda files: True)(life.marks[here[0]]["files"]):
        raise Fault(f"{kill}: expected other files there, received {life.marks[here[0]]['files']}")
    return True


class Progress:
    """Check that a run goes on where its last checkpoint is, and count the steps that it repeats."""

    def __init__(self) -> None:
        self.began = self.ended = self.repeated = 0
        self.saved = False

    def add(self, life: Life, polite: bool) -> None:
        """Take in a life; raise Fault when it began too early or too late."""
        if not life.steps:
            return
        began = life.steps[0]
        least = self.ended if self.saved else self.began
        if not least <= began <= self.ended:
            raise Fault(f"expected a life from step {least} to {self.ended} on, received {began}")
        self.repeated += self.ended - began
        self.began, self.ended, self.saved = began, life.steps[-1], polite


def run_through(
    folder: Path, kind: str, kills: Iterable[Kill], forget: str | None = None
) -> tuple[dict[str, Any], list[Kill]]:
    """Kill a run again and again, then let it end.

    Returns
    -------
    record : dict
        "kills" (texts), "lives", "steps" and "repeated" ones, and the "hashes" of what the run leaves.
    left : list of Kill
        Those to which the run did not come, since it ended before.

    Raises
    ------
    Fault
        With the last lines of the process.
    """
    folder.mkdir(parents=True)
    left, done, progress, lives = list(kills), [], Progress(), 0
    try:
        while True:
            kill = left[0] if left else None
            life, lives = live(folder, kind, kill, forget), lives + 1
            death = kill is not None and died(kill, life)
            if forget is None:
                progress.add(life, death and kill.polite)
            if not death:
                break
            reach = f"steps {life.steps[0]} to {life.steps[-1]}" if life.steps else "no step"
            done.append([kill.place, kill.signal, f"{kill.occurrence}: {reach}"])
            del left[0]
        if life.status != 0:
            raise Fault(f"expected a run that ends, received the exit status {life.status}")
    except Fault as error:
        errors = (folder / "errors.txt").read_text(encoding="utf-8", errors="replace")
        raise Fault(f"{kind}: {error}\n{errors[-2000:]}") from None
    hashes = json.loads((folder / "end.json").read_text(encoding="utf-8"))
    steps = {"steps": progress.ended, "repeated": progress.repeated}
    return {"kills": done, "lives": lives, **steps, "hashes": hashes}, left
