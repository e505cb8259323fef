"""Order of an optimizer's moments in Keras' files.

::

    Keras 3            iteration, learning_rate if it is a number, then the moments
    Keras 2 (2.11 on)  iteration, then the moments
    the moments        m and v of the first parameter, m and v of the second, ...  (Adam, Adadelta)
                       one kind for all parameters, then the next                  (all others)
    Keras 2 (to 2.10)  always one kind for all parameters, then the next
    Keras 1 to 2.2     the same, without an iteration for RMSprop and Adadelta
    Keras 2.1 to 2.3   for Adam without amsgrad, in the end, an array of one value for each parameter

A file is read by the names of its moments, `NAMES` in one of the `STYLES`. Keras to 2.2 gave them names
without a meaning, such as `training/Adam/Variable_3:0`. Then its order counts.

Files are written in the order of Keras 3. tf-keras reads such a file with a warning that the optimizer starts
afresh, because it does not expect the learning rate in second place.
"""

import re
import warnings
from itertools import takewhile
from typing import Any

import numpy as np

from tinycnn.saving import keras_training
from tinycnn.saving.snapshot import Snapshot, slot_names
from tinycnn.support import checks

# For each optimizer, the number of its first kinds of moments that alternate, parameter by parameter.
ALTERNATING = {"adadelta": 2, "adam": 2, "adamw": 2}
# For each optimizer, what versions of Keras have called its moments.
Names = dict[str, tuple[str, ...]]
ADAM: Names = {
    "momentum": ("momentum", "m"),
    "velocity": ("velocity", "v"),
    "velocity_hat": ("velocity_hat", "vhat"),
}
NAMES: dict[str, Names] = {
    "sgd": {"momentum": ("momentum", "m", "moment")},
    "rmsprop": {
        "velocity": ("velocity", "rms", "accumulator"),
        "momentum": ("momentum",),
        "average_gradient": ("average_gradient", "mg"),
    },
    "adadelta": {
        "accumulated_grad": ("accumulated_grad", "accum_grad", "accumulator"),
        "accumulated_delta": ("accumulated_delta_var", "accumulated_delta", "accum_var", "delta_accumulator"),
    },
    "adam": ADAM,
    "adamw": ADAM,
}
# Where the name of a moment has the name of its kind.
STYLES = (
    r".*_({})",  # Keras 3            adam/dense_kernel_momentum
    r"[^/]+/({})/.+",  # Keras 2.11 on      Adam/m/dense/kernel:0
    r"(?:.*/)?({})(?:_\d+)?(?::\d+)?",  # Keras 2.3 to 2.10  Adam/dense/kernel/m:0, training/Adam/m_0:0
)
ITERATION = re.compile(r"(?:.*/)?iter(?:ations?)?(?::\d+)?")  # the name of the count of steps
NAMELESS = re.compile(r"(?:.*/)?[Vv]ariable(?:_\d+)?(?::\d+)?")  # the name of any variable without one
LAST_NAMELESS = (2, 10)  # the last version that may have written other names without the kind of a moment

Arrays = list[tuple[str, np.ndarray]]
Slots = dict[str, list[np.ndarray]]


def to_arrays(snapshot: Snapshot) -> Arrays:
    """Return the names and values of /optimizer_weights for a snapshot of a compiled model."""
    if snapshot.training is None:
        return []
    optimizer = snapshot.training["optimizer"]
    name, weights = optimizer["name"], snapshot.trainable_weights()
    arrays: Arrays = [(f"{name}/iteration", np.array(snapshot.training["iterations"], np.int64))]
    rate = keras_training.from_rate(optimizer["config"]["learning_rate"], snapshot.training["iterations"])
    if not isinstance(rate, dict):  # Keras has no variable for the rate of a schedule
        arrays.append((f"{name}/learning_rate", np.array(rate, np.float32)))
    for kind, i in _places(optimizer, len(weights)):
        weight, value = weights[i]
        # a missing moment is written as zeros, since Keras expects all of them
        moment = snapshot.slots[kind][i] if kind in snapshot.slots else np.zeros_like(value)
        arrays.append((f"{name}/{weight.replace('/', '_')}_{kind}", moment))
    return arrays


def _places(optimizer: dict[str, Any], count: int) -> list[tuple[str, int]]:
    """Return (kind, index of the parameter) in Keras' order; the first kinds alternate."""
    kinds, alternating = slot_names(optimizer), ALTERNATING.get(optimizer["name"], 1)
    groups = [kinds[:alternating], *([kind] for kind in kinds[alternating:])]
    return [(kind, i) for group in groups for i in range(count) for kind in group]


