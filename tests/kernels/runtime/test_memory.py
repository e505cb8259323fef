"""Memory that is used again: aligned, large enough, and never taken from anybody who still holds it."""

import copy
import ctypes
import gc
import itertools
import pickle
import random
import sys
import threading
import weakref
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycnn import Sequential
from tinycnn.kernels.runtime import memory
from tinycnn.kernels.runtime.memory import (
    CACHE_LINE,
    SMALLEST_KEPT,
    aligned_empty,
    allocate,
    cached_bytes,
    contiguous,
    release,
)
from tinycnn.layers import Conv2D, Dense, Flatten, MaxPooling2D

SHAPE = 7, SMALLEST_KEPT  # of float32: well above what is left to NumPy


@pytest.fixture(autouse=True, scope="module")
def nothing_old_is_collected():
    """So that looking for garbage takes no time, and finds none that is not of these tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_waits():
    """Each test begins with an empty pool, in which the next array that dies is the first."""
    release()
    yield
    release()


def address(array):
    return array.__array_interface__["data"][0]


def fresh(value, shape=SHAPE):
    array = aligned_empty(shape, np.float32)
    array.fill(value)
    return array


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64, "u8"])
@pytest.mark.parametrize(
    "shape", [(), 0, 1, (0, 5), (3, 0), SMALLEST_KEPT - 1, SMALLEST_KEPT, (5, 7, SMALLEST_KEPT // 8 + 3)]
)
def test_shape_dtype_and_alignment(shape, dtype):
    """Of every array, also of those from memory that was used before."""
    for _ in range(4):
        array = aligned_empty(shape, dtype)
        assert array.shape == np.empty(shape).shape
        assert array.dtype == dtype
        assert address(array) % CACHE_LINE == 0 or not array.size
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.flags.aligned
        array[...] = 1
        del array


@settings(deadline=None, max_examples=200)
@given(st.integers(SMALLEST_KEPT, 2**34))
def test_a_piece_is_large_enough_and_not_much_larger(size):
    kept = piece_for(size)
    assert size <= kept <= size * 9 / 8
    assert piece_for(kept) == kept


def piece_for(size):
    """Return how large a piece of memory is asked for, without making it."""

    def refuse(asked):
        raise MemoryError(asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_fresh", refuse)
        with pytest.raises(MemoryError) as error:
            aligned_empty(size, np.uint8)
    return error.value.args[0] - CACHE_LINE


def test_arrays_on_one_piece():
    """Each on cache lines of its own; the piece waits when none of them is alive."""
    shapes = (3, 5), SMALLEST_KEPT, (0, 4), (2, 1, 7)
    arrays = allocate(*[(shape, np.float32) for shape in shapes])
    assert [a.shape for a in arrays] == [(3, 5), (SMALLEST_KEPT,), (0, 4), (2, 1, 7)]
    for i, a in enumerate(arrays):
        assert address(a) % CACHE_LINE == 0 or not a.size
        a.fill(i)
    for i, a in enumerate(arrays):
        assert (a == i).all()
    last = arrays.pop()
    del arrays, a
    assert cached_bytes() == 0
    del last
    assert cached_bytes() > 4 * SMALLEST_KEPT


@pytest.mark.parametrize("size", [SMALLEST_KEPT, 2**17 - 1, 2**17, 2**17 + 1, 9 * 2**14, 9 * 2**14 + 1])
def test_every_byte_is_the_arrays_own(size):
    """Two neighbours of odd sizes, filled to their ends."""
    arrays = [aligned_empty(size, np.uint8) for _ in range(4)]
    for i, array in enumerate(arrays):
        array.fill(i)
    for i, array in enumerate(arrays):
        assert (array == i).all()
        assert array.nbytes == size


def test_memory_is_used_again_after_death():
    array = fresh(1)
    where = address(array)
    assert cached_bytes() == 0
    del array
    assert cached_bytes() >= 4 * np.prod(SHAPE)
    again = aligned_empty((SHAPE[1], SHAPE[0] - 1), np.float32)  # a little smaller: of the same class or not
    another = fresh(2)
    assert address(another) == where
    assert cached_bytes() == 0
    assert not np.shares_memory(again, another)


def test_pieces_of_other_sizes_are_not_taken():
    small, large = fresh(1, 2**16), fresh(2, 2**18)
    where = address(small), address(large)
    del small, large
    assert address(fresh(3, 2**17)) not in where
    assert address(fresh(3, 2**18)) == where[1]
    assert address(fresh(3, 2**16)) == where[0]


def test_small_pieces_are_left_to_numpy():
    array = aligned_empty(SMALLEST_KEPT - 1, np.uint8)
    assert address(array) % CACHE_LINE == 0
    del array
    assert cached_bytes() == 0
    array = aligned_empty(SMALLEST_KEPT, np.uint8)
    del array
    assert cached_bytes() == SMALLEST_KEPT + CACHE_LINE


def raised_with(array):
    """An exception whose traceback holds the array."""
    try:
        raise KeyError(array.shape)
    except KeyError as error:
        return error


def closure_over(array):
    return lambda: array.shape


HOLDERS = {
    "itself": lambda a: a,
    "slice": lambda a: a[1:],
    "one element": lambda a: a[3:4, 5:6],
    "row": lambda a: a[2],
    "slice of a slice": lambda a: a[1:, ::3][::2][:, 5:][-1:],
    "reversed": lambda a: a[::-1, ::-1],
    "empty slice": lambda a: a[:0],
    "reshape": lambda a: a.reshape(-1),
    "transpose": lambda a: a.T,
    "new axis": lambda a: a[:, None],
    "bytes": lambda a: a.view(np.uint8),
    "subclass": lambda a: a.view(np.recarray),
    "no copy": lambda a: np.asarray(a[1:].astype(np.float32, copy=False)),
    "contiguous": contiguous,
    "iterator": lambda a: a.flat,
    "strided": lambda a: np.lib.stride_tricks.as_strided(a[1:], (5, 5), (0, 4)),
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a, (2, 2)),
    "broadcast": lambda a: np.broadcast_to(a[:1], (2, *SHAPE)),
    "memoryview": lambda a: memoryview(a)[1:],
    "from memoryview": lambda a: np.frombuffer(memoryview(a), np.uint8)[9:],
    "ctypes": lambda a: np.ctypeslib.as_ctypes(a),
    "pointer": lambda a: a.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
    "DLPack": np.from_dlpack,
    "masked": np.ma.masked_array,
    "partial": lambda a: partial(np.add, a[1]),
    "closure": closure_over,
    "exception": raised_with,
    "cycle": lambda a: (lambda box: box.append((box, a)) or box)([]),
    "generator": lambda a: (row.sum() for row in a),
}


@pytest.mark.parametrize("shape", [SHAPE, (3, SMALLEST_KEPT)], ids=str)
@pytest.mark.parametrize("name", HOLDERS)
def test_memory_that_somebody_holds_is_not_taken(name, shape):
    """However it is held. When the last holder is gone, it is."""
    array = fresh(3, shape)
    start, stop = address(array), address(array) + array.nbytes
    peek = np.ctypeslib.as_array((ctypes.c_float * array.size).from_address(start))
    holder = HOLDERS[name](array)
    del array
    gc.collect()
    assert cached_bytes() == 0
    others = [fresh(i, shape) for i in range(4)]
    assert all(address(a) >= stop or address(a) + a.nbytes <= start for a in others)
    assert (peek == 3).all()
    del others, holder
    gc.collect()
    addresses = [address(a) for a in [fresh(9, shape) for _ in range(5)]]
    assert start in addresses


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(SMALLEST_KEPT // 4, SMALLEST_KEPT), min_size=2))
def test_whatever_lives_keeps_its_content(seed, sizes):
    """Arrays come and go in any order; some are held by a view of their middle only."""
    chance = random.Random(seed)
    alive = []
    for value in range(40):
        if alive and chance.random() < 0.5:
            alive.pop(chance.randrange(len(alive)))
        array = aligned_empty(chance.choice(sizes), np.float32)
        array.fill(value)
        alive.append((array[chance.randrange(100) : -5 : chance.randint(1, 3)], value))
        assert all((view == number).all() for view, number in alive)


def test_arrays_that_are_alive_do_not_overlap():
    arrays = [fresh(i, 2**14 + 16 * i) for i in range(20)]
    del arrays[3::4]
    arrays += [fresh(i, 2**14 + 16 * i) for i in range(20)]
    spans = sorted((address(a), address(a) + a.nbytes) for a in arrays)
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(spans))


def test_no_more_waits_than_the_limit(monkeypatch):
    size = SMALLEST_KEPT
    piece = size + CACHE_LINE
    arrays = [aligned_empty(size, np.uint8) for _ in range(6)]
    monkeypatch.setattr(memory, "MAX_CACHED_BYTES", 3 * piece)
    seen = []
    while arrays:
        arrays.pop()
        seen.append(cached_bytes())
    assert seen == [piece, 2 * piece, 3 * piece, 3 * piece, 3 * piece, 3 * piece]
    monkeypatch.setattr(memory, "MAX_CACHED_BYTES", 4 * piece - 1)
    arrays = [aligned_empty(size, np.uint8) for _ in range(6)]
    assert cached_bytes() == 0
    arrays.clear()
    assert cached_bytes() == 3 * piece


def test_pieces_larger_than_the_limit_do_not_wait(monkeypatch):
    monkeypatch.setattr(memory, "MAX_CACHED_BYTES", 2**20)
    array = aligned_empty(2**20, np.uint8)
    del array
    assert cached_bytes() == 0


def test_release_gives_all_back_but_what_is_held():
    kept, lost = fresh(1), fresh(2)
    del lost
    assert cached_bytes() > 0
    release()
    assert cached_bytes() == 0
    assert (kept == 1).all()
    del kept
    assert cached_bytes() > 0  # what dies later waits as usual
    release()
    array = aligned_empty(SMALLEST_KEPT, np.uint8)
    del array
    where = weakref.ref(memory._free_blocks[SMALLEST_KEPT][0])
    gc.collect()
    assert where() is not None
    release()
    gc.collect()
    assert where() is None


@pytest.mark.parametrize(
    "twin",
    [
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(np.copy, id="np.copy"),
        *(
            pytest.param(partial(lambda p, a: pickle.loads(pickle.dumps(a, p)), p), id=f"pickle {p}")
            for p in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_copies_and_pickles_have_memory_of_their_own(twin):
    for original in (fresh(1), fresh(1)[1:, ::2]):
        other = twin(original)
        np.testing.assert_array_equal(other, original)
        assert not np.shares_memory(other, original)
        assert other.flags.writeable
    where = address(original)
    del original
    others = [fresh(5) for _ in range(3)]
    assert any(abs(address(a) - where) < 2**20 for a in others)
    assert (other == 1).all()


def test_a_pickle_that_shares_memory_keeps_it():
    """Protocol 5 may hand over the memory itself, out of band."""
    array, handed = fresh(1), []
    data = pickle.dumps(array, 5, buffer_callback=handed.append)
    del array
    gc.collect()
    other = pickle.loads(data, buffers=handed)
    del handed
    others = [fresh(7) for _ in range(3)]
    assert (other == 1).all()
    assert not any(np.shares_memory(a, other) for a in others)


def test_resizing_in_place_is_refused():
    """It would give NumPy's allocator memory that is not its own."""
    array = fresh(1)
    with pytest.raises(ValueError, match="resize"):
        array.resize((2, 3), refcheck=False)


