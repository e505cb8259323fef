"""The width of vectors; and the tests of the kernels once more, for the vectors of other processors."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite.binding import FeatureMap

from tinycnn.kernels.primitives import simd
from tinycnn.kernels.primitives.simd import REGISTER_BLOCK, VECTOR_BYTES

TESTS = Path(__file__).parents[2]
# What is computed with explicit vectors.
VECTORS = [
    *("kernels/conv", "kernels/dense", "kernels/fused", "kernels/test_algorithms.py", "kernels/test_warp.py"),
    *(f"kernels/primitives/test_{name}.py" for name in ("epilogue", "gemm", "philox", "sparse_rows")),
]


def python(code, **environment):
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


WIDTH = """
from tinycnn.kernels.primitives.simd import REGISTER_BLOCK, VECTOR_BYTES
print(VECTOR_BYTES, *REGISTER_BLOCK)
"""


@pytest.mark.slow
def test_the_width_is_the_processors_unless_forced():
    """A forced one is obeyed, another is refused."""
    if "TINYCNN_VECTOR_BYTES" not in os.environ:
        assert python(WIDTH) == f"{VECTOR_BYTES} {REGISTER_BLOCK[0]} {REGISTER_BLOCK[1]}\n"
    other = 16 if VECTOR_BYTES != 16 else 32
    assert python(WIDTH, TINYCNN_VECTOR_BYTES=str(other)).split()[0] == str(other)
    with pytest.raises(AssertionError, match="TINYCNN_VECTOR_BYTES: expected 16, 32 or 64, received '8'"):
        python(WIDTH, TINYCNN_VECTOR_BYTES="8")


def run_tests(paths, cache, **variables):
    """Run fast tests with a cache of their own, since the usual one keeps one width only."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **variables}
    done = subprocess.run(
        command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("width", [width for width in (16, 32, 64) if width != VECTOR_BYTES])
def test_every_other_width(width, tmp_path):
    """Also wider than the processor's: LLVM splits what is too wide."""
    paths = [str(TESTS / path) for path in VECTORS]
    assert " passed" in run_tests(paths, tmp_path, TINYCNN_VECTOR_BYTES=str(width))


@pytest.mark.slow
@pytest.mark.skipif(VECTOR_BYTES < 32, reason="a processor without AVX2 cannot stand in for one with it")
def test_another_processor(tmp_path):
    """Numba told to compile for Haswell: vectors of 32 bytes, and half the registers."""
    paths = [str(TESTS / path) for path in (*VECTORS, "execution")]
    assert " passed" in run_tests(paths, tmp_path, NUMBA_CPU_NAME="haswell")


def test_features_that_llvm_cannot_detect_are_no_error(monkeypatch):
    """As on some processors other than x86; Numba compiles for the name of the processor then."""

    def fail():
        raise RuntimeError("failed to get host cpu features.")

    monkeypatch.setattr(simd.llvm, "get_host_cpu_features", fail)
    monkeypatch.setattr(simd.config, "CPU_FEATURES", None)
    assert simd._widest_registers() in (16, 32, 64)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="AVX is of x86")
def test_vectors_are_not_wider_than_what_numba_compiles_for(monkeypatch):
    """On a processor with AVX-512, as far as LLVM can tell."""
    features = FeatureMap(dict.fromkeys(["sse2", "avx", "avx2", "avx512f"], True))
    monkeypatch.setattr(simd.llvm, "get_host_cpu_features", lambda: FeatureMap(features))
    monkeypatch.setattr(simd.llvm, "get_host_cpu_name", lambda: "znver4")
    monkeypatch.setattr(simd.config, "CPU_NAME", None)
    monkeypatch.setattr(simd.config, "CPU_FEATURES", None)
    monkeypatch.setattr(simd.config, "ENABLE_AVX", 1)
    assert simd._widest_registers() == 64
    monkeypatch.setattr(simd.config, "ENABLE_AVX", 0)
    assert simd._widest_registers() == 16
