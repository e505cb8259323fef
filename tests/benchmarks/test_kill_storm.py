"""A small storm of kills, and faults in a run or in its death that the storm has to see."""

import json
import signal
import sys

import kill_storm
import pytest
import storm_lives
from storm_child import FORGOTTEN, PLACES, sha256
from storm_lives import RANDOM, SIGNALS, Fault, Kill, Life, Progress, died, plan, run_through

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# A sample of the whole: between the renames, in a callback, and at a random moment.
FEW = [Kill("renames", "SIGKILL", 2), Kill("batch", "SIGTERM", 8), Kill(RANDOM, "SIGINT twice", 30)]


@pytest.fixture
def storm(tmp_path):
    """An empty one."""
    return kill_storm.Storm(tmp_path, tmp_path / "storm.jsonl", {})


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_bits(storm):
    """And one whose checkpoint forgets the moments does not."""
    record = storm.run("dense", FEW)
    assert [kill[:2] for kill in record["kills"]] == [[kill.place, kill.signal] for kill in FEW]
    assert record["lives"] == 4
    assert storm.differing(record) == []
    forgetful = storm.run("dense", [kill_storm.HALFWAY], "optimizer")
    assert {"weights", "moments"} <= set(storm.differing(forgetful))


@pytest.mark.slow
def test_each_place_and_each_signal(tmp_path, monkeypatch, capsys):
    """By the program itself, which begins where it was stopped; each checkpoint that forgets is noticed."""
    monkeypatch.setattr(kill_storm, "SHOWN_BY", dict.fromkeys(FORGOTTEN, "dense"))
    path, log = tmp_path / "storm.json", tmp_path / "storm.jsonl"
    options = [
        "--kinds",
        "dense",
        "--kills",
        "12",
        "--seed",
        "5",
        "--json",
        str(path),
        "--work",
        str(tmp_path),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(kill_storm, "controls", lambda *_: sys.exit("stopped"))
        with pytest.raises(SystemExit, match="stopped"):
            kill_storm.main(options)
    assert len(log.read_text(encoding="utf-8").splitlines()) == 2
    with pytest.raises(SystemExit, match="of a storm with other options"):
        kill_storm.main([*options, "--seed", "6"])
    before = capsys.readouterr().out
    assert kill_storm.main(options) == 0
    assert "dense 0: 12 kills; nothing differs" in before
    assert "dense 0" not in capsys.readouterr().out
    assert not log.exists()
    content = json.loads(path.read_text(encoding="utf-8"))
    places, runs, controls = (table["rows"] for table in content["tables"])
    assert {row["place"]: sum(row[name] for name in SIGNALS) for row in places} == {
        RANDOM: 3,
        **dict.fromkeys(PLACES, 1),
    }
    assert all(sum(row[name] for row in places) for name in SIGNALS)
    assert (runs[0]["kills"], runs[0]["runs"], runs[0]["equal"]) == (12, 1, 1)
    assert [row["forgotten"] for row in controls] == list(FORGOTTEN)
    assert all(row["differs"] != "-" for row in controls)


@pytest.mark.slow
def test_a_fault_in_the_checkpoints_ends_the_program_with_1(tmp_path, capsys):
    """The whole storm, with checkpoints that forget the optimizer."""
    options = [
        "--kinds",
        "dense",
        "--kills",
        "1",
        "--forget",
        "optimizer",
        "--json",
        str(tmp_path / "s.json"),
    ]
    assert kill_storm.main(options) == 1
    assert (
        "dense 0: expected the bits of the undisturbed run, received other weights" in capsys.readouterr().err
    )


def test_five_runs_of_a_kind_have_each_signal_at_each_place():
    """In an order that is possible, at moments that only the seed decides."""
    runs = [plan(2, run, 7) for run in range(5)]
    cells = {(kill.place, kill.signal) for run in runs for kill in run}
    assert cells == {(place, name) for place in (*PLACES, RANDOM) for name in SIGNALS}
    for run in runs:
        places = [kill.place for kill in run]
        assert len(places) == storm_lives.KILLS == 12
        assert (places[0], places[-1]) == ("folder", "end")
        assert places[1] != "resume"
    assert plan(2, 1, 7) == runs[1] != plan(2, 1, 8)


HERE = {"place": "renames", "files": {"checkpoint.new.npz": 9, "checkpoint.previous.npz": 9}}
KILL, TERM = Kill("renames", "SIGKILL", 1), Kill("renames", "SIGTERM", 1)


@pytest.mark.parametrize(
    ("kill", "status", "marks", "expected"),
    [
        (KILL, -signal.SIGKILL, [{"step": 1}, HERE], True),
        (KILL, 0, [{"step": 1}], False),
        (KILL, 1, [HERE], "expected the exit status -9, received 1"),
        (KILL, -signal.SIGTERM, [HERE], "expected the exit status -9, received -15"),
        (KILL, -signal.SIGKILL, [{"step": 1}], "received one elsewhere"),
        (KILL, -signal.SIGKILL, [HERE, {"step": 2}], "received one later"),
        (KILL, -signal.SIGKILL, [{**HERE, "files": {"checkpoint.npz": 9}}], "expected other files there"),
        (TERM, -signal.SIGTERM, [HERE, {"step": 2}], True),
        (TERM, 130, [HERE, {"step": 2}], True),
        (Kill(RANDOM, "SIGINT", 5), -signal.SIGINT, [], "expected a process that trains"),
    ],
)
def test_a_death_is_checked(kill, status, marks, expected):
    """Its status, its place, and what it left there."""
    if isinstance(expected, str):
        with pytest.raises(Fault, match=expected):
            died(kill, Life(status, marks))
    else:
        assert died(kill, Life(status, marks)) is expected


@pytest.mark.parametrize(
    ("polite", "second", "refused"),
    [
        (True, [4, 5], False),
        (True, [3, 4], True),  # a step was not saved
        (False, [1, 2], False),
        (False, [0, 1], True),  # before the checkpoint that the first life began with
        (False, [5, 6], True),  # after its last step
    ],
)
def test_a_run_goes_on_where_it_was(polite, second, refused):
    progress = Progress()
    progress.add(Life(-9, [{"step": 0}, {"step": 1}]), polite=True)
    progress.add(Life(-9, [{"step": step} for step in (1, 2, 3, 4)]), polite)
    life = Life(-9, [{"step": step} for step in second])
    if refused:
        with pytest.raises(Fault, match="expected a life from step"):
            progress.add(life, polite=False)
    else:
        progress.add(life, polite=False)
        assert progress.repeated == 4 - second[0]


def test_kills_that_did_not_happen_are_a_fault(storm):
    """And so is a run with other bits; both are named."""
    storm.whole["dense"] = {"weights": "a", "log": "b"}
    hashes = [{"weights": "a", "log": "b"}, {"weights": "a", "log": "c"}]
    record = {"run": "dense", "number": 3, "hashes": hashes, "kills": [["batch", "SIGKILL", ""]]}
    storm.records.append(record)
    planned = [("dense", Kill(place, "SIGKILL", 1)) for place in ("batch", "epoch")]
    assert kill_storm.faults(storm, planned) == [
        "dense epoch SIGKILL: expected 1 kills, received 0",
        "dense 3: expected the bits of the undisturbed run, received other log",
    ]


def test_a_child_that_fails_is_a_fault_with_its_message(storm):
    with pytest.raises(Fault, match=r"other: expected a run that ends, (.|\n)*invalid choice: 'other'"):
        run_through(storm.folder(), "other", [])


def test_a_hash_depends_on_each_bit():
    """Of values and of arrays, with their shapes and dtypes."""
    import numpy as np

    array = np.zeros((2, 3), np.float32)
    other = array.copy()
    other[1, 2] = np.float32(1e-45)
    values = [
        {"a": array},
        {"a": other},
        {"a": array.T},
        {"a": array.astype(np.int32)},
        {"a": 0.1},
        {"b": 0.1},
    ]
    assert len({sha256(value) for value in values}) == len(values)
