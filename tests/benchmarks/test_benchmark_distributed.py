"""Data parallelism: arithmetic by hand, planted constants, tables, and the program on very little work."""

import json
import subprocess
import sys
from pathlib import Path

import distributed
import distributed_jobs
import distributed_model as arithmetic
import distributed_tables
import numpy as np
import pytest
from distributed_computed import Setting, efficiency, fastest_batch, speed_up, strong_table, weak_table
from distributed_jobs import Job, TorchJob
from distributed_model import Curve, Link
from reporting import WIDTH, Column, Table, write_json

LINK = Link("a", 2.0, 0.5, 0.25)
STEPS = Curve([(1, 3.0), (3, 5.0), (7, 13.0)])


@pytest.mark.parametrize(
    ("algorithm", "ranks", "counts"),
    [
        # (messages, vectors sent, vectors added), one after the other
        ("tree", 8, (6, 6, 3)),
        ("tree", 5, (6, 6, 3)),
        ("recursive doubling", 8, (3, 3, 3)),
        ("recursive doubling", 5, (4, 4, 3)),  # as 4 ranks, and one that sends and receives
        ("halving and doubling", 8, (6, 2 * 7 / 8, 7 / 8)),
        ("halving and doubling", 6, (6, 2 * 3 / 4 + 2, 3 / 4 + 1)),
        ("ring", 8, (14, 2 * 7 / 8, 7 / 8)),
        ("ring", 3, (4, 2 * 2 / 3, 2 / 3)),
    ],
)
def test_the_cost_of_an_allreduce(algorithm, ranks, counts):
    """By hand; n = 12 bytes, alpha = 2, beta = 1/2, gamma = 1/4."""
    assert arithmetic.ALGORITHMS[algorithm](ranks) == pytest.approx(counts)
    messages, sent, added = counts
    expected = 2 * messages + 12 * (0.5 * sent + 0.25 * added)
    assert arithmetic.allreduce(LINK, ranks, 12, algorithm) == pytest.approx(expected)


@pytest.mark.parametrize("algorithm", arithmetic.ALGORITHMS)
def test_one_rank_sends_nothing(algorithm):
    assert arithmetic.allreduce(LINK, 1, 12, algorithm) == 0


@pytest.mark.parametrize("ranks", [2, 3, 4, 7, 16])
def test_the_counts_are_those_of_ranks_that_exchange_slices(ranks):
    """Ring: ranks that really pass slices around end with the sum, after as many messages and bytes."""
    _, sent, added = arithmetic.ring(ranks)
    slices = [np.eye(ranks)[rank] for rank in range(ranks)]  # of rank r: what it has, by the rank it is from
    known = [dict.fromkeys(range(ranks), slices[rank]) for rank in range(ranks)]
    messages = sums = 0
    for turn in range(2 * (ranks - 1)):
        moved = [(rank, (rank - turn) % ranks, known[rank][(rank - turn) % ranks]) for rank in range(ranks)]
        for rank, part, value in moved:
            adding = turn < ranks - 1
            target = known[(rank + 1) % ranks]
            target[part] = target[part] + value if adding else value
            sums += adding and rank == 0
        messages += 1
    assert all((known[rank][part] == 1).all() for rank in range(ranks) for part in range(ranks))
    assert (messages, messages / ranks, sums / ranks) == pytest.approx((2 * (ranks - 1), sent, added))


def test_mpich_changes_its_algorithm():
    """At 2,048 bytes, its default."""
    assert arithmetic.mpich_algorithm(2048) == "recursive doubling"
    assert arithmetic.mpich_algorithm(2049) == "halving and doubling"
    assert arithmetic.allreduce(LINK, 4, 2048) == 2 * 2 + 2048 * (0.5 * 2 + 0.25 * 2)


def test_the_fit_recovers_planted_constants():
    """Of two numbers of ranks, over six powers of ten; with a planted error of 10 % it reports that."""
    planted = Link("b", 3e-6, 0.2e-9)
    points = [
        (ranks, size, arithmetic.allreduce(planted, ranks, size))
        for ranks in (2, 8)
        for size in 8 * 4 ** np.arange(11)
    ]
    found, residual = arithmetic.fit("b", points)
    assert found == ("b", pytest.approx(3e-6), pytest.approx(0.2e-9), 0)
    assert residual < 1e-9
    shaken = [(ranks, size, seconds * (1.1, 0.9)[i % 2]) for i, (ranks, size, seconds) in enumerate(points)]
    found, residual = arithmetic.fit("b", shaken)
    assert residual == pytest.approx(0.1, rel=0.1)
    assert found.alpha == pytest.approx(3e-6, rel=0.1)


