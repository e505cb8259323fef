"""Programs that may or may not be started as a job."""

import subprocess
import sys

import numpy as np
import pytest

from tests.distributed.jobs import ROOT, start
from tinycnn import distributed
from tinycnn.support import processes

TRAIN = ROOT / "examples" / "train_mnist.py"
SMALL_TRAIN = ROOT / "tests" / "distributed" / "small_train.py"


def test_one_process_is_no_job():
    """It needs no MPI."""
    assert "mpi4py.MPI" not in sys.modules
    with distributed.launched() as job:
        assert job.main
        assert job.alone
        assert processes.current().alone
    assert distributed.from_main(lambda: 3) == 3


@pytest.mark.parametrize("variable", distributed.SIZES)
def test_several_processes_need_mpi4py(monkeypatch, variable):
    """Otherwise each would train alone, and overwrite the files of the others; the error has the cure."""
    monkeypatch.setenv(variable, "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r'pip install "tinycnn\[mpi\]"'), distributed.launched():
        pass
    with pytest.raises(ImportError, match=r'pip install "tinycnn\[mpi\]"'):
        distributed.from_main(lambda: 3)


SETTINGS = """
import warnings, numba, numpy as np
from threadpoolctl import threadpool_info
from tinycnn import distributed
from tinycnn.support import notices, processes

numba.set_num_threads(1)
blas = lambda: {p["filepath"]: p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}
threads, before = numba.get_num_threads(), blas()
assert processes.current().alone
with distributed.DataParallel(shards=3) as job:
    assert (job.rank, job.size, job.shards, job.main, job.threads) == (0, 1, 3, True, 1)
    assert processes.current() is job
    assert not job.any(False) and job.any(True)
assert processes.current().alone
assert before and numba.get_num_threads() == threads
assert before.items() <= blas().items()  # Numba may have loaded SciPy's BLAS meanwhile
try:
    distributed.DataParallel(shards=0)
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_block_leaves_the_settings_as_they_were():
    """Threads of kernels and of BLAS, and who is asked."""
    done = start(0, "-c", SETTINGS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "shards: expected a whole number >= 1, received 0\n"
    assert "processes: 1, hosts: 1, threads of each: 1, parts of a batch: 3" in done.stderr


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    """`--resume`, with the bits of one run on one process; rank 0 alone prints and writes."""
    options = ["--limit", "300", "--epochs", "2", "--batch-size", "50", "--shards", "3", "--verbose", "2"]
    whole = start(0, SMALL_TRAIN, 0, *options, "--out", tmp_path / "whole.npz")
    assert whole.returncode == 0, whole.stderr
    options += ["--out", tmp_path / "m.npz", "--checkpoint", tmp_path / "run"]
    half = start(2, "-m", "mpi4py", SMALL_TRAIN, 1, *options)
    assert half.returncode != 0
    assert "RuntimeError: planted" in half.stderr
    assert half.stdout.count("Epoch 1/2") == 1
    rest = start(3, "-m", "mpi4py", SMALL_TRAIN, 0, "--resume", tmp_path / "run")
    assert rest.returncode == 0, rest.stderr
    assert rest.stdout.count("Epoch 2/2") == rest.stdout.count("Test accuracy") == 1
    with np.load(tmp_path / "whole.npz") as expected, np.load(tmp_path / "m.npz") as received:
        for name in expected.files:
            np.testing.assert_array_equal(received[name], expected[name], err_msg=name)


@pytest.mark.slow
def test_wrong_usage_is_said_once(tmp_path):
    done = start(2, "-m", "mpi4py", TRAIN, "--resume", tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("--resume: expected a folder that --checkpoint made") == 1


def test_the_help_names_the_options():
    done = subprocess.run(
        [sys.executable, TRAIN, "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "--shards" in done.stdout
    assert "--timeout" in done.stdout
