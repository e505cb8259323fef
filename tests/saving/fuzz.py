"""Fuzz program: reads many damaged files, each in a process of its own, and counts what comes of it.

::

    number -> seed file, mutations -> file -> forked child reads it -> loaded | refused | failure

Run from the root of the project, on Linux:

    TINYCNN_ALGORITHM=im2col python -m tests.saving.fuzz h5 --inputs 100000 --log docs/runs/fuzz-h5.json

The formats are h5, weights_h5, keras, npz, weights, which are `.npz` without layers, onnx, safetensors, idx
and checkpoint. An input is determined by the format and its number. The log is written every 500 inputs,
and the same command goes on where the log ends. Without TINYCNN_ALGORITHM, the good files are made by
compiled kernels, whose memory every child copies. A child has 5 seconds of processor time and 1 GB of
memory more than its parent. The only errors allowed are ValueErrors that name the file; all others are
failures: other exceptions, crashes, loops, and memory that runs out even if the reader reports it. Inputs
that fail are kept in the folder `--keep`. The exit status is 1 if there are any.
"""

import argparse
import faulthandler
import json
import os
import platform
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

from tests.saving import fuzz_exchange, fuzz_inputs
from tinycnn.support.files import atomic_path

FORMATS = fuzz_inputs.OWN | fuzz_exchange.SHARED
SECONDS, MEMORY = 5, 2**30
LONGEST = 60  # seconds of waiting, for a child that uses no processor time


def main(arguments=None):
    """Run inputs from the end of the log on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all, with those in the log")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="folder for inputs that fail")
    options = parser.parse_args(arguments)
    log = json.loads(options.log.read_text()) if options.log.exists() else new_log(options.format)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        inputs = FORMATS[options.format](folder)
        path = Path(folder) / f"input{inputs.suffix}"
        while log["inputs"] < options.inputs:
            started = time.monotonic()
            count_inputs(inputs, path, log, min(options.inputs, log["inputs"] + 500), options.keep)
            log["seconds"] = round(log["seconds"] + time.monotonic() - started)
            with atomic_path(options.log) as temporary:
                temporary.write_text(json.dumps(log, indent=1) + "\n")
    return 1 if log["failures"] else 0


def new_log(name):
    versions = {"python": platform.python_version(), "numpy": np.__version__, "h5py": h5py.__version__}
    return {
        "format": name,
        **versions,
        "inputs": 0,
        "seconds": 0,
        "slowest": 0.0,
        "results": {},
        "failures": [],
    }


def count_inputs(inputs, path, log, end, keep=None):
    """Read the inputs up to a number and add the results to a log."""
    results = Counter(log["results"])
    for number in range(log["inputs"], end):
        content = make(inputs, number)
        path.write_bytes(content)
        result, seconds = in_child(lambda: inputs.read(path), path)
        log["slowest"] = max(log["slowest"], round(seconds, 3))
        results[result.split(":")[0]] += 1
        if result.startswith("failure"):
            log["failures"].append({"number": number, "result": result})
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{log['format']}-{number}{inputs.suffix}").write_bytes(content)
    log["inputs"], log["results"] = end, dict(sorted(results.items()))


def make(inputs, number):
    """Return the content of an input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return inputs.make(np.random.default_rng([7, number]))


def in_child(read, path):
    """Return ("loaded", "refused" or "failure: ...", seconds of processor time) of reading in a child."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        code = 1
        try:
            os.write(sender, outcome(read, path).encode()[:4000])
            code = 0
        finally:
            os._exit(code)
    os.close(sender)
    try:
        answer = b""
        if select.select([receiver], [], [], LONGEST)[0]:
            answer = os.read(receiver, 4096)
        else:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(receiver)
        _, status, used = os.wait4(child, 0)
    seconds = used.ru_utime + used.ru_stime
    if os.WIFSIGNALED(status):
        return f"failure: {signal.Signals(os.WTERMSIG(status)).name} after {seconds:.1f} s", seconds
    return answer.decode() or "failure: no answer", seconds


def outcome(read, path):
    """Read under limits; return what comes of it."""
    faulthandler.disable()  # pytest's, which would print the crash of a child
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    import resource  # POSIX, as is os.fork

    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("ignore")
    try:
        read()
    except BaseException as error:
        causes, cause = [], error
        while cause is not None and len(causes) < 10:
            causes.append(cause)
            cause = cause.__cause__ or cause.__context__
        if any(isinstance(cause, MemoryError) for cause in causes):
            return f"failure: memory: {error}"
        # a checkpoint is named by its folder
        named = path.name in str(error) or "run-of-input" in str(error)
        if isinstance(error, ValueError) and named:
            return "refused"
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"failure: {type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
    return "loaded"


if __name__ == "__main__":
    sys.exit(main())
