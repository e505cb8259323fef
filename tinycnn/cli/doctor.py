"""Diagnosis of the installation and of the machine.

::

    machine (versions, cores, variables), self_test (kernels, threads, cache) -> problems, cures -> status

The self-test is a process of its own, so that a kernel which ends its process is found too.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tinycnn import kernels
from tinycnn.cli import machine, output
from tinycnn.cli.output import say
from tinycnn.support.machine import blas

SELF_TEST_SECONDS = 600
LEAST_FREE = 10**8  # bytes on the disk of the cache; all kernels of mnist_cnn take a tenth of it
LEAST_MEMORY = 10**9  # bytes; training on MNIST takes half of it
STATES = ("current", "outdated", "damaged", "other")  # of entries of the cache
FORCED_VECTORS = ("16", "32", "64")


class Problem(NamedTuple):
    """A problem, what to do about it, and whether it keeps the library from working."""

    what: str
    cure: str
    fatal: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--no-test", action="store_true", help="skip the self-test, which compiles kernels on a new machine"
    )


def run(options: argparse.Namespace) -> int:
    """Print what this machine is, what kernels run on, and what is wrong with it.

    The status is 1 if something keeps the library from working.
    """
    report: dict[str, Any] = {
        "machine": machine.describe(),
        "blas": blas(),
        "packages": machine.packages(),
        "variables": machine.variables(),
        "self_test": None if options.no_test else self_test(),
    }
    problems = find_problems(report)
    fatal = any(problem.fatal for problem in problems)
    if options.json:
        output.say_json({**report, "works": not fatal, "problems": [p._asdict() for p in problems]})
    else:
        say("\n\n".join([installation_text(report), kernels_text(report), verdict_text(problems, fatal)]))
    return int(fatal)


def self_test() -> dict[str, Any]:
    """Return the report of `tinycnn.cli.self_test`, run by another process; {"error": ...} if it has none."""
    command = [sys.executable, "-m", "tinycnn.cli.self_test"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    with output.bar("testing the kernels, up to a minute on a new machine") as show:
        show(0.0)
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SELF_TEST_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return {"error": f"the self-test did not end: {error}"}
    try:
        report: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": f"the self-test {ending(done.returncode)}: {last_line(done.stderr)}".rstrip(": ")}
    report["notices"] = done.stderr.decode(errors="replace").splitlines()
    return report


def ending(status: int) -> str:
    """Return how a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def last_line(text: bytes) -> str:
    """Return the last line that is not empty, as of a traceback."""
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def find_problems(report: dict[str, Any]) -> list[Problem]:
    """Return all problems, those first that keep the library from working."""
    problems = package_problems(report["packages"]) + variable_problems(report)
    problems += machine_problems(report["machine"])
    test = report["self_test"]
    if test is not None:
        problems += test_problems(test)
        problems += cache_problems(test.get("kernels", {}), report["machine"])
    return sorted(problems, key=lambda problem: not problem.fatal)


def package_problems(packages: list[dict[str, Any]]) -> list[Problem]:
    """Return what is missing. Without a required package the self-test says whether anything works."""
    problems = []
    for package in packages:
        if package["version"] is None:
            needed = "required" if package["required"] else f"needed for {package['purpose']}"
            problems.append(Problem(f"{package['name']} is not installed; it is {needed}", package["cure"]))
    return problems


def variable_problems(report: dict[str, Any]) -> list[Problem]:
    """Return the environment variables that have impossible or costly values."""
    set_to, problems = report["variables"], []
    algorithm = set_to.get("TINYCNN_ALGORITHM", "")
    if algorithm not in ("", "auto", *kernels.ALGORITHMS):
        names = ", ".join(["auto", *kernels.ALGORITHMS])
        what = f"TINYCNN_ALGORITHM: expected one of {names}, received {algorithm!r}"
        problems.append(Problem(what, "unset TINYCNN_ALGORITHM", fatal=True))
    elif algorithm not in ("", "auto"):
        what = f"TINYCNN_ALGORITHM={algorithm} replaces the automatic choice, which is usually the fastest"
        problems.append(Problem(what, "unset TINYCNN_ALGORITHM"))
    if set_to.get("TINYCNN_VECTOR_BYTES", "16") not in FORCED_VECTORS:
        what = f"TINYCNN_VECTOR_BYTES: expected 16, 32 or 64, received {set_to['TINYCNN_VECTOR_BYTES']!r}"
        problems.append(Problem(what, "unset TINYCNN_VECTOR_BYTES", fatal=True))
    elif "TINYCNN_VECTOR_BYTES" in set_to:
        what = f"TINYCNN_VECTOR_BYTES={set_to['TINYCNN_VECTOR_BYTES']} replaces the width of this processor"
        problems.append(Problem(what, "unset TINYCNN_VECTOR_BYTES"))
    if set_to.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        problems.append(Problem("NUMBA_DISABLE_JIT turns compilation off", "unset NUMBA_DISABLE_JIT"))
    return problems


def machine_problems(about: dict[str, Any]) -> list[Problem]:
    """Return what the machine has too little of."""
    problems = []
    if about["memory_bytes"] is not None and about["memory_bytes"] < LEAST_MEMORY:
        memory = output.size(about["memory_bytes"])
        problems.append(Problem(f"{memory} of memory are too little to train on MNIST", "train with --limit"))
    return problems


