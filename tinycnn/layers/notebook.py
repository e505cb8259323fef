"""What a notebook shows of a layer: arguments, shapes, and its weights with their ranges."""

from html import escape
from typing import Any

import numpy as np

from tinycnn.support import html

TITLES = ("weight", "shape", "least", "mean", "standard deviation", "greatest")


class NotebookView:
    """Part of `Layer`: its view in a notebook."""

    def _repr_html_(self: Any) -> str:
        """Return HTML."""
        shapes = ""
        if self.built:
            before, after = self.built_shape, self.compute_output_shape(self.built_shape)
            shapes = f"<br/>{before} to {after}, {self.count_params(before):,} parameters"
        rows = [
            (name, "x".join(map(str, w.shape)), *(f"{f(w):.3g}" for f in (np.min, np.mean, np.std, np.max)))
            for name, w in (*self.params.items(), *self.state.items())
        ]
        weights = html.table(TITLES, rows, numbers=4) if rows else ""
        return f"<div><code>{escape(repr(self))}</code>{shapes}{weights}</div>"
