"""Progress display: a bar in a terminal, a line for each epoch elsewhere.

::

    verbose="auto" -> terminal? -> ProgressBar : ProgressLines
"""

import sys
import time
from typing import Any

from tinycnn.support.streams import is_terminal, write_line
from tinycnn.training.callbacks import Callback


def choose(verbose: str | int) -> list[Callback]:
    """Return the callbacks for a verbosity, at most one.

    Parameters
    ----------
    verbose : "auto", 0, 1 or 2
        0: silent, 1: a bar, 2: one line for each epoch; "auto" is 1 if stdout is a terminal, else 2.

    Raises
    ------
    ValueError
        For another value.
    """
    if verbose == "auto":
        verbose = 1 if is_terminal(sys.stdout) else 2
    if verbose not in (0, 1, 2):
        raise ValueError(f'verbose: expected "auto", 0, 1 or 2, received {verbose!r}')
    if sys.stdout is None:  # a program without a console: the bar would go to stderr
        return []
    kinds: list[list[Callback]] = [[], [ProgressBar()], [ProgressLines()]]
    return kinds[int(verbose)]


class ProgressBar(Callback):
    """Progress bar for each epoch, with images/s, the remaining time and the means so far."""

    _bar: Any = None

    def on_epoch_begin(self, epoch: int) -> None:
        """Open the bar of this epoch."""
        from tqdm import tqdm  # here, since its import takes a tenth of that of the whole package

        self._bar = tqdm(
            total=self.params["samples"],
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

    def on_train_end(self) -> None:
        """Close the bar of an unfinished epoch."""
        if self._bar is not None:
            self._bar.close()


class ProgressLines(Callback):
    """One line of output for each epoch: seconds, images/s, and all figures."""

    _start = 0.0
    _trained = 0.0
    _samples = 0.0

    def on_epoch_begin(self, epoch: int) -> None:
        """Start the clock."""
        self._start = self._trained = time.perf_counter()
        self._samples = 0.0

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Record time and images, so that images/s excludes validation and what a resumed run did before."""
        self._trained = time.perf_counter()
        self._samples += min(logs["samples"] - batch * self.params["batch_size"], self.params["batch_size"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Print the line."""
        rate = self._samples / max(self._trained - self._start, 1e-9)
        figures = "  ".join(f"{name} {value}" for name, value in _figures(logs).items())
        seconds = time.perf_counter() - self._start
        line = f"Epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f} s  {rate:.0f} images/s  {figures}"
        write_line(sys.stdout, line)


def _figures(logs: dict[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" for name, value in logs.items() if name != "samples"}
