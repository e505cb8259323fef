"""Times taken in turn, tables, files and the command lines."""

import argparse
import json

import arguments
import curves
import machine
import numpy as np
import pytest
import results
from reporting import WIDTH, Column, Table, read_tables, write_json
from scaling import crossing_sentence
from timing import interleaved, summary

MACHINE = {
    "processor": "A",
    "cores": 2,
    "threads": 1,
    "vector": "64 bytes",
    "system": "B",
    "date": "2026-01-02",
    "busy": 0.0,
    "versions": {"python": "3"},
}


def table():
    columns = [Column("who", 6), Column("ms", 8, ".2f"), Column("share", 6, ".0%")]
    return Table("Title", columns, [{"who": "a", "ms": 1.5, "share": 0.25}, {"who": "b"}], ["A note."])


def test_functions_take_turns():
    """A A then B B in each round, after the warm-up and one call that is not timed."""
    calls = []
    seconds = interleaved([lambda: calls.append("a"), lambda: calls.append("b")], 3, 2, warm_up=1, rest=0)
    assert "".join(calls) == "ab" + 3 * "aaabbb"
    assert [times.shape for times in seconds] == [(6,), (6,)]
    assert all((times >= 0).all() for times in seconds)


def test_only_the_timed_calls_count(monkeypatch):
    """With a clock that only the calls advance: the one before each turn is long, and left out."""
    now = [0.0]
    monkeypatch.setattr("timing.time.perf_counter", lambda: now[0])
    durations = iter([9.0, 9.0, 1.0, 2.0, 9.0, 3.0, 4.0])

    def call():
        now[0] += next(durations)

    (seconds,) = interleaved([call], 2, 2, warm_up=1, rest=0)
    assert seconds.tolist() == [1, 2, 3, 4]


def test_the_summary_is_the_median_and_the_spread_in_milliseconds():
    """Not the mean: one late call must not count for ten."""
    assert summary(np.arange(0, 0.101, 0.001)) == pytest.approx({"ms": 50, "ms 10 %": 10, "ms 90 %": 90})


def test_a_table_is_printed_and_read_again(tmp_path, capsys):
    """Numbers to the right, a dash where there is none; the file holds the raw numbers and the command."""
    write_json(tmp_path / "t.json", "conv", ["--rounds", "3", "--json", "a b"], MACHINE, [table()], limit=1)
    content = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert content["command"] == "python benchmarks/conv.py --rounds 3 --json 'a b'"
    assert (content["machine"], content["limit"]) == (MACHINE, 1)
    assert content["tables"][0]["rows"][0] == {"who": "a", "ms": 1.5, "share": 0.25}
    (again,) = read_tables(content)
    assert again == table()
    again.start()
    again.add({"who": "c", "ms": 2})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["who          ms  share", "c          2.00      -"]


def test_the_page_of_results_is_made_of_the_files(tmp_path, capsys):
    """Machine, command, tables and notes of each, in order."""
    for name in ("conv", "training"):
        write_json(tmp_path / f"{name}.json", name, ["--x"], MACHINE, [table()])
    files = [str(tmp_path / f"{name}.json") for name in ("conv", "training")]
    results.main([*files, "--out", str(tmp_path / "R.md"), "--picture", "conv.png"])
    page = (tmp_path / "R.md").read_text(encoding="utf-8")
    assert page.index("## conv") < page.index("`python benchmarks/training.py --x`")
    for text in (
        "| a | 1.50 | 25% |",
        "| b | - | - |",
        "A note.",
        "2026-01-02",
        "python 3",
        "![conv](conv.png)",
    ):
        assert text in page


def test_a_file_is_added_to_the_page(tmp_path):
    """After what is there."""
    write_json(tmp_path / "d.json", "distributed", ["--x"], MACHINE, [table()])
    (tmp_path / "R.md").write_text("# A page\n", encoding="utf-8")
    results.main([str(tmp_path / "d.json"), "--add", "--out", str(tmp_path / "R.md"), "--picture", "d.png"])
    page = (tmp_path / "R.md").read_text(encoding="utf-8")
    assert page.startswith("# A page\n\n![d](d.png)\n\n## distributed\n")
    assert "| a | 1.50 | 25% |" in page


