"""The layers of a network as a list that can only be read.

::

    model.layers[1], len(model.layers), for layer in model.layers  -> as of any list
    model.layers.append(layer), model.layers[1] = layer            -> TypeError: call model.add or model.pop
"""

from __future__ import annotations

from typing import Any, NoReturn

from tinycnn.layers.base import Layer


class LayerList(list[Layer]):
    """The layers of a stack, to be read. `add` and `pop` of the stack change it."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("model.layers can only be read; call model.add(layer) or model.pop()")

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __reduce__(self) -> tuple[type[LayerList], tuple[list[Layer]]]:
        return type(self), (list(self),)
