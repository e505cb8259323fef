"""Searches on several workers: the bits of one process, a share of the cores each, and no deadlock."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason='pip install "tinycnn[sklearn]"')

import joblib
from sklearn.model_selection import GridSearchCV, cross_validate

from tests.sklearn import small_networks
from tinycnn.sklearn import CNNClassifier

ROOT = Path(__file__).parents[2]


def data():
    """Return 80 images of random numbers whose class is in their first column."""
    x = np.random.default_rng(0).normal(size=(80, 6, 5))
    y = np.array(["few", "more", "most"])[np.arange(80) % 3]
    x[:, :, 0] += (np.arange(80) % 3)[:, np.newaxis]
    return x, y


def fits(n_jobs):
    """Return the networks of four folds, and what their witnesses saw: (process, threads) of each step."""
    classifier = CNNClassifier(small_networks.witnessed, epochs=6, random_state=0)
    done = cross_validate(
        classifier, *data(), cv=4, n_jobs=n_jobs, return_estimator=True, error_score="raise"
    )
    models = [estimator.model_ for estimator in done["estimator"]]
    return [model.parameters for model in models], [model[0].seen for model in models]


def compare(backend, most_threads):
    """Compare two workers of a backend with one process; return the processes of the workers."""
    with joblib.parallel_config(backend=backend):
        weights, seen = fits(n_jobs=2)
    for one, other in zip(fits(n_jobs=None)[0], weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert max(threads for steps in seen for _, threads in steps) <= most_threads
    return {process for steps in seen for process, _ in steps}


def grid():
    """Return the scores of a grid, and the weights of its best network."""
    classifier = CNNClassifier(small_networks.layers, epochs=4, random_state=0)
    grid = {"learning_rate": [0.001, 0.02], "model__units": [3, 9]}
    search = GridSearchCV(classifier, grid, cv=2, error_score="raise", n_jobs=2).fit(*data())
    return search.cv_results_["mean_test_score"], search.best_estimator_.model_.parameters


def with_dask():
    """Compare Dask's workers with one process."""
    from dask.distributed import Client, LocalCluster

    with joblib.parallel_config(n_jobs=1):
        expected = grid()
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster), joblib.parallel_config(backend="dask"):
        processes = compare("dask", 1)
        for one, other in zip(expected, grid(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert os.getpid() not in processes


def share():
    """Return the threads that each of two workers may have."""
    return max(1, (os.cpu_count() or 1) // 2)


@pytest.mark.smoke
def test_threads():
    """Two Python threads of this process."""
    assert compare("threading", os.cpu_count()) == {os.getpid()}


CASES = {
    "loky": "compare('loky', share())",
    "multiprocessing": "compare('multiprocessing', 1)",
    "dask": "with_dask() or {1, 2}",
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_processes(case):
    """Two workers, neither of which is this process; in a program of its own, which has a time limit."""
    if case == "dask":
        pytest.importorskip("dask.distributed", reason="pip install 'tinycnn[peers]'")
    code = f"""
from tests.sklearn.test_parallel import *
if __name__ == "__main__":
    processes = {CASES[case]}
    assert len(processes) == 2 and os.getpid() not in processes, processes
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TINYCNN_QUIET": "1"}
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        environment.pop(name, None)
    program = [sys.executable, "-c", code]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_spawned_workers_after_kernels_have_run():
    """A forked worker would be refused on OpenMP's threads; one that is spawned runs."""
    code = """
from tests.sklearn.test_parallel import *
if __name__ == "__main__":
    fits(n_jobs=None)
    compare("multiprocessing", 1)
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TINYCNN_QUIET": "1",
        "JOBLIB_START_METHOD": "spawn",
    }
    program = [sys.executable, "-c", code]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
