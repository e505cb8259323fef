"""Kernels compiled once and called by symbol, instead of copied into each of their callers.

::

    @linked(types) -> machine code, compiled or loaded when a caller needs it -> a symbol
    a call in a jitted function -> a call of the symbol

Numba copies a jitted function into every jitted function that calls it, directly or not, and compiles the
copy again. For the innermost loops, thousands of unrolled instructions under a dozen callers, that was more
than half of the time that all kernels took to compile. A call costs nanoseconds, and these functions run for
microseconds.

A caller that comes from the cache on disk is linked when it is loaded, so its symbols have to be there by
then: `runtime.cache` finds their names in the caller's machine code, and makes them first.
"""

import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import llvmlite.binding as llvm
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinycnn.kernels.runtime.cache import SYMBOLS
from tinycnn.kernels.runtime.jit import jit

REALS = types.float32, types.float64


def linked(signature: Callable[[types.Float], tuple[types.Type, ...]]) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for float32 or float64 when a jitted function calls it. Use as a decorator.

    Parameters
    ----------
    signature : callable
        From the type of the numbers, float32 or float64, to the types of the function's arguments. At least
        one of them must depend on it.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        compiled = jit(function)
        # Python does not call it, so it needs no code that unpacks Python's objects
        compiled.targetoptions.update(no_cpython_wrapper=True, no_cfunc_wrapper=True)

        @cache
        def make(real: types.Float) -> types.Type:
            """Make the symbol for float32 or float64; return the type of the function's result."""
            compiled.compile(signature(real))
            result = compiled.overloads[signature(real)]
            address = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
            llvm.add_symbol(_symbol(function, real), address)
            return result.signature.return_type

        for real in REALS:
            SYMBOLS[_symbol(function, real)] = partial(make, real)
        return _call_of(function, signature, make)

    return decorate


def _symbol(function: Callable[..., Any], real: types.Float) -> str:
    return f"{function.__module__}.{function.__name__}.{real}"


def _call_of(
    function: Callable[..., Any],
    signature: Callable[[types.Float], tuple[types.Type, ...]],
    make: Callable[[types.Float], types.Type],
) -> Any:
    """Return the intrinsic that calls the symbol whose arguments are those of the call."""

    def call(typingctx, *given):
        for real in REALS:
            arguments = signature(real)
            if all(typingctx.can_convert(*pair) is not None for pair in zip(given, arguments, strict=True)):
                returned = make(real)
                return returned(*arguments), _calling(_symbol(function, real), arguments, returned)
        return None

    parameters = inspect.signature(function).parameters.values()
    first = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    call.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
    call.__name__, call.__doc__, call.__module__ = function.__name__, function.__doc__, function.__module__
    return intrinsic(call)


def _calling(symbol: str, arguments: tuple[types.Type, ...], returned: types.Type) -> Callable[..., Any]:
    """Return the code generator for a call of the symbol, in Numba's own calling convention."""

    def codegen(context, builder, signature, args):
        convention = context.call_conv
        entry = cgutils.get_or_insert_function(
            builder.module, convention.get_function_type(returned, arguments), symbol
        )
        status, result = convention.call_function(builder, entry, returned, arguments, args)
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return result

    return codegen
