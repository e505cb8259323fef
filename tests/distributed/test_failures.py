"""A process that dies, hangs or fails ends the whole job, with the reason."""

import time

import pytest

from tests.distributed.jobs import ROOT, start

FAILING = ROOT / "tests" / "distributed" / "failing.py"


def fail(how, rank, ranks=3):
    """Return what a job printed and how long it took; it must not end well."""
    began = time.monotonic()
    done = start(ranks, "-m", "mpi4py", FAILING, how, rank)
    assert done.returncode != 0
    assert "trained" not in done.stdout
    return done.stderr + done.stdout, time.monotonic() - began


@pytest.mark.slow
def test_an_error_in_one_process_ends_all():
    """With its message, and where it was raised."""
    text, seconds = fail("raising", 1, ranks=2)
    assert "tinycnn: rank 1 (" in text
    assert "RuntimeError: planted" in text
    assert "failing.py" in text
    assert seconds < 60


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("how", ["stopped", "looping"])
def test_a_process_that_hangs_is_named(how, rank):
    """By the processes that wait for it, with the step."""
    text, seconds = fail(how, rank)
    assert f"for 1.5 s for rank {rank} (" in text
    assert "waited at step 5" in text
    assert seconds < 60


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_a_process_that_is_killed_ends_all(rank):
    """The starter of the job sees it."""
    text, seconds = fail("killed", rank)
    assert "signal 9" in text or "Killed" in text
    assert seconds < 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exiting", "SystemExit: 7"),
        ("nan", "nan at batch "),
        ("other data", "data: expected the same in each process"),
        ("no seed", "seed: expected the same in each process"),
    ],
)
def test_what_cannot_go_on_says_why(how, message):
    assert message in fail(how, 1)[0]