def test_the_page_refuses_other_files(tmp_path, capsys):
    """In one line."""
    path = tmp_path / "t.json"
    path.write_text('{"rows": []}')
    with pytest.raises(SystemExit):
        results.main([str(path), "--out", str(tmp_path / "R.md")])
    assert "expected a JSON file of a benchmark" in capsys.readouterr().err
    assert not (tmp_path / "R.md").exists()


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (arguments.whole, "7", 7),
        (arguments.wholes, "1,128", [1, 128]),
        (arguments.image_size, "28x27x3", (28, 27, 3)),
        (arguments.image_sizes, "8x9x1,5X6x3", [(8, 9, 1), (5, 6, 3)]),
        (arguments.names("ab"), "b,a", ["b", "a"]),
        (arguments.names("ab"), "", []),
        (arguments.threads, "1", 1),
    ],
)
def test_arguments_are_read(read, text, value):
    """As they are written on a command line."""
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (arguments.whole, "0", "expected a whole number >= 1, received '0'"),
        (arguments.whole, "²", "expected a whole number >= 1"),
        (arguments.wholes, "1,,2", "expected a whole number >= 1, received ''"),
        (arguments.image_size, "28x28", "expected HxWxC, such as 28x28x1, received '28x28'"),
        (arguments.names("ab"), "a,c", "expected names of a, b, received 'c'"),
        (arguments.threads, "9999", "expected at most"),
        (arguments.new_file, "nowhere/x.json", "expected a folder that exists, received 'nowhere'"),
    ],
)
def test_wrong_arguments_are_answered_with_a_sentence(read, text, message):
    """What was expected, what was received."""
    with pytest.raises(argparse.ArgumentTypeError, match=message.replace("(", r"\(")):
        read(text)


def test_the_crossing_is_where_all_larger_work_gains():
    """A lucky small size does not count."""
    rows = [{"MFLOP": work, "speed-up": gain} for work, gain in ((8, 1.9), (1, 1.2), (4, 1.5), (2, 0.9))]
    assert "from 4.00 MFLOP on" in crossing_sentence(rows)
    assert "at none" in crossing_sentence([{"MFLOP": 1, "speed-up": 1.0}])


def test_tables_fit_a_terminal():
    """All of them, by the widths of their columns."""
    import conv
    import inference
    import training

    for columns in (
        conv.COLUMNS,
        inference.BATCH_COLUMNS,
        inference.ONE_COLUMNS,
        training.COLUMNS,
        training.MEMORY_COLUMNS,
    ):
        assert sum(column.width + 1 for column in columns) <= WIDTH
    for note in [*conv.NOTES, conv.POOLED_NOTE, *training.MEMORY_NOTES]:
        assert len(note) <= WIDTH


def test_the_machine_is_described():
    """What a figure has to be read with; a package that is not installed has no version."""
    described = machine.describe(1, ["no_such_package"])
    assert described["threads"] == 1
    assert set(described["versions"]) == {"python", "tinycnn", "numpy", "numba"}
    json.dumps(described)
    assert "busy" not in machine.one_line(described | {"busy": None})
    assert "keeps 1.5 cores busy" in machine.one_line(described | {"busy": 1.5})


@pytest.mark.slow
def test_the_peaks_are_measured():
    """Within a factor of what processors of the last ten years do."""
    assert 5 < machine.fma_peak(1) < 1000
    assert 1 < machine.bandwidth(1, 2**22) < 2000


def test_curves(tmp_path, monkeypatch):
    """Histories are grouped by what stands before the seed; the figures are errors in percent."""
    for name, accuracies in (("fast-0", [0.98, 0.99]), ("fast-1", [0.97, 0.995]), ("best-0", [0.5])):
        lines = [f"{epoch},1.0,{value}" for epoch, value in enumerate(accuracies, 1)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["epoch,loss,val_accuracy", *lines]))
    drawn = []
    monkeypatch.setattr(curves, "draw", lambda histories, out: drawn.append(histories))
    curves.main([str(tmp_path / f"{name}.csv") for name in ("fast-0", "fast-1", "best-0")])
    assert list(drawn[0]) == ["fast", "best"]
    np.testing.assert_allclose(drawn[0]["fast"], [[2, 1], [3, 0.5]], rtol=1e-9)
    assert drawn[0]["best"] == [[50]]


@pytest.mark.slow
def test_curves_are_drawn(tmp_path):
    """A line for each training in its recipe's colour, on a logarithmic axis of wrong images."""
    from matplotlib.image import imread

    curves.draw({"fast": [[2.0, 1.0], [3.0, 0.5]], "best": [[5.0, 2.5]]}, tmp_path / "curves.png")
    picture = imread(tmp_path / "curves.png")[..., :3]
    assert picture.shape[:2] == (432, 840)
    for colour in curves.COLOURS[:2]:
        wanted = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        weak = 0.7 * wanted + 0.3  # on white, at the opacity of a line
        assert (np.abs(picture - weak).max(axis=2) < 0.02).sum() > 20


def test_curves_need_a_history(tmp_path):
    """Another file is named."""
    (tmp_path / "seeds.csv").write_text("seed,test_errors\n0,31\n")
    with pytest.raises(ValueError, match=r"seeds\.csv: expected a history with val_accuracy"):
        curves.main([str(tmp_path / "seeds.csv")])
