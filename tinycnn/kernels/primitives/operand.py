"""Operands of the micro-kernels: matrices in memory, given by an address and strides.

::

    array, strides in elements -> operand -> Operand -> gemm, add_rows, transform2d

A micro-kernel does not ask for the shape of an array: it advances from an address by strides. So the rows of
a matrix may overlap, as the patches of an image do, and arrays of two to five axes are the same type to it:
it is compiled once.
"""

from typing import Any, NamedTuple

from numba import types
from numba.extending import intrinsic


class Operand(NamedTuple):
    """A matrix in memory: element (i, o, k) is `start` + i * `row` + o * `outer` + k * `inner`.

    Attributes
    ----------
    start : pointer
        The address of the first element.
    row, outer, inner : int
        Strides in elements: of the rows, and along the two indices of a sum (see `gemm`).
    """

    start: Any
    row: int
    outer: int
    inner: int


def operand_type(real: types.Float) -> types.Type:
    """Return Numba's type of an `Operand` of float32 or float64."""
    return types.NamedTuple((types.CPointer(real), types.int64, types.int64, types.int64), Operand)


def array_type(real: types.Float, axes: int) -> types.Type:
    """Return Numba's type of a contiguous array of float32 or float64."""
    return types.Array(real, axes, "C")


def unpack(builder: Any, value: Any) -> Operand:
    """Return the four fields of an `Operand` inside the code generator of an intrinsic."""
    return Operand(*(builder.extract_value(value, field) for field in range(4)))


@intrinsic
def operand(typingctx, array, start=0, row=0, outer=0, inner=0):
    """Return the `Operand` that begins `start` elements after the first element of a contiguous array.

    It does not keep the array alive: what called the jitted function does.
    """

    def codegen(context, builder, signature, args):
        array, start, *distances = args
        data = context.make_array(signature.args[0])(context, builder, array).data
        return context.make_tuple(builder, signature.return_type, (builder.gep(data, [start]), *distances))

    return operand_type(array.dtype)(array, *[types.int64] * 4), codegen