def from_arrays(arrays: Arrays, snapshot: Snapshot, keras_version: str | None = None) -> None:
    """Add the values of /optimizer_weights to a snapshot whose `training` has been read.

    Parameters
    ----------
    arrays : list of (str, ndarray)
        The names and the values, in the order of the file.
    snapshot : Snapshot
    keras_version : str or None
        The version that the file says it was written by. Files of Keras 1 do not all have one.

    Warns
    -----
    UserWarning
        When the arrays do not fit the parameters, or it is not clear which moment each of them is: training
        then starts with fresh moments. Also when moments come without the count of steps.
    """
    if snapshot.training is None or not arrays:
        return
    scalars = list(takewhile(lambda named: named[1].ndim == 0 or ITERATION.fullmatch(named[0]), arrays))
    moments = arrays[len(scalars) :]
    optimizer = snapshot.training["optimizer"]
    _take_rate(scalars, optimizer["config"])
    iterations = _count(scalars[0][1]) if scalars else 0
    kinds = slot_names(optimizer)
    if kinds and not moments and not iterations:
        return  # Keras has no moments before the first step
    shapes = [array.shape for _, array in snapshot.trainable_weights()]
    slots = _slots(moments, NAMES[optimizer["name"]], kinds, shapes, keras_version)
    if slots is None or len(scalars) > 2:
        warnings.warn("the optimizer's moments do not fit the weights: they start afresh", stacklevel=2)
        return
    if not scalars:
        warnings.warn("the optimizer's count of steps is not in the file: it starts at 0", stacklevel=2)
    snapshot.training["iterations"] = iterations
    dtype = snapshot.config["dtype"]
    snapshot.slots |= {kind: [array.astype(dtype) for array in slot] for kind, slot in slots.items()}


def from_values(values: list[np.ndarray], snapshot: Snapshot) -> None:
    """Add the values of an optimizer, in the order of Keras 3, to a snapshot; see `from_arrays`.

    A `.keras` file has numbers and no names for them. Keras 2 has the same order, without the learning rate.
    """
    if snapshot.training is None:
        return
    scalars = [value for value in values if value.ndim == 0]
    places = _places(snapshot.training["optimizer"], len(snapshot.trainable_weights()))
    names = [*(["iteration", "learning_rate"][: len(scalars)]), *(f"parameter_{kind}" for kind, _ in places)]
    names += ["another"] * (len(values) - len(names))
    from_arrays(list(zip(names, values, strict=False)), snapshot)


def _take_rate(scalars: Arrays, config: dict[str, Any]) -> None:
    """Take over the learning rate beside the count of steps, which Keras 3 prefers to that of the JSON."""
    rate = config.get("learning_rate")
    if len(scalars) == 2 and rate is not None and not isinstance(rate, dict):
        stored = float(scalars[1][1])
        if np.float32(rate) != np.float32(stored):
            config["learning_rate"] = checks.real("learning_rate", stored, 0)


def _count(value: np.ndarray) -> int:
    """Return the count of steps, which Keras 1 keeps as a float."""
    count = value.tolist()  # a number of Python's, if it is one
    return checks.whole("iterations", int(count) if _is_whole(count) else count, 0)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _slots(
    moments: Arrays, names: Names, kinds: list[str], shapes: list[tuple[int, ...]], keras_version: str | None
) -> Slots | None:
    """Return the arrays of each kind, one for each parameter; None where that is not clear."""
    if not kinds or not (moments or shapes):
        return {}  # tf-keras saves a momentum for SGD even if it is 0
    found = [_by_name(moments, style, names) for style in STYLES]
    candidates = [slots for slots in found if sum(map(len, slots.values())) == len(moments)]
    if not any(found) and (len(kinds) == 1 or _has_no_names(moments, keras_version)):
        candidates = [_by_kind(moments, kinds, len(shapes))]
    fitting = []
    for slots in candidates:
        slots = {kind: slots.get(kind, []) for kind in kinds}
        if all([array.shape for array in slot] == shapes for slot in slots.values()):
            fitting.append(slots)
    return fitting[0] if len(fitting) == 1 else None


def _by_name(moments: Arrays, style: str, names: Names) -> Slots:
    """Return the arrays of each kind, as far as they have one of these `names` in this style."""
    kinds = {name: kind for kind, known in names.items() for name in known}
    pattern = re.compile(style.format("|".join(kinds)))
    slots: Slots = {}
    for name, array in moments:
        if match := pattern.fullmatch(name):
            slots.setdefault(kinds[match[1]], []).append(array)
    return slots


def _by_kind(moments: Arrays, kinds: list[str], count: int) -> Slots:
    """Return the arrays of each kind from the order of Keras 1 and 2: one kind after the other."""
    arrays = [array for _, array in moments]
    if len(arrays) == (len(kinds) + 1) * count and all(array.shape == (1,) for array in arrays[-count:]):
        arrays = arrays[:-count]  # of Adam without amsgrad
    if len(arrays) != len(kinds) * count:
        return {}
    return {kind: arrays[i * count : (i + 1) * count] for i, kind in enumerate(kinds)}


def _has_no_names(moments: Arrays, keras_version: str | None) -> bool:
    """Return whether Keras 1 or 2 wrote these moments, since later versions do not name moments so.

    tf-keras writes such names too, of any version, where TensorFlow is in the mode of its version 1.
    """
    if all(NAMELESS.fullmatch(name) for name, _ in moments):
        return True
    match = re.match(r"(\d+)(?:\.(\d+))?", keras_version or "1")  # such as "2.1.6-tf"
    return match is not None and (int(match[1]), int(match[2] or 0)) <= LAST_NAMELESS