def test_threads_that_allocate_at_once_never_share():
    """Eight threads, each fills, gives others a turn, and looks; arrays also die in other threads."""
    failures, started = [], threading.Barrier(8)
    box = []

    def work(number):
        chance = random.Random(number)
        held = []
        started.wait()
        for i in range(150):
            value = number * 1000 + i
            array = aligned_empty(chance.choice((2**14, 2**14 + 16, 2**15)), np.float32)
            array.fill(value)
            held.append((array, value))
            if len(held) > 3:
                box.append(held.pop(chance.randrange(4))[0])  # somebody else's list lets it die
            if len(box) > 5:
                del box[:3]
            failures.extend(value for array, value in held if not (array == value).all())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=[n]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
    assert cached_bytes() <= memory.MAX_CACHED_BYTES


def test_contiguous_copies_only_what_must_be_copied():
    """Read-only arrays too, since Numba compiles anew for them."""
    array = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    assert contiguous(array) is array
    frozen = array.copy()
    frozen.flags.writeable = False
    for other in (np.asfortranarray(array), array[:, ::-1], array.transpose(2, 0, 1), frozen, frozen[1:]):
        result = contiguous(other)
        assert result.flags.c_contiguous
        assert result.flags.writeable
        assert result.dtype == other.dtype
        assert not np.shares_memory(result, other)
        np.testing.assert_array_equal(result, other)
    assert contiguous(array[1:]).base is array.base or np.shares_memory(contiguous(array[1:]), array)


