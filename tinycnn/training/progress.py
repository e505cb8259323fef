"""Progress display: a bar in a terminal, a line for each epoch elsewhere.

::

    verbose="auto" -> terminal? -> ProgressBar : ProgressLines
"""

import sys
import time
from typing import Any

from tinycnn.support.streams import redraws, write_line
from tinycnn.training.callbacks import Callback, Logs

SECONDS_BEFORE_A_BAR = 1.0  # of work that may be short


def choose(verbose: str | int) -> list[Callback]:
    """Return the callbacks that show the progress of `fit`, at most one.

    Parameters
    ----------
    verbose : "auto", 0, 1 or 2
        0: silent, 1: a bar, 2: one line for each epoch; "auto" is 1 in a terminal or a notebook, else 2.

    Raises
    ------
    ValueError
        For another value.
    """
    level = _level(verbose, 2)
    if sys.stdout is None:  # a program without a console: the bar would go to stderr
        return []
    kinds: list[list[Callback]] = [[], [ProgressBar()], [ProgressLines()]]
    return kinds[level]


def choose_for(what: str, verbose: str | int) -> list[Callback]:
    """Return the callbacks that show the progress of "evaluate" or "predict", at most one.

    The parameter `verbose` is that of `choose`, but "auto" is silent where no bar can be drawn, and draws one
    only when the work takes longer than a second.
    """
    level = _level(verbose, 0)
    if sys.stdout is None or level == 0:
        return []
    delay = SECONDS_BEFORE_A_BAR if verbose == "auto" else 0.0
    return [BatchBar(what, delay) if level == 1 else BatchLine(what)]


def _level(verbose: str | int, elsewhere: int) -> int:
    """Return a verbosity as a number; "auto" is 1 where a bar can be drawn."""
    if verbose == "auto":
        return 1 if redraws(sys.stdout) else elsewhere
    if verbose not in (0, 1, 2):
        raise ValueError(f'verbose: expected "auto", 0, 1 or 2, received {verbose!r}')
    return int(verbose)


class ProgressBar(Callback):
    """Progress bar for each epoch, with images/s, the remaining time and the means so far."""

    _bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Open the bar of this epoch."""
        from tqdm import tqdm  # here, since its import takes a tenth of that of the whole package

        self._bar = tqdm(
            total=self.params["samples"],  # None for a generator: images are counted
            desc=f"Epoch {epoch + 1}/{self.params['epochs']}",
            unit=" images",
            file=sys.stdout,
            dynamic_ncols=True,
        )

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Advance the bar by one batch."""
        self._bar.set_postfix(_figures(logs), refresh=False)
        self._bar.update(logs["samples"] - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Show the final figures, including those of validation, and close the bar."""
        self._bar.set_postfix(_figures(logs))
        self._bar.close()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the bar of an unfinished epoch."""
        if self._bar is not None:
            self._bar.close()


class BatchBar(Callback):
    """Progress bar of `evaluate` or `predict`, over batches.

    Parameters
    ----------
    what : str
        Shown in front of the bar.
    delay : float
        Seconds without a bar; work that ends earlier shows none.
    """

    def __init__(self, what: str, delay: float) -> None:
        self.what, self.delay = what, delay
        self._bar: Any = None
        self._start = time.perf_counter()

    def on_test_batch_end(self, batch: int, logs: Logs) -> None:
        """Advance the bar by one batch."""
        self._advance(batch)
        if self._bar is not None:
            self._bar.set_postfix(_figures(logs), refresh=False)

    def on_predict_batch_end(self, batch: int, logs: Logs) -> None:
        """Advance the bar by one batch."""
        self._advance(batch)

    def on_test_end(self, logs: Logs) -> None:
        """Close the bar."""
        self._close()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Close the bar."""
        self._close()

    def _advance(self, batch: int) -> None:
        if self._bar is None and time.perf_counter() - self._start >= self.delay:
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.params["steps"],
                desc=self.what,
                unit=" batches",
                file=sys.stdout,
                dynamic_ncols=True,
                initial=batch,
            )
        if self._bar is not None:
            self._bar.update(1)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class BatchLine(Callback):
    """One line of output when `evaluate` or `predict` is done: seconds, batches, and the figures.

    Parameters
    ----------
    what : str
        Shown at the beginning.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._start = time.perf_counter()
        self._batches = 0

    def on_test_batch_end(self, batch: int, logs: Logs) -> None:
        """Count the batch."""
        self._batches = batch + 1

    def on_predict_batch_end(self, batch: int, logs: Logs) -> None:
        """Count the batch."""
        self._batches = batch + 1

    def on_test_end(self, logs: Logs) -> None:
        """Print the line."""
        self._print(logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Print the line."""
        self._print({})

    def _print(self, logs: Logs) -> None:
        seconds = time.perf_counter() - self._start
        figures = "".join(f"  {name} {value}" for name, value in _figures(logs).items())
        write_line(sys.stdout, f"{self.what}  {self._batches} batches  {seconds:.1f} s{figures}")


class ProgressLines(Callback):
    """One line of output for each epoch: seconds, images/s, and all figures."""

    _start = 0.0
    _trained = 0.0
    _samples = _seen = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock."""
        self._start = self._trained = time.perf_counter()
        self._samples = self._seen = 0.0

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Record time and images, so that images/s excludes validation and what a resumed run did before."""
        self._trained = time.perf_counter()
        if not self._seen:  # the first batch, perhaps of an epoch that is resumed
            self._seen = batch * (self.params["batch_size"] or 0)
        self._samples += logs["samples"] - self._seen
        self._seen = logs["samples"]

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Print the line."""
        rate = self._samples / max(self._trained - self._start, 1e-9)
        figures = "  ".join(f"{name} {value}" for name, value in _figures(logs).items())
        seconds = time.perf_counter() - self._start
        line = f"Epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f} s  {rate:.0f} images/s  {figures}"
        write_line(sys.stdout, line)


def _figures(logs: dict[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" for name, value in logs.items() if name != "samples"}
