"""Data parallelism over MPI: several processes train one model, each on its part of every batch.

::

    mpiexec -n 4 python -m mpi4py program.py

    with DataParallel() as job:          each process runs the program; job.rank is 0, 1, 2 or 3
        model.fit(...)                   batch -> parts -> gradients of each part -> their sum -> one step
    if job.main:                         rank 0 prints, saves, and writes checkpoints
        model.save("model.h5")

A batch is cut into parts of almost equal size, and each process computes the gradients of its own. The
gradients of a part are weighted by its share of the images, so that their sum is the gradient of the batch:
an average by samples, not by processes (Goyal et al., "Accurate, large minibatch SGD", arXiv 1706.02677,
section 3). The sum is one Allreduce of `model.gradients`, which is one vector already. Then each process
takes the same step from the same weights.

Dropout, noise and augmentation follow the image, and batch normalisation takes its statistics over the whole
batch. So N processes compute what one computes, up to the rounding of sums, which max-pooling can amplify.
`shards` fixes the order of the sums, and so the bits.
"""

from __future__ import annotations

import hashlib
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import pairwise
from types import TracebackType
from typing import Any

import numpy as np

from tinycnn import warmup
from tinycnn.kernels.runtime.availability import obstacle
from tinycnn.layers import BatchNormalization
from tinycnn.support import checks, processes
from tinycnn.support.notices import muted, notice
from tinycnn.support.processes import OneProcess
from tinycnn.support.watch import Watch
from tinycnn.training.sources import Batch

# Where a starter of MPI programs tells a process how many there are.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS")
CURE = 'several processes need mpi4py and an MPI: pip install "tinycnn[mpi]"'
TIMEOUT = 30.0
SAMPLED_ROWS = 256  # of the data, by which processes find that theirs differ


