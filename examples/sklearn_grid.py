"""A grid of scikit-learn over networks for MNIST, on several processes.

::

    images (N, 28, 28) of bytes -> CNNClassifier -> GridSearchCV over rates and filters -> the best

With `--dask` the processes are those of a Dask cluster on this machine: `pip install "dask[distributed]"`.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator

import joblib
from sklearn.model_selection import GridSearchCV

from tinycnn.datasets import load_mnist
from tinycnn.sklearn import CNNClassifier
from tinycnn.support import checks

GRID = {"learning_rate": [0.001, 0.003], "model__filters": [4, 8]}


@contextlib.contextmanager
def dask_workers(count: int) -> Iterator[None]:
    """Run a block in which joblib's tasks go to a cluster; Client("host:8786") is one on other machines."""
    from dask.distributed import Client, LocalCluster

    workers = LocalCluster(n_workers=count, threads_per_worker=1)
    with workers as cluster, Client(cluster), joblib.parallel_config(backend="dask"):
        yield


def main(arguments: list[str] | None = None) -> None:
    """Search, and print the figures of each candidate."""
    parser = argparse.ArgumentParser(description="Search for a network with scikit-learn.")
    parser.add_argument("--images", type=int, default=2000, help="training images (default: 2000)")
    parser.add_argument("--epochs", type=int, default=5, help="(default: 5)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--dask", action="store_true", help="send the fits to a Dask cluster")
    options = parser.parse_args(arguments)
    for name in ("images", "epochs", "jobs"):
        checks.whole(f"--{name}", getattr(options, name), 1)
    (x, y), (x_test, y_test) = load_mnist()
    classifier = CNNClassifier(epochs=options.epochs, random_state=0)
    search = GridSearchCV(classifier, GRID, cv=3, n_jobs=options.jobs)
    with dask_workers(options.jobs) if options.dask else contextlib.nullcontext():
        search.fit(x[: options.images], y[: options.images])
    results = search.cv_results_
    for parameters, mean in zip(results["params"], results["mean_test_score"], strict=True):
        print(f"{mean:.4f}  {parameters}")
    print(f"best: {search.best_params_}, on test images {search.score(x_test, y_test):.4f}")


if __name__ == "__main__":
    try:
        main()
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
