"""What the ranks of one job measure; `distributed.py` starts it with mpiexec.

::

    mpiexec -n 2 python -m mpi4py distributed_rank.py '{"parts": [...], ...}' -> one line of JSON, from rank 0

    steps      `fit` on batches, as a user calls it: seconds of each step, waiting, transfer, bytes
    curve      steps of each rank for itself, all at once, by number of images
    allreduce  an Allreduce alone, by bytes
    overlap    the Allreduce of the dense layers behind the backward pass of the convolutions, by hand
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI
from networks import images_and_labels

import tinycnn
from tinycnn.distributed import DataParallel
from tinycnn.layers import Activation, BatchNormalization, Conv2D
from tinycnn.support import processes
from tinycnn.support.processes import OneProcess
from tinycnn.training import LambdaCallback

WARM_UP = 2  # steps that are not timed
TURN = 2e-3  # seconds of short Allreduces that are timed together
ROUNDS = 5  # of each size of an Allreduce, and of each form of a step


class Counted(DataParallel):
    """The processes, with the number, the seconds and the bytes of what batch normalisation adds up."""

    totals, seconds, total_bytes = 0, 0.0, 0

    def total(self, sums: np.ndarray) -> np.ndarray:
        """See `DataParallel.total`."""
        start = time.perf_counter()
        result = super().total(sums)
        if result is not sums:
            self.totals += 1
            self.seconds += time.perf_counter() - start
            self.total_bytes += sums.nbytes
        return result

    def figures(self) -> np.ndarray:
        """Return the seconds waited, those of the transfer, bytes, and the three counts, so far."""
        counts = self.totals, self.seconds, self.total_bytes
        return np.array([self.waited, self.transferred, self.bytes_added, *counts])


def network(normalised: bool = False) -> tinycnn.Sequential:
    """Return `mnist_cnn`, compiled; if `normalised`, with batch normalisation after each convolution."""
    model = tinycnn.mnist_cnn(seed=0)
    if normalised:
        layers = []
        for layer in model.layers:
            if isinstance(layer, Conv2D):
                layers += [Conv2D(layer.filters, layer.kernel_size), BatchNormalization(), Activation("relu")]
            else:
                layers.append(type(layer).from_config(layer.get_config()))
        model = tinycnn.Sequential(layers, seed=0, input_shape=model.input_shape)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def timed_fit(model: Any, batch: int, count: int, begun: Callable[[], None] = lambda: None) -> list[float]:
    """Return the seconds of each of `count` steps of `fit`; `begun` is called before the first of them."""
    x, y = images_and_labels(batch * (WARM_UP + count))
    clock: list[float] = []

    def ended(number: int, logs: Any = None) -> None:
        if number == WARM_UP - 1:
            begun()
        clock.append(time.perf_counter())

    model.fit(x, y, batch_size=batch, verbose=0, callbacks=LambdaCallback(on_train_batch_end=ended))
    seconds: list[float] = np.diff(clock[WARM_UP - 1 :]).tolist()
    return seconds


def steps(job: Counted, batch: int, count: int, normalised: bool) -> dict[str, Any]:
    """Return the seconds of each of `count` steps of `fit`, and the figures of `Counted` for one step."""
    figures: list[np.ndarray] = []
    seconds = timed_fit(network(normalised), batch, count, lambda: figures.append(job.figures()))
    own = (job.figures() - figures[0]) / count
    everyone = np.mean(MPI.COMM_WORLD.allgather(own), axis=0)
    names = ("waited", "transferred", "bytes", "totals", "seconds of totals", "bytes of totals")
    return {"seconds": seconds} | dict(zip(names, everyone, strict=True))


def slowest(seconds: list[float]) -> float:
    """Return the median of a rank's times, of the rank where it is longest."""
    return float(max(MPI.COMM_WORLD.allgather(float(np.median(seconds)))))


def curve(images: list[int], count: int) -> list[tuple[int, float]]:
    """Return (images, seconds) of steps of `fit` without communication, while all ranks compute."""
    model, rows = network(), []
    alone = processes.enter(OneProcess())
    for number in images:
        MPI.COMM_WORLD.Barrier()
        rows.append((number, slowest(timed_fit(model, number, count))))
    processes.leave(alone)
    return rows


