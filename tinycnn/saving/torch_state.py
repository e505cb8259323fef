"""State dicts of PyTorch: weights under the names and in the layouts of `torch.nn` modules.

::

    model -> to_torch_state_dict -> {"0.weight": ndarray, "0.bias": ndarray, ...} -> torch.nn.Sequential
    module.state_dict() -> from_torch_state_dict -> model

`tinycnn.saving.torch_modules` says which modules there are, and how their tensors lie in memory. PyTorch is
not imported here: a tensor is anything that NumPy can convert, or that has `detach`, `cpu` and `numpy`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np

from tinycnn.saving.model import Model
from tinycnn.saving.stored import Stored, listed
from tinycnn.saving.structure import weight_shapes
from tinycnn.saving.torch_modules import Module, modules
from tinycnn.support import checks

#: Counts of a BatchNorm and of an AveragedModel, which tinycnn's averages do not need.
COUNTERS = ("num_batches_tracked", "n_averaged")
NAMES = ("weight", "bias", "running_mean", "running_var", *COUNTERS)
#: The entries of a checkpoint that may hold the state dict.
HOLDERS = ("state_dict", "model_state_dict", "model", "net")

NAMELESS = "the outermost module"  # its tensors have no name before their own

Tensors = dict[str, Stored]
Pair = tuple[Module, tuple[str, Tensors]]


def to_torch_state_dict(model: Model, names: str = "numbers") -> dict[str, np.ndarray]:
    """Return the weights of a model as PyTorch names and lays them out.

    Parameters
    ----------
    model : Sequential
        Built.
    names : "numbers" or "layers"
        Which keys. "numbers" are those of a `torch.nn.Sequential` of the equivalent modules, "0.weight". The
        modules are counted so: a convolution or a dense layer with an activation is two modules, a
        SeparableConv2D is two convolutions, a convolution whose padding is uneven has a ZeroPad2d before it,
        a global pool is two modules (AdaptiveAvgPool2d, Flatten), and each other layer is one. "layers" are
        the layers' own names, "conv2d_1.weight".

    Returns
    -------
    dict of str to ndarray
        Copies, in the model's dtype, in the order of the layers. `torch.as_tensor` makes tensors of them.

    Raises
    ------
    ValueError
        For a model that is not built, or layers that PyTorch has no module for.

    Notes
    -----
    Predictions agree if the modules have the settings of the layers. A BatchNorm needs the layer's epsilon as
    its `eps`; its `momentum` is 1 minus the layer's. In training, PyTorch averages variances of N values
    times N / (N - 1), tinycnn and Keras do not. The activation "leaky_relu" has the slope 0.2.

    Examples
    --------
    >>> from tinycnn import Sequential
    >>> from tinycnn.layers import Conv2D, Dense, Flatten
    >>> layers = [Conv2D(3, 2, activation="relu"), Flatten(), Dense(5)]
    >>> model = Sequential(layers, input_shape=(4, 6, 2), seed=0)
    >>> {name: array.shape for name, array in to_torch_state_dict(model).items()}
    {'0.weight': (3, 2, 2, 2), '0.bias': (3,), '3.weight': (5, 45), '3.bias': (5,)}
    """
    checks.choice("names", names, ("numbers", "layers"))
    return state_dict(modules(model.get_config()), dict(model.named_weights()), names == "layers")


def state_dict(
    modules: list[Module], weights: dict[str, np.ndarray], by_layers: bool = False
) -> dict[str, np.ndarray]:
    """Return "module.tensor" and values, given the weights by "layer/weight"; see `to_torch_state_dict`."""
    found = {}
    for module in modules:
        prefix = module.name if by_layers else module.number
        is_affine = any(tensor.weight for tensor in module.tensors if tensor.name in ("weight", "bias"))
        for tensor in module.tensors:
            if tensor.weight:
                array = tensor.from_weight(weights[f"{module.layer}/{tensor.weight}"])
            elif is_affine:
                array = np.full(tensor.shape, tensor.constant, next(iter(weights.values())).dtype)
            else:  # `affine=False`
                continue
            found[f"{prefix}.{tensor.name}"] = array
    return found


def from_torch_state_dict(model: Model, state_dict: Mapping[str, Any]) -> None:
    """Copy the weights of a PyTorch module into a model.

    Parameters
    ----------
    model : Sequential
        Built.
    state_dict : dict of str to torch.Tensor or ndarray
        `module.state_dict()`, or a checkpoint that has one as "state_dict", "model_state_dict", "model" or
        "net". The modules must stand in the order in which they compute. Their names do not matter, nor what
        Lightning, `DistributedDataParallel` or `torch.compile` put before them. Values of half precision are
        converted.

    Raises
    ------
    ValueError
        When kinds, numbers or shapes of the modules do not fit the layers; the message gives both lists. Then
        nothing changes.

    Notes
    -----
    See `to_torch_state_dict`. Where a convolution is flattened, the weights of the next dense layer are put
    into the order (H, W, C).
    """
    config = model.get_config()
    values = weights(config, stored(state_dict))
    model.set_weights([array for _, array in values])


def stored(state_dict: Any) -> Tensors:
    """Return the tensors of a state dict, or of a checkpoint that holds one, not yet converted."""
    if not isinstance(state_dict, Mapping):
        cure = "; give module.state_dict()" if hasattr(state_dict, "state_dict") else ""
        raise checks.ArgumentTypeError(
            f"state_dict: expected a dictionary of tensors, received {type(state_dict).__name__}{cure}"
        )
    inner = [state_dict[name] for name in HOLDERS if isinstance(state_dict.get(name), Mapping)]
    found = {}
    for name, value in (*inner, state_dict)[0].items():
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if not isinstance(name, str) or shape is None or dtype is None:
            raise ValueError(
                f"state_dict: expected tensors by name, received {type(value).__name__} for {name!r:.100}"
                f"{_cure(name, value)}"
            )
        found[name] = Stored(tuple(shape), _dtype_name(dtype), partial(_array, name, value))
    return found


def _cure(name: Any, value: Any) -> str:
    """Return what to do about an entry of a checkpoint that is no tensor; empty where that is not known."""
    if hasattr(value, "state_dict"):
        return f"; give checkpoint[{name!r:.100}].state_dict()"
    if not isinstance(value, Mapping):
        return ""
    return (
        f"; of a checkpoint, {', '.join(HOLDERS)} is read; give another entry, checkpoint[{name!r:.100}], to "
        "tinycnn.saving.from_torch_state_dict"
    )


def _dtype_name(dtype: Any) -> str:
    """Return the name of a dtype of NumPy or of PyTorch."""
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


def _array(name: str, value: Any) -> np.ndarray:
    """Return a tensor, or an array of another library, as an array of NumPy's."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            if _dtype_name(value.dtype) == "bfloat16":  # which NumPy does not have
                value = value.float()
            value = value.numpy()
        array = np.asarray(value)
    except (TypeError, RuntimeError) as error:  # of a sparse tensor, or of one without values
        raise ValueError(f"{name}: expected a tensor that NumPy can convert: {error}") from error
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def is_torch(names: Sequence[str]) -> bool:
    """Return whether all names end as those of PyTorch's modules do."""
    return bool(names) and all(name.rpartition(".")[2] in NAMES for name in names)


