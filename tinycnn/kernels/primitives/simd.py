"""Explicit vectors: the few LLVM instructions that the micro-kernels are written in.

::

    Numba's types and values -> Simd (load, store, broadcast, fma, loop, switch) -> LLVM instructions

Numba vectorises plain loops by itself, and well, as long as one loop meets two or three arrays. A kernel
that keeps 24 accumulators in registers, or 36 tile elements in flight, is beyond that: the compiler must
prove that no two pointers meet, gives up, and falls back to one number at a time. So the kernels say
themselves what is a vector. They do it inside `numba.extending.intrinsic`, where a Python function writes
the instructions once, at compile time; nothing of this module runs when a kernel runs.

The width is asked of the compiler: 64 bytes (AVX-512), 32 (AVX2) or 16 (NEON, SSE). The environment's
TINYCNN_VECTOR_BYTES forces one, so that every width can be tested on one machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.core.codegen import get_host_cpu_features

I64 = ir.IntType(64)


def _widest_registers() -> int:
    """Return the bytes of the widest vector register of the processor that is compiled for.

    It compiles an addition of 16 floats and looks for the registers in the assembly: zmm (64 bytes), ymm (32)
    or less. With NUMBA_CPU_NAME set, that is for the named processor, and not for the one at hand. Features
    are those that Numba compiles for: fewer under NUMBA_ENABLE_AVX=0, none where LLVM cannot detect any.
    """
    named, features = config.CPU_NAME, config.CPU_FEATURES  # type: ignore[attr-defined]
    if features is None:
        features = "" if named else get_host_cpu_features()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(cpu=named or llvm.get_host_cpu_name(), features=features)
    module = llvm.parse_assembly(
        f'target triple = "{machine.triple}"\n'
        "define <16 x float> @add(<16 x float> %a, <16 x float> %b) {\n"
        "  %c = fadd <16 x float> %a, %b\n  ret <16 x float> %c\n}"
    )
    assembly = machine.emit_assembly(module)
    return 64 if "%zmm" in assembly else 32 if "%ymm" in assembly else 16


def _vector_bytes() -> int:
    forced = os.environ.get("TINYCNN_VECTOR_BYTES")
    if forced is None:
        return _widest_registers()
    if forced not in ("16", "32", "64"):
        raise ValueError(f"TINYCNN_VECTOR_BYTES: expected 16, 32 or 64, received {forced!r}")
    return int(forced)


VECTOR_BYTES = _vector_bytes()
ARM = llvm.get_default_triple().startswith(("aarch64", "arm64"))  # the latter on macOS
#: Rows and vectors of the block of C that a micro-kernel holds in registers; see `gemm`.
REGISTER_BLOCK = {64: (6, 4), 32: (6, 2), 16: (6, 4) if ARM else (6, 2)}[VECTOR_BYTES]


class Simd:
    """Writes vector instructions for one element type at one place in a function.

    Parameters
    ----------
    context, builder
        As Numba hands them to the code generator of an intrinsic.
    dtype : numba.types.float32 or float64

    Attributes
    ----------
    lanes : int
        Elements in a vector.
    """

    def __init__(self, context: Any, builder: ir.IRBuilder, dtype: types.Float) -> None:
        self.context, self.builder = context, builder
        self.scalar = ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.align = dtype.bitwidth // 8
        self._fma = f"llvm.fma.v{self.lanes}f{dtype.bitwidth}"

    def at(self, pointer: Any, offset: Any) -> Any:
        """Return the address `offset` elements on.

        Never through integers: LLVM may miscompile that.
        """
        offset = ir.Constant(I64, offset) if isinstance(offset, int) else offset
        return self.builder.gep(pointer, [offset])

    def times(self, value: Any, factor: int) -> Any:
        """Return an integer multiplied by a constant."""
        return self.builder.mul(value, ir.Constant(I64, factor))

    def load(self, pointer: Any) -> Any:
        """Return the vector at an address, which need not be a multiple of its size."""
        value = self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()))
        value.align = self.align
        return value

    def store(self, vector: Any, pointer: Any) -> None:
        """Write a vector to an address, which need not be a multiple of its size."""
        self.builder.store(vector, self.builder.bitcast(pointer, self.vector.as_pointer())).align = self.align

    def broadcast(self, pointer: Any) -> Any:
        """Return a vector of one element, repeated; on AVX-512 it becomes an operand of the FMA itself."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        zero = ir.Constant(ir.IntType(32), 0)
        first = self.builder.insert_element(undefined, self.builder.load(pointer), zero)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def constant(self, value: float) -> Any:
        """Return a vector of one number, repeated."""
        return ir.Constant(self.vector, [float(value)] * self.lanes)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once."""
        signature = ir.FunctionType(self.vector, [self.vector] * 3)
        # llvmlite cannot declare an intrinsic of vectors; by its name, LLVM knows it
        function = cgutils.get_or_insert_function(self.builder.module, signature, self._fma)
        return self.builder.call(function, [a, b, c])

    def switch(self, keys: Sequence[Any], cases: Mapping[tuple[int, ...], Callable[[], None]]) -> None:
        """Write one piece of code for each of some sizes, and a jump to the piece for `keys`.

        Parameters
        ----------
        keys : sequence of integer values
            Sizes, known when the kernel runs.
        cases : mapping
            From sizes, each from 0 to 255, to what writes the code for them. No other sizes may occur.
        """
        builder = self.builder
        # An empty instruction that LLVM cannot see through. Without it, most of the time of compilation is
        # spent on a search for stores in one iteration of the loop around that the next one loads.
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True)
        key = ir.Constant(I64, 0)
        for value in keys:
            key = builder.add(builder.shl(key, ir.Constant(I64, 8)), value)
        other, after = builder.append_basic_block("other"), builder.append_basic_block("after")
        jump = builder.switch(key, other)
        builder.position_at_end(other)
        builder.unreachable()
        for sizes, write in cases.items():
            block = builder.append_basic_block(f"case_{'_'.join(map(str, sizes))}")
            jump.add_case(ir.Constant(I64, int.from_bytes(sizes, "big")), block)
            builder.position_at_end(block)
            write()
            builder.branch(after)
        builder.position_at_end(after)

    def loop(
        self,
        count: Any,
        carried: Sequence[Any],
        body: Callable[[Sequence[Any]], Sequence[Any]],
        unroll: bool = True,
    ) -> list[Any]:
        """Write a loop that runs `count` times, also 0.

        Parameters
        ----------
        count : integer value
        carried : sequence of values
            Passed from one iteration to the next, in registers: pointers, accumulators.
        body : callable
            Given the values of an iteration, writes the instructions and returns those of the next.
        unroll : bool
            Whether LLVM may write the body several times over. That costs a loop of few iterations more than
            it saves: each time, pointers for all copies are computed before the first.

        Returns
        -------
        list of values
            Those after the last iteration.
        """
        builder = self.builder
        before = builder.block
        head, inside, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(I64)
        values = [builder.phi(value.type) for value in carried]
        index.add_incoming(ir.Constant(I64, 0), before)
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", index, count), inside, after)
        builder.position_at_end(inside)
        results = body(values)
        index.add_incoming(builder.add(index, ir.Constant(I64, 1)), builder.block)
        for phi, value in zip(values, results, strict=True):
            phi.add_incoming(value, builder.block)
        back = builder.branch(head)
        if not unroll:
            back.set_metadata("llvm.loop", self._never_unrolled())
        builder.position_at_end(after)
        return values

    def _never_unrolled(self) -> Any:
        """Return the metadata of one loop: a node whose first operand is itself, as LLVM wants it."""
        module = self.builder.module
        node = module.add_metadata([module.add_metadata(["llvm.loop.unroll.disable"])])
        node.operands = (node, *node.operands)
        return node