def test_no_constant_is_negative():
    """Steps that fall faster than in proportion: no least steps are left, rather than fewer than none."""
    assert arithmetic.fit_steps([(10, 100.0), (20, 40.0)]) == (0, pytest.approx(2.25e-3 / 2.5625e-6))


def test_a_curve_is_read_between_and_beyond_its_points():
    assert [STEPS.at(images) for images in (1, 2, 3, 5, 7, 14)] == [3, 4, 5, 9, 13, 26]


def test_a_step_is_that_of_the_rank_with_most_images():
    """13 images on 4 ranks: 4, 3, 3, 3."""
    cost = arithmetic.allreduce(LINK, 4, 12)
    assert arithmetic.step(STEPS, LINK, 4, 13, 12) == STEPS.at(4) + cost
    with pytest.raises(ValueError, match="expected at most 13, one an image, received 14"):
        arithmetic.step(STEPS, LINK, 14, 13, 12)


def test_the_noise_scale_of_known_gradients():
    """|G|^2 = 4 and a trace of 100: 25 images; and from random gradients of that kind."""
    assert arithmetic.noise_scale(4 + 100 / 5, 4 + 100 / 50, 5, 50) == pytest.approx(25)
    rng = np.random.default_rng(0)
    images = rng.normal(2 / np.sqrt(20), np.sqrt(5), (4000, 20 * 16, 20))  # 20 weights, trace 20 * 5
    large = (images.mean(axis=1) ** 2).sum(axis=1).mean()
    small = (images.reshape(-1, 16, 20).mean(axis=1) ** 2).sum(axis=1).mean()
    assert arithmetic.noise_scale(small, large, 16, 320) == pytest.approx(25, rel=0.05)


def test_the_critical_batch_is_recovered():
    """500 steps at least, 60,000 images at least."""
    runs = [(batch, 500 + 60_000 / batch) for batch in (32, 64, 256, 1024)]
    assert arithmetic.fit_steps(runs) == pytest.approx((500, 60_000))


def test_scaling_tables_agree_with_their_definitions():
    """Weak: one rank with its images against ranks with as many each. Strong: the same batch."""
    curve = Curve([(1, 0.001), (128, 0.128), (256, 0.256)])  # in proportion
    setting = Setting(Link("c", 0.0, 1e-6), curve, 1)
    cost = 2 * 3 / 4 * 1e-6 * 4096
    assert efficiency(setting, 4, 4096) == pytest.approx(0.128 / (0.128 + cost))
    assert speed_up(setting, 4, 1024, 4096) == pytest.approx(1.024 / (0.256 + cost))
    weak, strong = weak_table([setting], 4096), strong_table([setting], 4096)
    assert [row["ranks"] for row in weak.rows] == [2**power for power in range(11)]
    assert weak.rows[2]["c"] == efficiency(setting, 4, 4096)
    assert {(row["batch"], row["ranks"]) for row in strong.rows} >= {(128, 128), (1024, 1024), (8192, 1024)}
    assert (128, 256) not in {(row["batch"], row["ranks"]) for row in strong.rows}
    assert all(row["images of a rank"] * row["ranks"] == row["batch"] for row in strong.rows)


def test_the_fastest_batch_uses_no_more_ranks_than_images():
    """32 images on 1,024 ranks are 32 ranks; a batch that saves no steps is not taken."""
    setting = Setting(Link("c", 0.0, 0.0), Curve([(1, 1.0), (2, 2.0)]), 1)
    assert fastest_batch(setting, 1, 4, {32: 10, 64: 9}) == (320, 32)
    assert fastest_batch(setting, 1024, 4, {32: 10, 64: 9}) == (9, 64)


def measured(ranks, threads, seconds, **more):
    """Return what a job of some ranks found: one kind of step, one batch of 4."""
    row = {"kind": "plain", "batch": 4, "seconds": seconds, "waited": 0.1, "transferred": 0.2, "bytes": 8e6}
    row |= {"totals": 0, "seconds of totals": 0.0, "bytes of totals": 0}
    return {"ranks": ranks, "threads": threads, "bytes": 4000, "steps": [row], **more}


