"""`tinycnn train` with a small network: `small_train.py FAILS options ...`; 1 fails after the first epoch."""

import sys

from tests.examples.small_mnist import small_network
from tinycnn import recipes
from tinycnn.cli import train
from tinycnn.cli.program import run_alone
from tinycnn.training import Callback


class Fail(Callback):
    """Fails when the second epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and sys.argv[1] == "1":
            raise RuntimeError("planted")


recipes.network = small_network
recipes.callbacks = lambda recipe: [Fail()]
run_alone(train.add_options, train.run, sys.argv[2:])
