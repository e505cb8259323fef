"""Models that several threads use at once, in this process or in one of its own.

::

    python -m tests.kernels.runtime.thread_uses
        threads together    16 threads predict, 2 train -> layer, differences
        forks 12            meanwhile, forks -> layer, how each child ended
        pool spawn after    a Pool's process -> True, or its error
"""

import multiprocessing
import os
import signal
import sys
import threading
import time

import numba
import numpy as np

from tinycnn import Sequential
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D

SHAPE, CLASSES = (9, 8, 1), 3
X = np.random.default_rng(0).random((128, *SHAPE), np.float32)
Y = np.arange(128) % CLASSES
SIZES = 1, 7, 128  # a single-image program, several of it, and a batch
PREDICTORS, TRAINERS = 16, 2
SAME, REFUSED, WRONG, FAILED = range(4)  # statuses of a child


def small(seed, input_shape=SHAPE):
    """Return a compiled network with a fused pool, dropout and batch normalisation."""
    layers = [
        Conv2D(5, 3, activation="relu"),
        Conv2D(17, 3, activation="relu"),
        MaxPooling2D(2),
        Dropout(0.25),
        Conv2D(6, 2),
        BatchNormalization(),
        Flatten(),
        Dense(CLASSES, activation="softmax"),
    ]
    model = Sequential(layers, seed=seed, input_shape=input_shape)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def train(seed, steps):
    """Return the weights after some steps, as bytes."""
    model = small(seed)
    model.fit(X, Y, batch_size=-(-len(X) // steps), verbose=0)
    return b"".join(array.tobytes() for array in model.weights)


def use(model, rounds):
    """Return predictions for each of SIZES and an evaluation, as bytes, again and again."""
    found = []
    for _ in range(rounds):
        found += [model.predict(X[:size]).tobytes() for size in SIZES]
        found.append(repr(model.evaluate(X[:50], Y[:50])))
    return found


def at_once(functions):
    """Return the results of functions, or their errors, each called in a thread of its own."""
    results = [None] * len(functions)

    def call(number, function):
        try:
            results[number] = function()
        except BaseException as error:
            results[number] = repr(error)

    threads = [threading.Thread(target=call, args=job, daemon=True) for job in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def differences(steps, rounds, first="alone"):
    """Return the numbers of the threads whose results differ from those alone, with their errors.

    Half of those that predict have a model of their own, the others share one.
    """
    shared = small(99)
    functions = [lambda s=s: train(s, steps) for s in range(TRAINERS)]
    functions += [lambda s=s: use(shared if s % 2 else small(s), rounds) for s in range(PREDICTORS)]
    found = {}
    for how in ("together", "alone") if first == "together" else ("alone", "together"):
        found[how] = at_once(functions) if how == "together" else [function() for function in functions]
    pairs = enumerate(zip(found["together"], found["alone"], strict=True))
    return [
        (number, one if isinstance(one, str) else "other bits")
        for number, (one, other) in pairs
        if one != other
    ]


def forks(count):
    """Return how the children end that are forked while threads train and predict."""
    shared, done = small(99), threading.Event()
    expected = use(shared, 1)
    shared.train_on_batch(X[:20], Y[:20])  # every kernel is loaded
    expected = use(shared, 1)

    def work(seed):
        model = small(seed)
        while not done.is_set():
            model.predict(X[:7])
            model.train_on_batch(X[:20], Y[:20])

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    statuses = []
    for _ in range(count):
        time.sleep(0.005)
        child = os.fork()
        if not child:
            _end(shared, expected)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    done.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert use(shared, 1) == expected
    return statuses


def _end(model, expected):
    """End a child with what its predictions are, in its first thread and in another."""
    status = FAILED
    try:
        signal.alarm(60)
        found = [use(model, 1), *at_once([lambda: use(model, 1)])]
        status = SAME if found == [expected] * 2 else WRONG
    except RuntimeError as error:
        status = REFUSED if 'multiprocessing.get_context("spawn")' in str(error) else FAILED
    finally:
        os._exit(status)


def pool(start, when):
    """Return whether a Pool's process trains to the same bits, or its error."""
    expected = train(0, 3) if when == "after" else None
    with multiprocessing.get_context(start).Pool(1) as processes:
        try:
            found = processes.apply_async(train, [0, 3]).get(60)
        except RuntimeError as error:
            return error
    return found == (expected or train(0, 3))


def main(what, *arguments):
    """Do one thing and print the outcome."""
    if what == "pool":
        print(pool(*arguments))
        return
    sys.setswitchinterval(1e-4)
    if what == "forks":
        found = forks(int(*arguments))
    else:
        steps, rounds = (3, 1) if what == "quick" else (13, 20)
        found = differences(steps, rounds, *arguments)
    print(numba.threading_layer(), found)


if __name__ == "__main__":
    main(*sys.argv[1:])
