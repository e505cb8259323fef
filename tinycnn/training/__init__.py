"""What happens around a training step: batches, epochs, progress, history.

::

    loop.fit -> batches -> model.train_on_batch -> callbacks -> History
"""

from tinycnn.training.callbacks import Callback, StopOnInterrupt
from tinycnn.training.history import History

__all__ = ["Callback", "History", "StopOnInterrupt"]