class DataParallel(OneProcess):
    """The processes of an MPI job that train together, as a `with` block around `fit`; needs mpi4py.

    Parameters
    ----------
    shards : int, optional
        Parts of each batch; by default one for each process. If given, the gradients are added in the order
        of the parts, so that results have the same bits on any number of processes up to this one, also after
        a resume. Batch normalisation then takes its statistics over each part, since a process that has two
        parts computes one after the other.
    timeout : float
        Seconds that a process waits for the others before it ends the job. It must be longer than what rank 0
        does alone, such as writing a checkpoint.
    communicator : mpi4py.MPI.Comm, optional
        By default that of all processes.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.
    main : bool
        Whether this is rank 0.
    threads : int
        Threads of kernels in this process.
    waited, transferred : float
        Seconds in training steps: until the slowest process had its gradients, and until they were added up.
    bytes_added : int
        Bytes of the gradients that were added up.
    """

    alone = False

    def __init__(self, shards: int | None = None, timeout: float = TIMEOUT, communicator: Any = None) -> None:
        self._mpi = _mpi()
        self._comm = (communicator or self._mpi.COMM_WORLD).Dup()
        self.rank, self.size = self._comm.rank, self._comm.size
        self.main = self.rank == 0
        self.fixed_shards = shards
        self.shards = self.size if shards is None else checks.whole("shards", shards, 1)
        if self.shards < self.size:
            raise ValueError(f"shards: expected at least {self.size}, one a process, received {shards}")
        self.timeout = checks.real("timeout", timeout, 0)
        self.threads, self.waited, self.transferred, self.bytes_added = 1, 0.0, 0.0, 0
        self._sharing = False  # while batch normalisation may ask for totals
        self._exits = ExitStack()

    def __enter__(self) -> DataParallel:
        """Share the cores, compile once on each host, and become what the training loop asks."""
        enter = self._exits.enter_context
        if not self.main:  # rank 0 has the same notices and warnings
            enter(muted())
            enter(warnings.catch_warnings())
            warnings.simplefilter("ignore", UserWarning)
        self._watch = Watch(self._comm, self.timeout)
        local = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        self.threads = enter(_threads(local))
        hosts = self._comm.allgather(local.rank).count(0)
        notice(
            f"processes: {self.size}, hosts: {hosts}, threads of each: {self.threads}, "
            f"parts of a batch: {self.shards}"
        )
        for turn in (0, 1):  # one process of each host compiles, the others find its kernels in the cache
            if min(local.rank, 1) == turn:
                warmup(training_only=True)
            local.Barrier()
        self._exits.callback(processes.leave, processes.enter(self))
        self._exits.callback(self._watch.stop)
        if self._mpi.Query_thread() == self._mpi.THREAD_MULTIPLE:
            self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the block when all do; after an error end the whole job: the others would wait forever."""
        left = isinstance(error, SystemExit) and not error.code
        if error is None:
            self._comm.Barrier()  # not watched: rank 0 may write files and evaluate for long
        elif self.size > 1 and not left:
            time.sleep(0 if self.main else 0.5)  # what all processes meet is reported by rank 0
            lines = [*traceback.format_exception_only(kind, error), *traceback.format_tb(trace)[-1:]]
            self._watch.abort("".join(lines).strip())
        self._exits.close()

    def begin(self, model: Any, run: dict[str, Any], state: Callable[[], Any]) -> Any:
        """See `OneProcess.begin`.

        Raises
        ------
        ValueError
            When the processes do not have the same seed, network, data or settings.
        """
        own = {"seed": model.seed, "weights": model.parameter_names, **run}
        everyone = self._watch.call(self._comm.allgather, {name: _described(own[name]) for name in own})
        for name in own:
            for rank, other in enumerate(everyone):
                if other[name] != everyone[0][name]:
                    raise ValueError(
                        f"{name}: expected the same in each process, received {everyone[0][name]} on rank 0 "
                        f"and {other[name]} on rank {rank}"
                    )
        received = self._watch.call(self._comm.bcast, state() if self.main else None)
        return None if self.main else received

    def gradients(self, model: Any, batch: Any, images: Callable[[Any], np.ndarray]) -> list[float]:
        """See `OneProcess.gradients`; each process computes its parts of the batch."""
        if self.shards == 1:
            return super().gradients(model, batch, images)
        self._watch.where = f"step {model.steps_trained + 1}"
        self._sharing = self.fixed_shards is None
        state = self._separate_state(model)
        before = _flat(state)
        rows, vectors = [], []
        for start, stop in self._own_parts(len(batch.x)):
            _assign(state, before)
            values = self._part(model, batch, images, start, stop)
            rows.append((stop - start) * np.array([1, *values, *_flat(state)]))
            vectors.append(model.gradients if self._sharing else model.gradients.copy())
        self._sharing = False
        ready = time.perf_counter()
        means = self._means(np.array(rows))
        arrived = time.perf_counter()
        self._add_up(vectors, model.gradients)
        self.waited += arrived - ready
        self.transferred += time.perf_counter() - arrived
        self.bytes_added += model.gradients.nbytes
        _assign(state, means[len(means) - len(before) :])
        return list(map(float, means[: len(means) - len(before)]))

    def evaluates(self, batch: int) -> bool:
        """See `OneProcess.evaluates`: whole batches in turn, since their figures then have the same bits."""
        return batch % self.size == self.rank

    def in_order(self, rows: list[list[float]]) -> list[list[float]]:
        """See `OneProcess.in_order`."""
        everyone = self._watch.call(self._comm.allgather, rows)
        count = sum(map(len, everyone))
        return [everyone[number % self.size][number // self.size] for number in range(count)]

    def any(self, flag: bool) -> bool:
        """See `OneProcess.any`."""
        return bool(self._watch.call(self._comm.allreduce, bool(flag), self._mpi.LOR))

    def total(self, sums: np.ndarray) -> np.ndarray:
        """See `OneProcess.total`."""
        if not self._sharing:
            return sums
        totals = np.empty_like(sums)
        self._watch.call(self._comm.Allreduce, sums, totals)
        return totals

    def _own_parts(self, images: int) -> list[tuple[int, int]]:
        """Return (start, stop) of each part of this process, in a batch; they are empty in a small batch."""
        first, last = _bounds(self.shards, self.size)[self.rank : self.rank + 2]
        return list(pairwise(_bounds(images, self.shards).tolist()))[first:last]

    def _separate_state(self, model: Any) -> list[np.ndarray]:
        """Return the layers' state that each part changes in its own way, of which the mean is kept."""
        return [
            array
            for layer in model.layers
            if not (self._sharing and isinstance(layer, BatchNormalization))
            for array in layer.state.values()
        ]

    def _part(
        self, model: Any, batch: Any, images: Callable[[Any], np.ndarray], start: int, stop: int
    ) -> list[float]:
        """Assign the gradients of a part of a batch; return its loss and its metrics."""
        rows = slice(start, stop)
        if start == stop:
            if self._sharing:  # it takes part in the totals of batch normalisation
                model.backward(np.zeros_like(model.forward(batch.x[rows], training=True)))
            model.gradients[...] = 0
            return [0.0] * (1 + len(model.metrics))
        weights = None if batch.weights is None else batch.weights[rows]
        part = Batch(batch.x[rows], batch.y[rows], weights, batch.samples[rows])
        share = (stop - start) / len(batch.x)
        values: list[float] = model.compute_gradients(images(part), part.y, weights, share, start)
        return values

    def _means(self, rows: np.ndarray) -> np.ndarray:
        """Return the means over the images of all parts, given a row (count, sum, sum, ...) for each part."""
        columns = rows.shape[1]
        parts = np.diff(_bounds(self.shards, self.size))
        everything = np.empty((self.shards, columns))
        self._watch.call(self._comm.Allgatherv, rows, [everything, parts * columns])
        totals = np.add.reduce(everything)  # row after row, so in the order of the parts
        means: np.ndarray = totals[1:] / totals[0]
        return means

    def _add_up(self, vectors: list[np.ndarray], total: np.ndarray) -> None:
        """Write the sum of the vectors of all parts to `total`, in each process."""
        if self.fixed_shards is None:
            self._watch.call(self._comm.Allreduce, self._mpi.IN_PLACE, total)
            return
        # Each process adds up one slice of the vectors, in the order of the parts, and sends it to all.
        parts, slices = np.diff(_bounds(self.shards, self.size)), _bounds(len(total), self.size)
        sizes = np.diff(slices)
        sent = np.concatenate([vector[a:b] for a, b in pairwise(slices) for vector in vectors])
        received = np.empty((self.shards, sizes[self.rank]), total.dtype)
        expected = [received, parts * sizes[self.rank]]
        self._watch.call(self._comm.Alltoallv, [sent, len(vectors) * sizes], expected)
        own = received[0]
        for vector in received[1:]:
            own += vector
        self._watch.call(self._comm.Allgatherv, own, [total, sizes])


