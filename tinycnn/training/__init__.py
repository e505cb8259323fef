"""Training: batches, epochs, callbacks, progress, history and checkpoints.

::

    loop.fit -> sources -> model.train_step -> callbacks -> History
"""

from tinycnn.training.averaging import WeightAverage
from tinycnn.training.callbacks import (
    Callback,
    CSVLogger,
    LambdaCallback,
    LearningRateScheduler,
)
from tinycnn.training.divergence import NonFiniteError, NonFiniteStep, TerminateOnNaN
from tinycnn.training.history import History
from tinycnn.training.interrupts import StopOnInterrupt
from tinycnn.training.metrics_logger import MetricsLogger
from tinycnn.training.monitors import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from tinycnn.training.rate_search import RangeTest, find_learning_rate
from tinycnn.training.receipt import RunReceipt
from tinycnn.training.recovery import RecoverFromNaN

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "MetricsLogger",
    "ModelCheckpoint",
    "NonFiniteError",
    "NonFiniteStep",
    "RangeTest",
    "RecoverFromNaN",
    "ReduceLROnPlateau",
    "RunReceipt",
    "StopOnInterrupt",
    "TerminateOnNaN",
    "WeightAverage",
    "find_learning_rate",
]