def test_rounds_are_merged():
    """The median of all steps, the least and the most median of a round, the mean of the rest."""
    rounds = [measured(2, 1, [1.0, 2.0, 3.0]), measured(2, 1, [3.0, 4.0, 5.0])]
    rounds[1]["steps"][0]["waited"] = 0.3
    (row,) = distributed_jobs.merged_steps(rounds)
    assert (row["ms"], row["least"], row["most"]) == (3000, 2000, 4000)
    assert (row["waited"], row["images/s"]) == (pytest.approx(0.2), pytest.approx(4 / 3))
    curves = [
        {"curve": [[1, 2.0], [8, 3.0]]},
        {"curve": [[1, 4.0], [8, 7.0]]},
        {"curve": [[1, 3.0], [8, 4.0]]},
    ]
    assert distributed_jobs.merged_points(curves, "curve") == [(1, 3), (8, 4)]


def test_tables_of_planted_measurements():
    """Two ranks in half the time and an Allreduce: shares, speed-up, and a model that fits."""
    curve, cost = [[2, 1.0], [4, 2.0]], arithmetic.allreduce(Link("", 1e-3, 1e-6), 2, 4000)
    exchange = [[size, arithmetic.allreduce(Link("", 1e-3, 1e-6), 2, size)] for size in (8, 4000)]
    own = [
        (Job(1, 1, {}, []), [measured(1, 1, [2.0], curve=curve, allreduce=[], addition=1.0)]),
        (
            Job(2, 1, {}, []),
            [measured(2, 1, [1 + cost], curve=[[2, 1.0], [4, 2.2]], allreduce=exchange, addition=1.0)],
        ),
    ]
    found = {"steps": distributed_tables.step_table(own)}
    one, two = found["steps"].rows
    assert (one["speed-up"], two["speed-up"]) == (1, pytest.approx(2 / (1 + cost)))
    assert (two["waiting"], two["MB"]) == (pytest.approx(0.1 / (1 + cost)), 8)
    shared = distributed_tables.curve_table(own).rows
    assert [row["of one rank"] for row in shared] == [1, 1, 1, pytest.approx(1.1)]
    result = distributed.model_tables(found, own)
    assert [row["measured/expected"] for row in result["check"].rows] == pytest.approx([1, 1])
    assert [row["measured/expected"] for row in result["allreduce"].rows] == pytest.approx([1, 1])
    theirs = [(TorchJob(2, 1, [4], 1, "", False), [measured(2, 1, [3 * (1 + cost)], version="torch 9")])]
    ours, torch = distributed_tables.torch_table(found["steps"], theirs).rows
    assert (ours["library"], ours["ratio"], torch["ratio"]) == ("tinycnn", 1, pytest.approx(3))
    for table in (*found.values(), *result.values()):
        assert sum(column.width + 1 for column in table.columns) <= WIDTH
        assert max(map(len, table.notes)) <= WIDTH