def weights(config: dict[str, Any], tensors: Tensors, in_order: bool = True) -> list[tuple[str, np.ndarray]]:
    """Return the tensors of PyTorch's modules as the weights of a model, in its order and dtype.

    Parameters
    ----------
    config : dict
        A `Snapshot.config` of a built model.
    tensors : dict of str to Stored
        "module.tensor" and what is stored.
    in_order : bool
        Whether the modules stand in the order in which they compute. Otherwise they are found by name, if
        all names are those of layers or their numbers, or by shape, and among equal shapes by the numbers in
        their names.

    Raises
    ------
    ValueError
        When they do not fit, or the order of two modules is unknown.
    """
    wanted, received = modules(config), _by_module(tensors)
    pairs = _paired(wanted, received) if in_order else _matched(wanted, received)
    dtype, shapes, values = np.dtype(config["dtype"]), weight_shapes(config), {}
    for module, (name, own) in pairs:
        for tensor in module.tensors:
            if tensor.name not in own:
                continue
            label = f"{name}.{tensor.name}".lstrip(".")
            array = own[tensor.name].values(label, dtype)
            if tensor.weight:
                weight = f"{module.layer}/{tensor.weight}"
                values[weight] = tensor.to_weight(array, shapes[weight])
            elif not (array == tensor.constant).all():
                raise ValueError(
                    f"{label}: expected {tensor.constant:g} everywhere, since {module.layer} has no such "
                    "weight, received others"
                )
    return [(name, values[name]) for name in shapes]