def test_problems(test: dict[str, Any]) -> list[Problem]:
    """Return what the self-test has found."""
    cure = "reinstall with pip install --force-reinstall tinycnn numba; if it stays, report this output"
    if "error" in test:
        return [Problem(test["error"], f"unset TINYCNN_VECTOR_BYTES and NUMBA_*, or {cure}", fatal=True)]
    problems = []
    if not test["prediction"]["good"]:
        error = test["prediction"].get("error", "its answers for test images are wrong")
        problems.append(Problem(f"the trained network does not work: {error}", cure, fatal=True))
    for name, result in test["algorithms"].items():
        if "error" in result:
            problems.append(Problem(f"{name} does not run: {result['error']}", cure))
        elif not result["good"]:
            what = f"{name} differs from the definition by {result['difference']:.1e} of the largest value"
            problems.append(Problem(what, cure, fatal=True))
    if "error" in test["kernels"]:
        problems.append(Problem(f"kernels cannot be compiled: {test['kernels']['error']}", cure))
    return problems


def cache_problems(facts: dict[str, Any], about: dict[str, Any]) -> list[Problem]:
    """Return what is wrong with the compilation cache and the number of threads."""
    problems: list[Problem] = []
    if "cache" not in facts:
        return problems
    own_folder = "set NUMBA_CACHE_DIR to a folder of your own"
    wanted = os.environ.get("NUMBA_CACHE_DIR")
    if wanted and not all(Path(wanted) in Path(cache["folder"]).parents for cache in facts["cache"]):
        what = f"NUMBA_CACHE_DIR={wanted} is not writable, so kernels are kept elsewhere or not at all"
        problems.append(Problem(what, own_folder))
    if not facts["cache"]:
        what = "no cache folder is writable, so kernels are compiled again by each process"
        problems.append(Problem(what, own_folder))
    for cache in facts["cache"]:
        folder = Path(cache["folder"])
        free = machine.free_bytes(folder)
        if free is not None and free < LEAST_FREE:
            what = f"{folder}: {output.size(free)} are free, too little to keep kernels"
            problems.append(Problem(what, f"free some space, or {own_folder}"))
        if cache["damaged"]:
            what = f"{folder}: {cache['damaged']} damaged entries, which are compiled again when needed"
            problems.append(Problem(what, f"remove the files *.nbi and *.nbc in {folder}"))
    limit = about["cpu_limit"]
    if limit is not None and facts["threads"] > max(1, round(limit)):
        what = f"{facts['threads']} threads share {limit:g} cores, the limit of the control group"
        problems.append(Problem(what, f"set NUMBA_NUM_THREADS={max(1, round(limit))}"))
    return problems


def installation_text(report: dict[str, Any]) -> str:
    """Return machine, versions and variables as text."""
    about = report["machine"]
    limit = "" if about["cpu_limit"] is None else f", limited to {about['cpu_limit']:g} by the control group"
    memory = "unknown" if about["memory_bytes"] is None else output.size(about["memory_bytes"])
    rows: list[tuple[str, object]] = [
        ("Processor", about["processor"]),
        ("Cores", f"{about['cores']}, {about['usable_cores']} usable{limit}"),
        ("Memory", memory),
        ("System", about["system"]),
        ("Python", f"{about['python']}, {about['executable']}"),
        ("tinycnn", f"{about['tinycnn']}, {about['folder']}"),
    ]
    for package in report["packages"]:
        version = package["version"] or f"missing: {package['cure']}"
        if package["name"] == "numpy":
            version += f", BLAS {report['blas']}"
        rows.append((package["name"], version))
    for name, value in report["variables"].items():
        rows.append((name, f"{value}  ({machine.VARIABLES[name]})"))
    return output.table(rows)


def kernels_text(report: dict[str, Any]) -> str:
    """Return the self-test, threads and cache as text."""
    test = report["self_test"]
    if test is None:
        return "Kernels were not tested."
    if "error" in test:
        return "Kernels: the self-test failed."
    facts, rows = test["kernels"], []
    if "error" not in facts:
        rows += [
            ("Vectors", f"{facts['vector_bytes']} bytes, compiled for {facts['compiled_for']}"),
            ("Threads", f"{facts['threads']}, layer {facts['threading_layer'] or 'not started'}"),
            ("Cache", cache_text(facts["cache"])),
        ]
    for name, result in test["algorithms"].items():
        rows.append((name, result_text(result)))
    rows.append(("mnist_cnn", result_text(test["prediction"])))
    return output.table(rows)


def cache_text(caches: list[dict[str, Any]]) -> str:
    """Return the cache as text: the folder that all its folders are in, and the sums."""
    if not caches:
        return "none, since no folder is writable"
    folder = Path(os.path.commonpath([cache["folder"] for cache in caches]))
    sums = {name: sum(cache[name] for cache in caches) for name in (*STATES, "bytes")}
    counts = ", ".join(f"{sums[state]} {state}" for state in STATES if sums[state]) or "empty"
    free = machine.free_bytes(folder)
    space = "" if free is None else f"; {output.size(free)} free"
    return f"{folder}, {len(caches)} folders, writable: {counts}, {output.size(sums['bytes'])}{space}"


def result_text(result: dict[str, Any]) -> str:
    """Return one test as text."""
    seconds = f"{result['seconds']:.2f} s"
    if "error" in result:
        return f"FAILED, {result['error']}"
    if "difference" in result:
        word = "agrees with the definition" if result["good"] else "WRONG"
        return f"{word}, largest difference {result['difference']:.0e}, {seconds}"
    return f"recognises the test images, {seconds}" if result["good"] else f"WRONG, {seconds}"


def verdict_text(problems: list[Problem], fatal: bool) -> str:
    """Return the problems with their cures."""
    if not problems:
        return "No problems found."
    lines = ["Problems, which keep tinycnn from working:" if fatal else "It works. To improve:"]
    for problem in problems:
        lines += [f"- {problem.what}", f"  cure: {problem.cure}"]
    return "\n".join(lines)
