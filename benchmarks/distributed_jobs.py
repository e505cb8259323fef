r"""Jobs of the benchmark of data parallelism: each in processes of its own, in turn, and what they measured.

::

    Job(ranks, threads, plan) -> mpiexec distributed_rank.py      -> dict    \  rounds, in turn
    TorchJob(ranks, threads)  -> distributed_torch.py, its Python -> dict    /  -> merged: medians, spreads
"""

import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from timing import summary

HERE = Path(__file__).parent
REST = 1.0  # seconds before each job
POOLS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LONGEST = 900.0  # seconds of one job


class Job(NamedTuple):
    """Ranks that measure a plan, each with some threads.

    Attributes
    ----------
    ranks, threads : int
        Threads are those of each rank.
    plan : dict
        See `distributed_rank.measure`.
    starter : list of str
        mpiexec, with its options.
    """

    ranks: int
    threads: int
    plan: dict[str, Any]
    starter: list[str]

    def run(self) -> dict[str, Any]:
        """Return what the ranks measured."""
        program = [sys.executable, "-m", "mpi4py", str(HERE / "distributed_rank.py"), json.dumps(self.plan)]
        return last_line([*self.starter, "-n", str(self.ranks), *program], self.threads)


class TorchJob(NamedTuple):
    """Ranks of PyTorch's DistributedDataParallel over gloo.

    Attributes
    ----------
    python : str
        The Python that has PyTorch.
    channels_last : bool
        The memory format.
    """

    ranks: int
    threads: int
    batches: list[int]
    count: int
    python: str
    channels_last: bool

    def run(self) -> dict[str, Any]:
        """Return what the ranks measured."""
        options = {"ranks": self.ranks, "threads": self.threads, "steps": self.count}
        program = [self.python, str(HERE / "distributed_torch.py"), "--batch-size"]
        program.append(",".join(map(str, self.batches)))
        for name, value in options.items():
            program += [f"--{name}", str(value)]
        return last_line([*program, *["--channels-last"] * self.channels_last], self.threads)


def starter(given: str | None) -> list[str]:
    """Return mpiexec with its options: as given, or that of this Python's environment, or that of PATH.

    Raises
    ------
    SystemExit
        When there is none.
    """
    if given is not None:
        return shlex.split(given)
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=beside)
    if found is None:
        raise SystemExit('--mpiexec: none was found; pip install "tinycnn[mpi]" brings one')
    return [found]


def last_line(command: list[str], threads: int) -> dict[str, Any]:
    """Return the JSON that a program prints last, run with a number of threads.

    Raises
    ------
    SystemExit
        When the program failed, with the end of its stderr.
    """
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, **dict.fromkeys(POOLS, str(threads)), "PYTHONPATH": path}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=LONGEST
    )
    if done.returncode:
        end = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise SystemExit(f"{shlex.join(command[:6])} ... ended with {done.returncode}:\n{end}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def in_turn(
    jobs: Sequence[Job | TorchJob], rounds: int, seconds: float = math.inf
) -> list[list[dict[str, Any]]]:
    """Return, for each job, what it measured in each round.

    Parameters
    ----------
    jobs : sequence of Job or TorchJob
    rounds : int
    seconds : float
        No round begins that would end later than this, if it takes as long as the one before.
    """
    begun = time.perf_counter()
    found: list[list[dict[str, Any]]] = [[] for _ in jobs]
    for number in range(rounds):
        elapsed = time.perf_counter() - begun
        if number and elapsed * (number + 1) / number > seconds:
            break
        for index, job in enumerate(jobs):
            time.sleep(REST)
            start = time.perf_counter()
            found[index].append(job.run())
            who = "PyTorch" if isinstance(job, TorchJob) else "tinycnn"
            took = time.perf_counter() - start
            print(f"round {number + 1}: {who}, {job.ranks} x {job.threads}: {took:.0f} s", flush=True)
    return found


def merged_steps(rounds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each kind and batch of a job: times of all rounds, means of the other figures.

    "ms", "ms 10 %", "ms 90 %" as in `timing.summary`; "least", "most": the medians of single rounds.
    """
    rows = []
    for same in zip(*(measured["steps"] for measured in rounds), strict=True):
        medians = [1e3 * float(np.median(one["seconds"])) for one in same]
        row = {"kind": same[0]["kind"], "batch": same[0]["batch"]}
        row |= {"ranks": rounds[0]["ranks"], "threads": rounds[0]["threads"]}
        row |= summary(np.concatenate([one["seconds"] for one in same]))
        row |= {"least": min(medians), "most": max(medians), "images/s": 1e3 * row["batch"] / row["ms"]}
        others = [name for name in same[0] if name not in ("kind", "batch", "seconds")]
        rows.append(row | {name: float(np.mean([one[name] for one in same])) for name in others})
    return rows


def merged_points(rounds: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """Return (size, median of the rounds' seconds) of a part "curve" or "allreduce" of a job."""
    points: list[tuple[int, float]] = []
    for same in zip(*(measured.get(name, []) for measured in rounds), strict=True):
        points.append((same[0][0], float(np.median([seconds for _, seconds in same]))))
    return points
