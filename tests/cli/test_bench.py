"""`bench`: what it counts, and what it prints."""

import pytest

import tinycnn
from tests.examples.small_mnist import small_network
from tinycnn.cli import bench, machine


@pytest.fixture
def small(monkeypatch):
    """A network that takes no time in the place of mnist_cnn, on a machine that is idle."""
    monkeypatch.setattr(machine, "load", lambda: 0.1)
    monkeypatch.setattr(tinycnn, "mnist_cnn", lambda seed: small_network(None, seed))


def test_operations_of_mnist_cnn():
    """By hand: 2 KH KW C F OH OW for a convolution, 2 C F for a dense layer."""
    first = 2 * 3 * 3 * 1 * 32 * 26 * 26
    others = 2 * (9 * 32 * 64 * 24 * 24 + 4 * 64 * 128 * 11 * 11 + 4 * 128 * 256 * 10 * 10)
    dense = 2 * (6400 * 128 + 128 * 10)
    assert bench.operations(tinycnn.mnist_cnn(seed=0)) == (
        first + others + dense,
        2 * first + 3 * (others + dense),
    )


def test_the_figures_belong_together(call, small):
    done = call("bench", "--seconds", 0.01, "--batch-size", 16, "--json")
    assert (done.status, done.err) == (0, "")
    results = {result["what"]: result for result in done.json["results"]}
    assert list(results) == ["training", "inference", "one image"]
    assert [result["images"] for result in results.values()] == [16, 16, 1]
    for result in results.values():
        assert result["calls"] >= bench.LEAST_CALLS
        rate = 1e3 * result["images"] / result["milliseconds"]
        assert result["images_per_second"] == pytest.approx(rate)
    flop = bench.operations(small_network(None, 0))[0]
    rate = results["inference"]["images_per_second"]
    assert results["inference"]["gflops"] == pytest.approx(flop * rate / 1e9)


def test_the_table(call, small):
    done = call("bench", "--seconds", 0.01)
    assert (done.status, done.err) == (0, "")
    assert "images/s  GFLOP/s" in done.out
    assert "\ntraining   128 " in done.out
    assert "benchmarks/" in done.out


def test_a_busy_machine(call, small, monkeypatch):
    monkeypatch.setattr(machine, "load", lambda: 99.5)
    done = call("bench", "--seconds", 0.01, "--json")
    assert (done.status, done.json["load"]) == (0, 99.5)
    assert done.err.startswith("tinycnn: warning: other processes are busy (load 99.5)")
    monkeypatch.setattr(machine, "load", lambda: None)  # Windows
    assert call("bench", "--seconds", 0.01).err == ""
