"""The soak test finds leaks of memory, files and threads, and none where there is none."""

import json
import threading

import pytest
import soak

pytestmark = pytest.mark.skipif(not soak.PROCESS.exists(), reason="/proc is Linux's")


@pytest.fixture
def no_collection(monkeypatch):
    """Among a thousand tests a collection takes a tenth of a second."""
    monkeypatch.setattr(soak.gc, "collect", lambda: 0)


def test_what_leaks_is_not_flat(no_collection):
    """A step that does nothing, and keeps nothing or 1 MB."""

    def steps(count, tick):
        for _ in range(count):
            tick()

    row = soak.watch("nothing", steps, 80)
    assert (row["part"], row["count"], row["verdict"]) == ("nothing", 80, "flat")
    row = soak.watch("nothing", steps, 80, leak=10**6)
    assert row["verdict"] == "NOT FLAT"
    # 40 steps lie between the middles of the quarters
    assert row["growth, MiB"] == pytest.approx(40 * 10**6 / 2**20, rel=0.1)


def test_files_and_threads_that_stay_are_found(tmp_path, no_collection):
    opened, end = [], threading.Event()

    def opens(count, tick):
        for number in range(count):
            opened.append(open(tmp_path / str(number), "w"))  # noqa: SIM115
            tick()

    def starts(count, tick):
        for _ in range(count):
            opened.append(threading.Thread(target=end.wait, args=(60,)))
            opened[-1].start()
            tick()

    files = soak.watch("files", opens, 12)
    started = soak.watch("threads", starts, 12)
    end.set()
    for one in opened:
        one.join() if isinstance(one, threading.Thread) else one.close()
    assert files["verdict"] == started["verdict"] == "NOT FLAT"
    assert files["files"] - started["files"] <= 0
    assert started["threads"] - files["threads"] == 12


@pytest.mark.parametrize("bad", [["--steps", "7"], ["--calls", "3"], ["--leak", "x"]])
def test_too_little_for_a_verdict_is_refused(bad, capsys):
    with pytest.raises(SystemExit) as stop:
        soak.main(bad)
    assert stop.value.code == 2
    assert "expected" in capsys.readouterr().err


def parts(path):
    (table,) = json.loads(path.read_text(encoding="utf-8"))["tables"]
    return table["rows"]


@pytest.mark.slow
def test_the_library_is_flat(tmp_path, quick_machine):
    assert soak.main(["--steps", "2000", "--calls", "200", "--json", str(tmp_path / "s.json")]) == 0
    assert [row["count"] for row in parts(tmp_path / "s.json")] == [1000, 1000, 200, 200]


@pytest.mark.slow
def test_the_program_finds_a_leak_on_purpose(tmp_path, quick_machine):
    """The negative control: in each part."""
    options = ["--steps", "160", "--calls", "80", "--leak", "200000", "--json", str(tmp_path / "s.json")]
    assert soak.main(options) == 1
    assert {row["verdict"] for row in parts(tmp_path / "s.json")} == {"NOT FLAT"}
