"""Parallel loops: the body is a jitted function, called for each index, on all of Numba's threads.

::

    parallel_for(body, count, operands) -> body(i, *operands) for i in range(count), shared out

It does what `numba.prange` does, with the same threads, but compiles faster. Of a loop over `prange` Numba
makes a function, a wrapper, a wrapper with threads, and the function that has the loop; LLVM optimises the
body in each of them. That was half of the time that all kernels took to compile. Here a body is compiled as
any other function. In the caller, `parallel_for` stores the operands in a frame on the stack and calls
Numba's `numba_parallel_for`. It adds two small functions, written in LLVM's terms:

    run        called on each thread, with the first index and the number of its indices
    share      called by `run` for one index; it calls the body with the operands of the frame
"""

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.callconv import RETCODE_OK, Status, excinfo_ptr_t
from numba.extending import intrinsic

from tinycnn.kernels.runtime.cache import SYMBOLS

POINTER = ir.IntType(8).as_pointer()
INDEX = ir.IntType(64)
SHARE = types.int64, types.voidptr  # the types of share's arguments
TUPLES = types.Tuple, types.UniTuple, types.NamedTuple, types.NamedUniTuple
OPERANDS, CODE, ERROR = 0, 1, 2  # the fields of a frame


@intrinsic
def parallel_for(typingctx, body, count, operands):
    """Call `body(i, *operands)` for each i in range(count), in no order, on all threads.

    Parameters
    ----------
    body : jitted function of an int64 and the operands
        It returns nothing. When it raises, the loop goes on, and then its error is raised; of several, one.
    count : int
    operands : tuple

    Raises
    ------
    TypingError
        When the caller is compiled, if the body returns something.

    Notes
    -----
    With OpenMP and "workqueue" a thread takes one run of indices; TBB shares them out as it goes. Python
    code must call the enclosing jitted function inside `with threads.guard:`.
    """
    start_threads()
    signature = typingctx.resolve_function_type(body, (types.int64, *operands.types), {})
    if signature.return_type != types.none:
        raise numba.TypingError(f"parallel_for: expected a body that returns nothing, received {body}")

    def codegen(context, builder, _, args):
        frame = _frame(builder, _without_owners(context, builder, operands, args[2]))
        share = _share(context, builder, body, signature, frame.type)
        run = _run(context, builder, share, frame.type)
        _call_threads(builder, run, args[1], frame)
        _raise_error(context, builder, frame)
        return context.get_dummy_value()

    return types.none(body, types.int64, operands), codegen


def start_threads() -> None:
    """Start Numba's threads, if they are not there; then LLVM knows its symbols."""
    numba.get_num_threads()


SYMBOLS["numba_parallel_for"] = start_threads


def _without_owners(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return the operands as arrays that own nothing: the caller keeps the memory for as long as they exist.

    Numba counts the references to the memory of an array, and a slice is one. Threads that slice the same
    array would otherwise wait for each other to count.
    """
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, TUPLES):
        parts = zip(kind.types, cgutils.unpack_tuple(builder, value), strict=True)
        return context.make_tuple(builder, kind, [_without_owners(context, builder, *part) for part in parts])
    return value


def _frame(builder: Any, operands: Any) -> Any:
    """Return a pointer to a frame with the operands and no error."""
    frame = cgutils.alloca_once(
        builder, ir.LiteralStructType([operands.type, RETCODE_OK.type, excinfo_ptr_t])
    )
    builder.store(operands, _field(builder, frame, OPERANDS))
    builder.store(RETCODE_OK, _field(builder, frame, CODE))
    return frame


def _field(builder: Any, frame: Any, number: int) -> Any:
    """Return a pointer to a field of a frame."""
    return cgutils.gep_inbounds(builder, frame, 0, number)


def _share(context: Any, builder: Any, body: Any, signature: Any, frame_type: Any) -> Any:
    """Return share(index, frame), in Numba's calling convention: it calls the body for one index."""
    function_type = context.call_conv.get_function_type(types.none, SHARE)
    function, inside = _function(builder.module, function_type, "share")
    index, frame = context.call_conv.get_arguments(function)
    operands = inside.load(_field(inside, inside.bitcast(frame, frame_type), OPERANDS))
    call = context.get_function(body, signature)
    call(inside, [index, *cgutils.unpack_tuple(inside, operands)])
    context.add_linking_libs(getattr(call, "libs", ()))
    context.call_conv.return_value(inside, context.get_dummy_value())
    return function


def _run(context: Any, builder: Any, share: Any, frame_type: Any) -> Any:
    """Return run(args, dimensions, steps, frame), in the convention of NumPy's ufuncs.

    There are dimensions[0] indices, and args[0] is the first of them: as a pointer it starts at 0 and steps
    by 1 byte.
    """
    function_type = ir.FunctionType(ir.VoidType(), [POINTER.as_pointer(), *[INDEX.as_pointer()] * 2, POINTER])
    function, inside = _function(builder.module, function_type, "run")
    args, dimensions, _, frame = function.args
    first = inside.ptrtoint(inside.load(args), INDEX)
    with cgutils.for_range(inside, inside.load(dimensions)) as loop:
        operands = [inside.add(first, loop.index), frame]
        status, _ = context.call_conv.call_function(inside, share, types.none, SHARE, operands)
        with cgutils.if_unlikely(inside, status.is_error):
            here = inside.bitcast(frame, frame_type)
            inside.store(status.code, _field(inside, here, CODE))
            inside.store(status.excinfoptr, _field(inside, here, ERROR))
    inside.ret_void()
    return function


def _function(module: Any, function_type: Any, name: str) -> Any:
    """Return a new function of the module, and a builder in it."""
    function = ir.Function(module, function_type, module.get_unique_name(name))
    function.linkage = "internal"
    return function, ir.IRBuilder(function.append_basic_block())


def _call_threads(builder: Any, run: Any, count: Any, frame: Any) -> None:
    """Let the threads call run(args, dimensions, steps, frame) for parts of the indices."""
    threads = cgutils.get_or_insert_function(builder.module, ir.FunctionType(INDEX, []), "get_num_threads")
    loop = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [POINTER] * 5 + [INDEX] * 3), "numba_parallel_for"
    )
    args = cgutils.alloca_once_value(builder, ir.Constant(POINTER, None))
    dimensions = cgutils.alloca_once_value(builder, count)
    steps = cgutils.alloca_once_value(builder, INDEX(1))
    pointers = [builder.bitcast(pointer, POINTER) for pointer in (run, args, dimensions, steps, frame)]
    with cgutils.if_likely(builder, builder.icmp_signed(">", count, INDEX(0))):
        builder.call(loop, [*pointers, INDEX(0), INDEX(1), builder.call(threads, [])])


def _raise_error(context: Any, builder: Any, frame: Any) -> None:
    """Raise what a body has raised, if one has."""
    code = builder.load(_field(builder, frame, CODE))
    with cgutils.if_unlikely(builder, builder.icmp_signed("!=", code, RETCODE_OK)):
        unused = dict.fromkeys(Status._fields)
        error = builder.load(_field(builder, frame, ERROR))
        status = Status(**{**unused, "code": code, "excinfoptr": error})
        context.call_conv.return_status_propagate(builder, status)
