"""Parallel loops: every index once, operands of every kind, errors, and any number of threads."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pytest
from numba import get_thread_id

import tinycnn
from tinycnn.kernels.runtime import threads
from tinycnn.kernels.runtime.jit import jit
from tinycnn.kernels.runtime.parallel import parallel_for

ROOT = Path(tinycnn.__file__).parent.parent


class Line(NamedTuple):
    """Numbers with a slope, as an operand that is a named tuple."""

    start: np.ndarray
    slope: float


@jit
def _fill_row(i, y, line, sizes, negative):
    rows, columns = sizes
    for j in range(columns):
        value = line.start[i % rows] + line.slope * j
        y[i, j] += -value if negative else value


@jit
def fill(y, line, sizes, negative):
    """y[i, j] += start[i] + slope * j, or its negative."""
    parallel_for(_fill_row, len(y), (y, line, sizes, negative))


@jit
def _refuse(i, seen, bad):
    seen[i] = 1
    if i in bad:
        raise ValueError("refused")


@jit
def refuse(seen, bad):
    """Raise a ValueError if an index is among the bad ones."""
    parallel_for(_refuse, len(seen), (seen, bad))


@jit
def _note_thread(i, y):
    y[i] = get_thread_id()


@jit
def note_threads(y):
    """y[i] = the thread of index i."""
    parallel_for(_note_thread, len(y), (y,))


@jit
def _twice(i, y):
    y[i] *= 2
    return y[i]


@jit
def returning(y):
    """A body that returns something, which is an error."""
    parallel_for(_twice, len(y), (y,))


@pytest.fixture(params=range(1, numba.config.NUMBA_NUM_THREADS + 1))
def number_of_threads(request):
    """Each number of threads that this machine has, in turn."""
    numba.set_num_threads(request.param)
    yield request.param
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 103])
@pytest.mark.parametrize("negative", [False, True])
def test_each_index_is_called_once(number_of_threads, count, negative):
    y, start = np.zeros((count, 5), np.float32), np.arange(3, dtype=np.float32)
    with threads.guard:
        fill(y, Line(start, 0.5), (3, 5), negative)
    expected = start[np.arange(count) % 3, None] + 0.5 * np.arange(5)
    np.testing.assert_array_equal(y, -expected if negative else expected)


def test_operands_may_be_slices_and_read_only():
    y, start = np.zeros((11, 10)), np.arange(6.0)
    start.flags.writeable = False
    with threads.guard:
        fill(y[::2, 1:6], Line(start[::2], 1.0), (3, 5), False)
    assert y[1::2].sum() == y[:, 0].sum() == y[:, 6:].sum() == 0
    np.testing.assert_array_equal(y[::2, 1:6], np.arange(6)[:, None] % 3 * 2 + np.arange(5))


@pytest.mark.parametrize("bad", [(0,), (12,), (6, 7), tuple(range(13))])
def test_an_error_is_raised_after_all_indices(number_of_threads, bad):
    seen = np.zeros(13)
    with pytest.raises(ValueError, match="refused"), threads.guard:
        refuse(seen, bad)
    np.testing.assert_array_equal(seen, 1)
    with threads.guard:
        refuse(seen, (99,))


def test_every_thread_gets_a_part(number_of_threads):
    y = np.full(97, -1)
    with threads.guard:
        note_threads(y)
    if numba.threading_layer() == "tbb":  # which shares out as it goes
        assert set(y) <= set(range(number_of_threads))
    else:
        assert set(y) == set(range(number_of_threads))


def test_a_body_that_returns_something_is_an_error():
    with pytest.raises(numba.TypingError, match="a body that returns nothing"):
        returning(np.ones(3))


def test_memory_is_counted_as_before():
    """A loop neither frees the memory of its operands nor keeps it."""
    y, start = np.zeros((7, 5)), np.arange(3.0)
    before = sys.getrefcount(y), sys.getrefcount(start)
    with threads.guard:
        fill(y, Line(start, 0.5), (3, 5), False)
    assert (sys.getrefcount(y), sys.getrefcount(start)) == before


@pytest.mark.slow
def test_a_loop_from_the_cache_starts_the_threads_of_a_new_process(tmp_path):
    """Machine code that is loaded names symbols that only exist when Numba's threads have started."""
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\n"
        "from tinycnn.kernels import moving_average\n"
        "average = np.zeros(20000)\n"
        "moving_average.update(average, np.ones(20000), 0.25)\n"
        "assert (average == 0.25).all()\n"
        "print(moving_average._update.stats.cache_hits)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    for hits in ("Counter()", "Array(float64"):
        done = subprocess.run(
            [sys.executable, program],
            capture_output=True,
            text=True,
            env=env,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert hits in done.stdout
