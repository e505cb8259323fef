"""Plans: what runs in one situation, decided once, as data.

::

    layers, situation -> make_plan -> Plan: runnables, spans, choices -> Sequential.forward, train_step
                                                                      -> kernels.explain

A situation is a batch size (all large ones are alike), whether gradients will be asked for, the requests for
algorithms, and which layers are trainable. `Sequential.plan` makes the plan of a situation at its first call
and finds it again afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinycnn import regularizers
from tinycnn.execution.choices import layer_rows
from tinycnn.execution.fused import FusedConvReLU, Runnable, fuse
from tinycnn.execution.single_image import Program, make_programs
from tinycnn.kernels.explanation import INPUT_GRADIENT, Row, table
from tinycnn.kernels.runtime.availability import obstacle
from tinycnn.kernels.selection import IMAGES_ONE_BY_ONE, Choice, requested
from tinycnn.layers import Layer
from tinycnn.optimizers import ParameterSpan
from tinycnn.parameters import trainable_spans
from tinycnn.regularizers import Penalty


class Situation(NamedTuple):
    """Situation of a plan: all that the choice of its runnables depends on.

    Attributes
    ----------
    images : int
        Batch size, at most `selection.LARGE_BATCH`.
    training : bool
        Whether `backward` may follow.
    compiled, fuse : bool
        Whether the network is compiled, and whether its layers may run fused.
    requests : tuple
        What `use_algorithm` and the environment ask for.
    layers : tuple
        What each layer asks for, whether it is trainable, and how often its settings were changed.
    """

    images: int
    training: bool
    compiled: bool
    fuse: bool
    requests: tuple[str | None, str | None]
    layers: tuple[tuple[str, bool, int], ...]


@dataclass
class Plan:
    """Plan of a forward pass, or of a training step: layers, fused layers and programs, in their order.

    Attributes
    ----------
    runnables : sequence of Runnable
    spans : list of ParameterSpan
        Where the trainable weights are in the vector of parameters.
    images : int
        Batch size that the algorithms are chosen for.
    input_gradient : bool
        Whether the table shows what computes the gradient of the images, or "none". It does not decide what
        runs: `Sequential.backward` computes that gradient, a training step does not.
    penalties : list of Penalty
        Those of the regularizers, which are added to the loss.
    one_by_one : bool
        Whether each image runs alone, through compiled programs that take several layers in one call.
    """

    runnables: Sequence[Runnable]
    spans: list[ParameterSpan]
    images: int
    input_gradient: bool
    penalties: list[Penalty]
    one_by_one: bool = False

    @property
    def layers(self) -> list[Layer]:
        """The layers that it runs, in their order."""
        return [layer for runnable in self.runnables for layer in getattr(runnable, "layers", [runnable])]

    def is_current(self, parameters: np.ndarray) -> bool:
        """Return whether the layers still hold the arrays that compiled programs read."""
        for runnable in self.runnables:
            if isinstance(runnable, Program) and not runnable.is_current(parameters):
                return False
        return True

    def rows(self) -> list[Row]:
        """Return what computes each pass of each layer, and why."""
        rows: list[Row] = []
        for runnable in self.runnables:
            if isinstance(runnable, FusedConvReLU):
                rows += runnable.rows()
                continue
            for layer in getattr(runnable, "layers", [runnable]):
                rows += layer_rows(layer, self.images)
        if self.input_gradient or not rows:
            return rows
        first = [layer.label for layer in getattr(self.runnables[0], "layers", self.layers[:1])]
        unneeded = next((row.layer for row in rows if row.layer in first), ""), INPUT_GRADIENT
        none = Choice("none", "unneeded")
        return [row._replace(choice=none, variant="") if row[:2] == unneeded else row for row in rows]

    def notes(self) -> list[str]:
        """Return what else there is to say, in sentences."""
        if self.one_by_one:
            return self._notes_of_programs()
        rows = self.rows()
        named = {row.layer for row in rows}
        others = [layer.label for layer in self.layers if layer.label not in named]
        notes = [f"No choice to make: {', '.join(others)}."] if others else []
        if any(row.choice.cause == "no compiler" for row in rows):
            notes.append(f"Kernels cannot be compiled: {obstacle()}.")
        return notes

    def _notes_of_programs(self) -> list[str]:
        programs = [part.layers for part in self.runnables if isinstance(part, Program)]
        ends = [dict.fromkeys((layers[0].label, layers[-1].label)) for layers in programs]
        names = ", ".join(" to ".join(names) for names in ends)
        each = "in one compiled call" if len(programs) == 1 else "each in one compiled call"
        few = f"Up to {IMAGES_ONE_BY_ONE} images are predicted one by one"
        return [f"{few}, {names} {each}."] if programs else []

    def __str__(self) -> str:
        return table(self.rows(), self.notes())


def make_plan(layers: Sequence[Layer], situation: Situation, parameters: np.ndarray) -> Plan:
    """Return the plan of a situation.

    Parameters
    ----------
    layers : sequence of Layer
        Built, of one network.
    situation : Situation
    parameters : ndarray of shape (count,)
        The network's, of which the layers hold views.
    """
    spans, images = trainable_spans(layers), situation.images
    penalties = regularizers.penalties(layers)
    # a request for the whole network is for its layers one by one; fused layers and programs are compiled
    may_fuse = situation.fuse and requested().algorithm == "auto" and not obstacle()
    if may_fuse and not situation.training and 0 < images <= IMAGES_ONE_BY_ONE:
        return Plan(list(make_programs(layers, parameters)), spans, 1, True, penalties, one_by_one=True)
    runnables = fuse(layers, images) if may_fuse else list(layers)
    return Plan(runnables, spans, images, not situation.compiled, penalties)