def allreduces(sizes: list[int]) -> list[tuple[int, float]]:
    """Return (bytes, seconds) of an Allreduce of each size."""
    comm, rows = MPI.COMM_WORLD, []
    for size in sizes:
        vector = np.ones(size // 4, np.float32)
        vector[...] = comm.rank  # its sum is known, and stays finite
        total = np.empty_like(vector)

        def together(calls: int, vector: np.ndarray = vector, total: np.ndarray = total) -> float:
            comm.Barrier()
            start = time.perf_counter()
            for _ in range(calls):
                comm.Allreduce(vector, total)
            return (time.perf_counter() - start) / calls

        together(WARM_UP)
        calls = comm.bcast(int(np.clip(TURN / together(WARM_UP), 1, 1000)))
        rows.append((size, slowest([together(calls) for _ in range(ROUNDS)])))
        if not (total == comm.size * (comm.size - 1) / 2).all():
            raise ValueError(f"Allreduce of {size} bytes: the sum is wrong")
    return rows


def addition(size: int) -> float:
    """Return the seconds that adding `size` bytes of float32 to others takes."""
    a, b = np.zeros((2, size // 4), np.float32)
    seconds = []
    for _ in range(10 * ROUNDS):
        start = time.perf_counter()
        a += b
        seconds.append(time.perf_counter() - start)
    return slowest(seconds)


def plain_step(model: Any, x: np.ndarray, y: np.ndarray, share: float, first: int) -> None:
    """Take a step whose Allreduce begins after the backward pass."""
    model.compute_gradients(x, y, None, share, first)
    MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, model.gradients)
    model.apply_gradients()


def overlapped_step(model: Any, x: np.ndarray, y: np.ndarray, share: float, first: int) -> None:
    """Take the same step, with the gradients of the dense layers on their way during the convolutions'.

    MPICH moves messages while it is called, so it is asked after each layer.
    """
    comm, place = MPI.COMM_WORLD, MPI.IN_PLACE
    dense = next(layer for layer in model.layers if isinstance(layer, tinycnn.layers.Dense))
    offset = (dense.grads["kernel"].ctypes.data - model.gradients.ctypes.data) // model.gradients.itemsize
    for layer in model.layers:
        if isinstance(layer, tinycnn.layers.Dropout):
            layer.mask_index, layer.first_row = model.steps_trained, first
    probabilities = model.forward(x, training=True)
    dy = model.loss.gradient(y, probabilities) * np.float32(share)
    first_layer, *others = model.plan(len(x)).runnables
    request = None
    for runnable in reversed(others):
        dy = runnable.backward(dy)
        runnable.release()
        if dense in getattr(runnable, "layers", [runnable]):
            request = comm.Iallreduce(place, model.gradients[offset:])
        elif request is not None:
            request.Test()
    first_layer.backward_params(dy)
    first_layer.release()
    comm.Allreduce(place, model.gradients[:offset])
    request.Wait()
    model.apply_gradients()


def overlap(batch: int, count: int) -> dict[str, list[float]]:
    """Return the seconds of steps of both forms, in turn."""
    comm = MPI.COMM_WORLD
    x, y = images_and_labels(batch)
    first = batch * comm.rank // comm.size
    rows = slice(first, batch * (comm.rank + 1) // comm.size)
    share = len(x[rows]) / batch
    forms: dict[str, Callable[..., None]] = {"plain": plain_step, "overlapped": overlapped_step}
    models = {name: network() for name in forms}
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for name, form in forms.items():
        form(models[name], x[rows], y[rows], share, first)
    plain, overlapped = (model.gradients for model in models.values())
    if np.linalg.norm(plain - overlapped) > 1e-5 * np.linalg.norm(plain):
        raise ValueError("the overlapped step: expected the gradients of the plain one")
    for index in range(1 + ROUNDS):
        for name, form in forms.items():
            for _ in range(count):
                comm.Barrier()
                start = time.perf_counter()
                form(models[name], x[rows], y[rows], share, first)
                if index:
                    seconds[name].append(time.perf_counter() - start)
    return seconds


def measure(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of all parts of a plan."""
    parts, found = plan["parts"], {}
    with Counted() as job:
        found |= {"ranks": job.size, "threads": job.threads, "bytes": network().gradients.nbytes}
        kinds = [("plain", False, batch) for batch in plan["batches"] if "steps" in parts]
        kinds += [("normalised", True, plan["batch"])] * ("normalised" in parts)
        found["steps"] = [
            {"kind": kind, "batch": batch} | steps(job, batch, plan["steps"], normalised)
            for kind, normalised, batch in kinds
        ]
        if "curve" in parts:
            found["curve"] = curve(plan["images"], max(1, plan["steps"] // 3))
        if "allreduce" in parts:
            found["allreduce"] = allreduces([*plan["sizes"], found["bytes"]]) if job.size > 1 else []
            found["addition"] = addition(found["bytes"])
        if "overlap" in parts and job.size > 1:
            found["overlap"] = overlap(plan["batch"], max(1, plan["steps"] // 2))
    if "shards" in parts:
        with Counted(shards=plan["shards"]) as job:
            figures = steps(job, plan["batch"], plan["steps"], False)
            found["steps"].append({"kind": "shards", "batch": plan["batch"]} | figures)
    return found


def main() -> None:
    """Measure what the plan in the first argument names."""
    found = measure(json.loads(sys.argv[1]))
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
