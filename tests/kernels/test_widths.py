"""The tests of the kernels once more, for the vectors of other processors. Slow: each compiles everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinycnn.kernels.simd import VECTOR_BYTES

FOLDER = Path(__file__).parent
# Without explicit vectors, or about choices, memory, processes and files: the width is nothing to them.
OTHERS = {
    *("adam_kernel", "buffers", "cachefile", "explanation", "geometry", "jit", "kernel_arrays"),
    *("kernel_errors", "naive", "random_bits", "selection", "turns", "widths"),
}


def files():
    """Every file of tests in this folder but those: a new one is not forgotten."""
    found = [path.name for path in sorted(FOLDER.glob("test_*.py"))]
    return [name for name in found if name[len("test_") : -len(".py")] not in OTHERS]


def run_tests(files, cache, **variables):
    """Run fast tests with a cache of their own, since the usual one keeps one width only."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(FOLDER.parents[1]),
        "NUMBA_CACHE_DIR": str(cache),
        **variables,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False
    )  # pytest finds its settings above the folder
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_files_that_are_left_out_exist():
    """A file that was renamed would be run, or not, for the wrong reason."""
    assert {f"test_{name}.py" for name in OTHERS} <= {path.name for path in FOLDER.iterdir()}
    run = {"algorithms", "dense_kernel", "epilogue", "microkernel", "pooled", "winograd", "winograd_pool"}
    assert {f"test_{name}.py" for name in run} <= set(files())


@pytest.mark.slow
@pytest.mark.parametrize("width", [width for width in (16, 64) if width != VECTOR_BYTES])
def test_every_other_width(width, tmp_path):
    """Also wider than the processor's: LLVM splits what is too wide. (32 is below.)"""
    vectors = [f"test_{name}.py" for name in ("algorithms", "microkernel", "pooled", "winograd")]
    assert " passed" in run_tests(vectors, tmp_path, TINYCNN_VECTOR_BYTES=str(width))


@pytest.mark.slow
@pytest.mark.skipif(VECTOR_BYTES < 32, reason="a processor without AVX2 cannot stand in for one with it")
def test_another_processor(tmp_path):
    """Numba told to compile for Haswell: vectors of 32 bytes, and half the registers."""
    networks = "../test_stages.py", "../test_chains.py"
    assert " passed" in run_tests([*files(), *networks], tmp_path, NUMBA_CPU_NAME="haswell")
