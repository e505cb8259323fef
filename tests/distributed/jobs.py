"""How the tests start a job of several processes."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).with_name("cases.py")


def mpiexec():
    """Return the path of mpiexec: that of this environment, or of the system."""
    if importlib.util.find_spec("mpi4py") is None:
        pytest.skip("needs mpi4py")
    folder = str(Path(sys.executable).parent)
    found = shutil.which("mpiexec", path=folder) or shutil.which("mpiexec")
    if found is None:
        pytest.skip("needs an MPI: this system has no mpiexec")
    return found


def start(ranks, *arguments, **variables):
    """Return what a program printed, and its status, as a job of `ranks` processes; 0 is without mpiexec."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMPI_MCA_rmaps_base_oversubscribe": "1"}
    environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", **variables}
    command = [] if ranks == 0 else [mpiexec(), "-n", str(ranks)]
    return subprocess.run(
        [*command, sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )


def train(ranks, folder, shards, names):
    """Run cases in a job; return the folder with their files."""
    folder.mkdir(exist_ok=True)
    done = (
        start(ranks, "-m", "mpi4py", CASES, folder, shards, *names)
        if ranks
        else start(0, CASES, folder, shards, *names)
    )
    assert done.returncode == 0, done.stderr
    return folder
