"""The watch over the processes of a job: one that dies, hangs or fails ends them all, with the reason.

::

    Watch.call(collective, ...) -> its result
                                -> too long? -> roll call -> the names of the missing ones on stderr, Abort

A process that waits in MPI cannot look at the clock. So a thread of its own does, once a second.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

GRACE = 2.0  # seconds in which each process that waits answers the roll call
MOST_TAGS = 32_767  # MPI promises tags up to this


class Watch:
    """Ends a job when a process has waited for the others for too long, and says which are missing.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    timeout : float
        Seconds.

    Attributes
    ----------
    where : str
        What the process does, for messages.
    """

    def __init__(self, comm: Any, timeout: float) -> None:
        self._comm, self._timeout, self.where = comm, timeout, "the start"
        self._names = comm.allgather(f"rank {comm.rank} ({socket.gethostname()}, process {os.getpid()})")
        self._roll = comm.Dup()  # for messages while a collective of the other one hangs
        self._since: float | None = None  # when this process began to wait
        self._count = 0  # of calls: the same in each process
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to watch; for an MPI that several threads may call."""
        if self._comm.size > 1:
            threading.Thread(target=self._look, daemon=True).start()

    def stop(self) -> None:
        """End the watch."""
        self._ended.set()

    def call(self, collective: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a collective operation returns, while it is watched."""
        self._count += 1
        self._since = time.monotonic()
        try:
            return collective(*arguments)
        finally:
            self._since = None

    def abort(self, reason: str) -> None:
        """End all processes of the job, with the reason on stderr."""
        print(f"tinycnn: {self._names[self._comm.rank]}: {reason}", file=sys.stderr, flush=True)
        self._comm.Abort(1)

    def _look(self) -> None:
        while not self._ended.wait(min(1.0, self._timeout / 4)):
            count, since = self._count, self._since
            if since is None or time.monotonic() - since <= self._timeout:
                continue
            missing = ", ".join(self._missing(count % MOST_TAGS))
            if missing and self._count == count and self._since is not None:
                self.abort(
                    f"waited at {self.where} for {self._timeout:g} s for {missing}, which hangs, or needs a "
                    "longer timeout, or does not call what the others call; the job ends"
                )

    def _missing(self, call: int) -> list[str]:
        """Return the names of the processes that are not in this call: rank 0 calls the roll."""
        if self._comm.rank:
            self._roll.isend(None, 0, call)
            time.sleep(2 * GRACE)  # rank 0 ends the job before, if it is there
            return [self._names[0]]
        absent = {rank: self._roll.irecv(source=rank, tag=call) for rank in range(1, self._comm.size)}
        end = time.monotonic() + GRACE
        while absent and time.monotonic() < end:
            absent = {rank: request for rank, request in absent.items() if not request.test()[0]}
            time.sleep(0.01)
        for request in absent.values():
            request.cancel()
        return [self._names[rank] for rank in absent]
