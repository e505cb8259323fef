"""The process that runs a student's file, and the process that waits for it.

::

    run(path, names, seconds) -> python -m tinycnn.teach.child PATH NAMES -> a line of JSON for each exercise

The child calls the functions and sends what they return. It compares nothing, so a file that ends, prints or
damages its process cannot grade itself. A child that is late is ended, and another goes on with the next
exercise.
"""

import base64
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from tinycnn.teach.calling import Received, call_all, printable
from tinycnn.teach.exercises import EXERCISES

MEMORY = 4 * 2**30  # bytes of address space, where the system can limit it
START = 60.0  # seconds for the start of the interpreter, on a busy machine
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
UNREADABLE = "the process sent something that is no answer"
Answer = list[Received] | str | None  # the calls; what went wrong; no function of this name


def run(path: str | PathLike[str], names: Sequence[str], seconds: float) -> tuple[dict[str, Answer], str]:
    """Return the answer for each exercise, and why the file could not be loaded (or an empty string)."""
    path = Path(path)
    with path.open("rb"):  # an OSError is for the caller
        pass
    answers: dict[str, Answer] = {}
    while len(answers) < len(names):
        left = [name for name in names if name not in answers]
        problem = _run_one(path, left, seconds, answers)
        if problem:
            return answers, f"{path.name} could not be loaded: {problem}"
    return answers, ""


def _run_one(path: Path, names: Sequence[str], seconds: float, answers: dict[str, Answer]) -> str:
    """Start a child and collect answers until one fails; return why the file could not be loaded."""
    with Child(path, names) as child:
        for limit in (START, seconds):  # the child itself, then the student's file
            problem = child.answer(limit)
            if problem is not None:
                return problem if isinstance(problem, str) else UNREADABLE
        for name in names:
            answers[name] = _whole(child.answer(seconds), name)
            if isinstance(answers[name], str):
                break
    return ""


class Child:
    """A child process, ended at the end of a with-block, and the answers that it sends."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        package = str(Path(__file__).parents[2])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tinycnn.teach.child", str(path), *names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.reader = threading.Thread(target=self.read, args=(self.process.stdout,), daemon=True)
        self.reader.start()

    def read(self, stream: IO[bytes]) -> None:
        """Put the lines that the child prints into the queue; an empty one is its end."""
        with stream:
            for line in stream:
                self.lines.put(line)
        self.lines.put(b"")

    def answer(self, seconds: float) -> Answer:
        """Return the next answer; a text says why there is none."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            return f"stopped after {seconds:g} s: is there a loop that does not end?"
        if not line:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
            code = self.process.returncode
            status = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            return f"the process ended: {status}"
        try:
            return _decoded(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            return UNREADABLE

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        """End the child and what it has started."""
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, 9)
        self.process.kill()
        self.process.wait()
        self.reader.join(1)


def _whole(answer: Answer, name: str) -> Answer:
    """Return an answer if it has a call for each case, and all results of each call."""
    exercise = EXERCISES[name]
    if isinstance(answer, list):
        counts = {len(received.outputs) for received in answer if not received.error}
        if len(answer) != len(exercise.cases) or counts - {len(exercise.outputs)}:
            return UNREADABLE
    return answer


def main(path: str, *names: str) -> None:
    """Load a file, call its functions, and print the answers; nothing else gets to stdout."""
    channel = os.fdopen(os.dup(1), "w", encoding="ascii")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    _limit_memory()
    for name in EXERCISES:
        _ = EXERCISES[name].cases  # before the student's code can change NumPy
    _send(channel, None)
    module, problem = load(Path(path))
    _send(channel, problem or None)
    for name in names if not problem else ():
        function = getattr(module, name, None)
        _send(channel, None if function is None else call_all(function, EXERCISES[name]))


def load(path: Path) -> tuple[ModuleType, str]:
    """Run a file as a module; return it, and what went wrong in words."""
    module = ModuleType("solution")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        return module, printable(f"{type(error).__name__}: {error.msg} (line {error.lineno})")
    except BaseException as error:
        return module, printable(f"{type(error).__name__}: {error}".rstrip(": "))
    return module, ""


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))


def _send(channel: IO[str], answer: Answer) -> None:
    value = [_encoded(received) for received in answer] if isinstance(answer, list) else answer
    channel.write(json.dumps(value) + "\n")
    channel.flush()


def _encoded(received: Received) -> dict[str, Any]:
    return {
        "outputs": [
            [a.dtype.str, list(a.shape), base64.b64encode(a.tobytes()).decode()] for a in received.outputs
        ],
        "error": received.error,
        "changed": list(received.changed),
        "unwritten": received.unwritten,
    }


def _decoded(value: Any) -> Answer:
    if value is None or isinstance(value, str):
        return value
    return [
        Received(
            tuple(
                np.frombuffer(base64.b64decode(data), np.dtype(dtype)).reshape(shape)
                for dtype, shape, data in item["outputs"]
            ),
            item["error"],
            tuple(item["changed"]),
            item["unwritten"],
        )
        for item in value
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