def _by_module(tensors: Tensors) -> dict[str, Tensors]:
    """Return the tensors of each module by their own names, without counters."""
    found: dict[str, Tensors] = {}
    for key, tensor in tensors.items():
        module, _, name = key.rpartition(".")
        if name not in COUNTERS:
            found.setdefault(module, {})[name] = tensor
    return found


def _paired(wanted: list[Module], received: dict[str, Tensors]) -> list[Pair]:
    """Return the modules of the model with those of the file, in the order of both; raise unless all fit."""
    pairs = list(zip_longest(wanted, received.items()))
    for module, found in pairs:
        if module is None or found is None or not _fits(module, found[1]):
            expected = "no more modules" if module is None else f"the module {module.name} {_listed(module)}"
            actual = "no more" if found is None else f"{found[0] or NAMELESS} {listed(_shapes(found[1]))}"
            everything = [f"{m.name} {_listed(m)}" for m in wanted], [name or NAMELESS for name in received]
            raise ValueError(
                f"expected {expected}, received {actual}; expected in all "
                f"{'; '.join(everything[0]):.400}, received the modules {', '.join(everything[1]):.400}"
            )
    return pairs


def _fits(module: Module, own: Tensors) -> bool:
    """Return whether a module of a file has the tensors of one of the model; constant ones may be missing."""
    wanted = {tensor.name: tensor.shape for tensor in module.tensors}
    needed = {tensor.name for tensor in module.tensors if tensor.weight}
    return needed <= set(own) and all(wanted.get(name) == tensor.shape for name, tensor in own.items())


def _shapes(own: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in own.items()}


def _listed(module: Module) -> str:
    return listed({tensor.name: tensor.shape for tensor in module.tensors})


def _matched(wanted: list[Module], received: dict[str, Tensors]) -> list[Pair]:
    """Return the modules of the model with those of a file that has lost their order."""
    for names in ([module.name for module in wanted], [str(module.number) for module in wanted]):
        if set(names) == set(received):
            return _paired(wanted, {name: received[name] for name in names})
    queues: dict[Any, list[str]] = {}
    for name in sorted(received, key=_natural):
        queues.setdefault(_signature(_shapes(received[name])), []).append(name)
    for names in queues.values():
        if len({re.sub(r"\d+", "#", name) for name in names}) > 1:
            raise ValueError(
                f"the modules {', '.join(names):.300} have the same shapes, and the file has not kept their "
                "order: name them as the layers are named, or call "
                "tinycnn.saving.from_torch_state_dict(model, module.state_dict())"
            )
    order = []
    for module in wanted:
        queue = queues.get(_signature({tensor.name: tensor.shape for tensor in module.tensors}), [])
        order += [queue.pop(0)] if queue else []
    rest = [name for name in sorted(received, key=_natural) if name not in order]
    return _paired(wanted, {name: received[name] for name in order + rest})


def _signature(shapes: Mapping[str, tuple[int, ...]]) -> tuple[bool, tuple[int, ...]]:
    """Return whether a module normalises, and the shape of its weight: what tells modules apart."""
    normalises = "running_mean" in shapes
    return normalises, shapes.get("running_mean" if normalises else "weight", ())


def _natural(name: str) -> list[Any]:
    """Return a key that sorts "conv10" after "conv2"."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]
