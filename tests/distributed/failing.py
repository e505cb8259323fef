"""A job in which one process fails, as its arguments say: `mpiexec ... failing.py HOW RANK`."""

import os
import signal
import sys

import numpy as np

from tinycnn import Sequential, distributed
from tinycnn.layers import Dense, Flatten
from tinycnn.training import Callback

HOW, RANK, STEP = sys.argv[1], int(sys.argv[2]), 5
X, Y = np.random.default_rng(0).random((64, 6, 5, 1), np.float32), np.arange(64) % 3


class Fail(Callback):
    """Fails in one process, after a step."""

    def on_batch_end(self, batch, logs):
        if self.model.steps_trained != STEP or job.rank != RANK:
            return
        if HOW == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif HOW == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif HOW == "looping":
            while True:
                pass
        elif HOW == "raising":
            raise RuntimeError("planted")
        elif HOW == "exiting":
            sys.exit(7)


def augment(images, seed, epoch, samples, step):
    """Return the images; in one process, at one step, NaN."""
    return images * np.float32("nan") if HOW == "nan" and step == STEP and job.rank == RANK else images


with distributed.DataParallel(timeout=1.5) as job:
    if HOW == "other data" and job.rank == RANK:
        X += 1
    seed = None if HOW == "no seed" else 1
    model = Sequential([Flatten(), Dense(3, activation="softmax")], seed=seed, input_shape=(6, 5, 1))
    model.compile("adam")
    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[Fail()], augment=augment)
print("trained")
