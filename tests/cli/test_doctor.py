"""`doctor`: what it finds, what it makes of it, and its status."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tinycnn.cli import doctor, machine, self_test

GOOD = {
    "algorithms": {
        name: {"good": True, "difference": 1e-7, "seconds": 0.1}
        for name in ("naive", "im2col", "direct", "winograd")
    },
    "prediction": {"good": True, "expected": [7], "received": [7], "seconds": 0.2},
    "kernels": {
        "good": True,
        "compiled_for": "znver4",
        "vector_bytes": 64,
        "threads": 2,
        "threading_layer": "omp",
        "cache": [
            {
                "folder": "/tmp",
                "files": 3,
                "bytes": 5000,
                "current": 2,
                "outdated": 1,
                "damaged": 0,
                "other": 0,
            }
        ],
        "seconds": 0.0,
    },
}


@pytest.fixture
def tested(monkeypatch):
    """Return a function that puts a report in the place of the self-test, and a quiet environment."""
    for name in machine.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "cpu_limit", lambda: None)
    monkeypatch.setattr(machine, "free_bytes", lambda folder: 10**10)

    def put(changes=(), **report):
        whole = {**GOOD, **report}
        whole["kernels"] = {**GOOD["kernels"], **dict(changes)}
        monkeypatch.setattr(doctor, "self_test", lambda: whole)

    return put


@pytest.mark.smoke
def test_a_good_machine(call, tested):
    tested()
    done = call("doctor")
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith("\n\nNo problems found.\n")
    for words in (
        "64 bytes, compiled for znver4",
        "2, layer omp",
        "2 current, 1 outdated, 5.0 KB",
        "Processor",
    ):
        assert words in done.out
    report = call("doctor", "--json").json
    assert (report["works"], report["problems"], report["self_test"]) == (True, [], GOOD)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("changes", "report", "problem", "fatal"),
    [
        ({"cache": []}, {}, "no cache folder is writable", False),
        ({"cache": [{**GOOD["kernels"]["cache"][0], "damaged": 3}]}, {}, "/tmp: 3 damaged entries", False),
        ({}, {"prediction": {"good": False, "seconds": 1}}, "its answers for test images are wrong", True),
        ({}, {"prediction": {"good": False, "error": "IdxError: bad", "seconds": 1}}, "IdxError: bad", True),
        (
            {},
            {"algorithms": {"direct": {"good": False, "difference": 0.5, "seconds": 1}}},
            "direct differs from the definition by 5.0e-01",
            True,
        ),
        (
            {},
            {"algorithms": {"direct": {"good": False, "error": "ImportError: numba", "seconds": 1}}},
            "direct does not run: ImportError: numba",
            False,
        ),
    ],
)
def test_a_problem_has_a_cure_and_a_status(call, tested, changes, report, problem, fatal):
    """NumPy alone may do: only a wrong result, or no result at all, keeps the library from working."""
    tested(changes, **report)
    done = call("doctor")
    assert done.status == int(fatal)
    assert problem in done.out
    assert "  cure: " in done.out
    found = call("doctor", "--json")
    assert found.status == int(fatal)
    assert found.json["works"] is not fatal
    assert problem in found.json["problems"][0]["what"]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "value", "problem", "fatal"),
    [
        ("TINYCNN_ALGORITHM", "fft", "TINYCNN_ALGORITHM: expected one of", True),
        ("TINYCNN_ALGORITHM", "naive", "TINYCNN_ALGORITHM=naive replaces the automatic choice", False),
        ("TINYCNN_VECTOR_BYTES", "48", "TINYCNN_VECTOR_BYTES: expected 16, 32 or 64", True),
        ("TINYCNN_VECTOR_BYTES", "16", "TINYCNN_VECTOR_BYTES=16 replaces the width", False),
        ("NUMBA_DISABLE_JIT", "1", "NUMBA_DISABLE_JIT turns compilation off", False),
    ],
)
def test_variables_with_bad_values(call, tested, monkeypatch, name, value, problem, fatal):
    tested()
    monkeypatch.setenv(name, value)
    done = call("doctor")
    assert done.status == int(fatal)
    assert problem in done.out
    assert f"unset {name}" in done.out


@pytest.mark.smoke
@pytest.mark.parametrize(("wanted", "good"), [("/caches/mine", True), ("/caches/other", False)])
def test_a_cache_folder_that_is_not_used(call, tested, monkeypatch, wanted, good):
    """Numba passes over a folder that it cannot write, without a word."""
    tested({"cache": [{**GOOD["kernels"]["cache"][0], "folder": "/caches/mine/kernels_1a2b"}]})
    monkeypatch.setenv("NUMBA_CACHE_DIR", wanted)
    done = call("doctor")
    assert done.status == 0
    assert (f"NUMBA_CACHE_DIR={wanted} is not writable" in done.out) is not good


@pytest.mark.smoke
def test_what_is_missing_full_or_limited(call, tested, monkeypatch):
    tested()
    monkeypatch.setattr(machine, "REQUIRED", ("numpy", "no-such-package"))
    monkeypatch.setattr(machine, "OPTIONAL", {"neither-this": ("pictures", "pip install this")})
    monkeypatch.setattr(machine, "free_bytes", lambda folder: 10**6)
    monkeypatch.setattr(machine, "cpu_limit", lambda: 0.5)
    monkeypatch.setattr(machine, "memory", lambda: 10**8)
    done = call("doctor")
    assert done.status == 0
    for words in (
        "no-such-package is not installed; it is required",
        "neither-this is not installed; it is needed for pictures",
        "1.0 MB are free, too little to keep kernels",
        "2 threads share 0.5 cores",
        "set NUMBA_NUM_THREADS=1",
        "100.0 MB of memory are too little",
    ):
        assert words in done.out


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu.max": "100000 0\n"}, None),
    ],
)
def test_the_limit_of_a_control_group(tmp_path, files, limit):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert machine.cpu_limit(tmp_path) == limit


@pytest.mark.smoke
def test_the_memory_of_a_control_group(tmp_path):
    whole = machine.memory(tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.memory(tmp_path) == whole
    (tmp_path / "memory.max").write_text("300000000\n")
    assert machine.memory(tmp_path) == 300_000_000


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "the self-test was ended by SIGILL"),
        ("raise SystemExit('llvmlite: no library')", "ended with status 1: llvmlite: no library"),
        ("print('half a repo')", "the self-test ended with status 0"),
    ],
)
def test_a_self_test_that_dies(call, tested, monkeypatch, code, error):
    original = doctor.self_test
    tested()
    monkeypatch.setattr(doctor, "self_test", original)
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **more: run([sys.executable, "-c", code], **more))
    done = call("doctor")
    assert done.status == 1
    assert error in done.out
    assert "Problems, which keep tinycnn from working:" in done.out


@pytest.mark.smoke
def test_without_the_self_test(call, tested):
    tested()
    report = call("doctor", "--no-test", "--json").json
    assert (report["self_test"], report["works"]) == (None, True)
    assert "Kernels were not tested." in call("doctor", "--no-test").out


@pytest.mark.smoke
def test_a_wrong_result_is_seen(monkeypatch):
    """One filter gradient that is a thousandth too large."""
    right = self_test.kernels.conv2d_grad_filter

    def wrong(*arguments, algorithm):
        return right(*arguments, algorithm=algorithm) * (1.001 if algorithm == "im2col" else 1)

    assert self_test.compare("im2col")["good"]
    monkeypatch.setattr(self_test.kernels, "conv2d_grad_filter", wrong)
    assert not self_test.compare("im2col")["good"]
    assert self_test.attempt(lambda: 1 / 0)["error"] == "ZeroDivisionError: division by zero"


@pytest.mark.slow
def test_the_self_test_of_this_machine():
    """In a process of its own; every algorithm agrees with the definition, and kernels are cached."""
    report = doctor.self_test()
    assert all(result["good"] for result in report["algorithms"].values())
    assert report["prediction"]["received"] == [7, 2, 1, 0, 4]
    assert report["kernels"]["vector_bytes"] in (16, 32, 64)
    assert report["kernels"]["threading_layer"] in ("omp", "tbb", "workqueue")
    assert sum(folder["current"] for folder in report["kernels"]["cache"]) > 20
    assert json.dumps(report)


def test_the_states_of_cached_kernels(tmp_path):
    """Current, of other sources, of another Numba, cut off, of another Python, of something else."""
    from tinycnn.kernels.conv import direct
    from tinycnn.kernels.runtime import cache, jit

    self_test.compare("direct")
    folder = direct.convolve_rows._cache.cache_path
    name = f"{direct.convolve_rows.__module__}.convolve_rows"
    index = next(path for path in map(str, Path(folder).glob(f"{name}.*.nbi")))
    copies = [path for path in Path(folder).glob(f"{name}.py*") if path.suffix in (".nbi", ".nbc")]
    for path in copies:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "direct.cpython-311.pyc").write_bytes(b"Python's own")
    count = cache.survey(tmp_path, jit.sources_stamp())["current"]
    assert count >= 1
    assert cache.survey(tmp_path, "other sources") == {"outdated": count}
    own = tmp_path / Path(index).name
    whole = own.read_bytes()
    own.write_bytes(pickle.dumps("0.1") + whole[10:])
    assert cache.survey(tmp_path, jit.sources_stamp()) == {"outdated": 1}
    own.write_bytes(whole[:40])
    assert cache.survey(tmp_path, jit.sources_stamp()) == {"damaged": 1}
    own.write_bytes(whole)
    for path in tmp_path.glob("*.nbc"):
        path.write_bytes(path.read_bytes()[:-5])
    assert cache.survey(tmp_path, jit.sources_stamp()) == {"damaged": count}
    own.rename(tmp_path / own.name.replace(".py3", ".py2"))
    (tmp_path / "somebody.function.nbi").write_bytes(b"")
    assert cache.survey(tmp_path, jit.sources_stamp()) == {"other": 2}
