"""Weights in files that know of arrays and their names only: which array is which weight.

::

    arrays by name -> weights -> ("layer/weight", values) in the order of the model

============================================  =====================================================
names in the file                             read as
============================================  =====================================================
conv2d_1/kernel or conv2d_1.kernel, ...       the weights of those names, in tinycnn's layout
arr_0, arr_1, ...                             the weights in their order: `np.savez(path, *weights)`
0.weight, conv.weight, norm.running_mean ...  PyTorch's; see `tinycnn.saving.torch_state`
============================================  =====================================================
"""

from typing import Any

import numpy as np

from tinycnn.saving import torch_state
from tinycnn.saving.stored import Stored, listed
from tinycnn.saving.structure import weight_shapes


def weights(
    config: dict[str, Any], arrays: dict[str, Stored], in_order: bool
) -> list[tuple[str, np.ndarray]]:
    """Return the weights of a model from named arrays. An array is read only if its shape is the weight's.

    Parameters
    ----------
    config : dict
        A `Snapshot.config` of a built model.
    arrays : dict of str to Stored
    in_order : bool
        Whether the file has kept the order in which the arrays were given.

    Raises
    ------
    ValueError
        When they do not fit, with both lists.
    """
    shapes = weight_shapes(config)
    dotted = [".".join(name.rsplit("/", 1)) for name in shapes]
    for names in (list(shapes), dotted, [f"arr_{i}" for i in range(len(shapes))]):
        if set(names) == set(arrays):
            found = {name: arrays[name] for name in names}
            if [array.shape for array in found.values()] != list(shapes.values()):
                received = listed({name: array.shape for name, array in found.items()})
                raise ValueError(f"weights: expected {listed(shapes)}, received {received}")
            dtype = np.dtype(config["dtype"])
            pairs = zip(shapes, found.items(), strict=True)
            return [(own, array.values(name, dtype)) for own, (name, array) in pairs]
    if torch_state.is_torch(list(arrays)):
        return torch_state.weights(config, arrays, in_order)
    received = listed({name: array.shape for name, array in arrays.items()})
    raise ValueError(
        f"weights: expected {listed(shapes)}, or arr_0, arr_1, ... in this order, or the names of PyTorch's "
        f"modules, received {received}"
    )