@contextmanager
def launched(shards: int | None = None, timeout: float = TIMEOUT) -> Iterator[OneProcess]:
    """Run a block in all processes that mpiexec started, as a `DataParallel`, or in this process alone.

    Parameters
    ----------
    shards, timeout
        See `DataParallel`. With `shards` one process is a job too, whose bits are those of several.

    Raises
    ------
    ImportError
        When several processes were started, and mpi4py is missing: each would train alone, and overwrite the
        files of the others.
    """
    if not _several() and shards is None:
        yield OneProcess()
        return
    with DataParallel(shards, timeout) as job:
        yield job


def from_main(function: Callable[[], Any]) -> Any:
    """Return what a function returns on rank 0, where alone it is called; each process calls this.

    If it raises there, the other processes end, and print nothing.
    """
    if not _several():
        return function()
    comm, value = _mpi().COMM_WORLD, None
    try:
        if comm.rank == 0:
            value = (function(),)
    finally:
        value = comm.bcast(value)
    if value is None:
        raise SystemExit(1)
    return value[0]


def _mpi() -> Any:
    """Return mpi4py's module; importing it starts MPI."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no MPI
        raise ImportError(CURE) from error
    return MPI


def _several() -> bool:
    """Return whether a starter of MPI programs has started several processes."""
    return any(os.environ.get(name, "").isdecimal() and int(os.environ[name]) > 1 for name in SIZES)


def _threads(local: Any) -> AbstractContextManager[int]:
    """Return a block with as many threads that the processes of a host, `local`, share its cores."""
    if obstacle():
        return nullcontext(1)
    from tinycnn.kernels.runtime import threads

    own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores: set[int] = set().union(*local.allgather(own))
    return threads.limited(max(1, min(len(own), len(cores) // local.size)))


def _bounds(count: int, parts: int) -> np.ndarray:
    """Return where the parts of 0 to `count` begin, and the end; the sizes differ by at most 1."""
    return np.cumsum([0, *(len(part) for part in np.array_split(np.arange(count), parts))])


def _described(value: Any) -> str:
    """Return a text by which processes find that values differ: of arrays, by some of their rows."""
    if not isinstance(value, list) or not all(isinstance(item, np.ndarray) for item in value):
        return repr(value)
    rows = [np.ascontiguousarray(a[:: max(1, len(a) // SAMPLED_ROWS)]) for a in value]
    return f"{[a.shape for a in value]} {[hashlib.sha256(a.data).hexdigest()[:8] for a in rows]}"


def _flat(arrays: list[np.ndarray]) -> np.ndarray:
    """Return the numbers of arrays as one vector of float64."""
    return np.concatenate([np.zeros(0), *map(np.ravel, arrays)])


def _assign(arrays: list[np.ndarray], numbers: np.ndarray) -> None:
    """Copy the numbers of `_flat` back."""
    ends = np.cumsum([array.size for array in arrays], dtype=int)
    for array, part in zip(arrays, np.split(numbers, ends)[:-1], strict=True):
        array[...] = part.reshape(array.shape)