def test_what_a_model_returned_is_never_overwritten():
    """Outputs and gradients that a user holds, while the model goes on."""
    layers = [Conv2D(32, 3, activation="relu"), MaxPooling2D(2), Flatten(), Dense(3, activation="softmax")]
    model = Sequential(layers, seed=0, input_shape=(20, 21, 16))
    model.compile()
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 20, 21, 16), np.float32), rng.integers(0, 3, 40)
    held = []
    for _ in range(3):
        out = model.forward(x, training=True)
        inner = model.layers[0].forward(x)
        dx = model.backward(model.loss.gradient(y, out))
        assert min(inner.nbytes, dx.nbytes) > SMALLEST_KEPT
        held += [(a, a.copy()) for a in (out, inner, dx, inner[1:, ::2], model.predict(x))]
        model.train_step(x, y)
        model.evaluate(x, y)
    for array, before in held:
        np.testing.assert_array_equal(array, before)


def test_training_allocates_nothing_large_after_the_first_steps(monkeypatch):
    layers = [Conv2D(32, 3, activation="relu"), MaxPooling2D(2), Flatten(), Dense(3, activation="softmax")]
    model = Sequential(layers, seed=0, input_shape=(20, 21, 16))
    model.compile()
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 20, 21, 16), np.float32), rng.integers(0, 3, 40)
    for _ in range(3):
        model.train_step(x, y)
    held, fresh_pieces = cached_bytes(), []
    empty = np.empty
    monkeypatch.setattr(memory.np, "empty", lambda *a, **k: fresh_pieces.append(a) or empty(*a, **k))
    for _ in range(3):
        model.train_step(x, y)
    large = [a for a in fresh_pieces if isinstance(a[0], int) and a[0] >= SMALLEST_KEPT]
    assert not large
    assert cached_bytes() == held