def test_no_round_begins_that_would_end_too_late(monkeypatch, capsys):
    """With a clock that only jobs advance: 10 s a round, 25 s allowed."""
    now = [0.0]
    monkeypatch.setattr("distributed_jobs.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("distributed_jobs.time.sleep", lambda seconds: None)

    class Fake(Job):
        def run(self):
            now[0] += 5
            return {"ranks": self.ranks}

    jobs = [Fake(1, 1, {}, []), Fake(2, 1, {}, [])]
    assert distributed_jobs.in_turn(jobs, 9, 25) == [[{"ranks": 1}] * 2, [{"ranks": 2}] * 2]


def test_every_number_of_ranks_has_jobs_with_one_thread_and_with_all(monkeypatch):
    """On 16 cores: 1, 2, 4 and 16 ranks; weak scaling adds a batch for each."""
    monkeypatch.setattr("arguments.threads", int)
    options = distributed.parse_arguments(["--ranks", "1", "2", "16", "--mpiexec", "mpiexec -x"])
    options.threads = 16
    found = distributed.jobs(options)
    assert [job[:2] for job in found] == [(1, 1), (2, 1), (16, 1), (1, 16), (2, 8)]
    assert found[2].plan["batches"] == [32, 128, 512, 2048]
    assert (found[0].starter, found[0].plan["shards"]) == (["mpiexec", "-x"], 16)
    assert distributed.torch_jobs(options) == []


def test_a_missing_mpiexec_is_answered_with_a_sentence(monkeypatch):
    monkeypatch.setattr("distributed_jobs.shutil.which", lambda name, path: None)
    with pytest.raises(SystemExit, match=r"none was found; pip install \"tinycnn\[mpi\]\" brings one"):
        distributed_jobs.starter(None)


def test_a_job_that_fails_is_reported():
    """With the end of what it said."""
    with pytest.raises(SystemExit, match=r"ended with 3:\nno such rank"):
        distributed_jobs.last_line(
            [sys.executable, "-c", "import sys; print('no such rank', file=sys.stderr); sys.exit(3)"], 1
        )


def test_an_earlier_run_is_read(tmp_path):
    """Its two tables, by their columns; another file is refused in a sentence."""
    tables = [Table("N", [Column("noise scale", 5, ".0f")]), Table("S", [Column("steps measured", 5, ".0f")])]
    write_json(tmp_path / "b.json", "distributed", [], {}, tables)
    assert distributed.earlier(tmp_path / "b.json") == {"noise": tables[0], "batches": tables[1]}
    write_json(tmp_path / "b.json", "distributed", [], {}, tables[:1])
    for path in (tmp_path / "b.json", tmp_path / "nowhere.json"):
        with pytest.raises(SystemExit, match=r"--runs: "):
            distributed.earlier(path)


def run(folder, *options):
    program = Path(distributed.__file__)
    files = ["--json", "d.json", "--plot", "d.png"]
    small = ["--rounds", "1", "--batch-size", "8", "--batch", "12", "--images", "1,12", "--steps", "1"]
    sizes = ["--sizes", "8,4096", "--points", "1,2", "--target", "0.05", "--target-batches", "32,64"]
    runs = ["--seeds", "1", "--limit", "2600", "--epochs", "1", "--ranks", "1", "2"]
    done = subprocess.run(
        [sys.executable, str(program), *small, *sizes, *runs, *files, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {table["title"]: table for table in json.loads((folder / "d.json").read_text())["tables"]}


@pytest.mark.slow
def test_distributed(tmp_path):
    """Every part on two ranks: figures that fit each other."""
    pytest.importorskip("mpi4py", reason="the mpi extra is not installed")
    found = run(tmp_path)
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    steps = found["Training steps of mnist_cnn (measured)"]["rows"]
    kinds = {(row["ranks"], row["kind"]) for row in steps}
    assert kinds == {(ranks, kind) for ranks in (1, 2) for kind in ("plain", "shards", "normalised")}
    for row in steps:
        assert row["images/s"] == pytest.approx(1e3 * row["batch"] / row["ms"])
        assert (row["bytes"] > 0) == (row["ranks"] == 2 or row["kind"] == "shards")
        assert (row["totals"] > 0) == (row["ranks"] == 2 and row["kind"] == "normalised")
        assert 0 <= row["waiting"] + row["transfer"] + row["statistics"] < 1
    gradients = 4 * 1_003_658
    assert {row["bytes"] for row in steps if row["kind"] == "plain"} == {0, gradients}
    assert [row["bytes"] for row in found["Allreduce in shared memory"]["rows"]] == [8, 4096, gradients]
    assert {row["ranks"] for row in found["Steps: expected and measured"]["rows"]} == {1, 2}
    assert found["Time to the target accuracy with the fastest batch (computed)"]["rows"]
    noise = found["Simple noise scale of the gradient of mnist_cnn, in images (measured)"]["rows"]
    assert all(row["|g|^2 of 64"] > row["|G|^2"] for row in noise)


@pytest.mark.slow
def test_distributed_beside_torch(tmp_path):
    """The same ranks, threads and batches."""
    pytest.importorskip("torch", reason="the peers extra is not installed")
    pytest.importorskip("mpi4py", reason="the mpi extra is not installed")
    found = run(tmp_path, "--peers", "torch", "--parts", "steps")
    assert not (tmp_path / "d.png").exists()  # these tables have no panel in the picture
    title = "tinycnn over MPI and PyTorch's DistributedDataParallel over gloo (measured)"
    rows = found[title]["rows"]
    assert len(rows) == 3 * len({row["batch"] for row in rows})
    assert all(row["ms"] > 0 and row["ranks"] == 2 for row in rows)


def test_an_empty_table_is_no_picture(tmp_path):
    import distributed_plot

    assert not distributed_plot.draw(tmp_path / "p.png", {"steps": Table("", [])})
    assert not list(tmp_path.iterdir())
