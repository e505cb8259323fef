"""Runs that are killed again and again, and must end with the bits of a run that nothing disturbed.

::

    kinds of runs x places x signals -> lives, each killed -> the last one ends -> SHA-256, compared

Each run is killed twelve times: once at each place of storm_child.py, and three times at random moments. In
five runs of a kind, each place sees each signal. Every death is checked by its exit status, by the last line
of the process's log, and by the files in the folder. The next life must go on from the last checkpoint. As a
control, runs whose checkpoints forget a part of the state must end with other bits.

The exit status is 1 if a run ended with other bits, if a kill did not happen as planned, or if forgetting was
not noticed. The same command goes on where it was stopped.
"""

import argparse
import json
import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import arguments
import machine
from reporting import Column, Table, write_json
from storm_child import FORGOTTEN, PLACES
from storm_lives import KILLS, RANDOM, SIGNALS, Fault, Kill, plan, run_through
from storm_runs import KINDS, STEPS

DEFAULT_KINDS = [name for name in KINDS if name != "dense"]
#: The kinds of runs that show it, when a checkpoint forgets a part.
SHOWN_BY = {
    "optimizer": "classic",
    "position": "augmented",
    "log": "augmented",
    "average": "averaged",
    "statistics": "batch-normalised",
}
#: Saved in the middle of the second epoch, where nothing is at its start.
HALFWAY = Kill("batch", "SIGTERM", STEPS + 2)
PLACE_COLUMNS = [Column("run", 18), Column("place", 12), *(Column(name, 13, "d") for name in SIGNALS)]
RUN_COLUMNS = [
    Column("run", 18),
    Column("runs", 5, "d"),
    Column("kills", 6, "d"),
    Column("lives", 6, "d"),
    Column("steps", 6, "d"),
    Column("repeated", 9, "d"),
    Column("equal", 6, "d"),
    Column("SHA-256 of the weights", 24),
]
CONTROL_COLUMNS = [Column("forgotten", 12), Column("run", 18), Column("differs", 60)]


class Storm:
    """The runs that are done, and what undisturbed ones leave.

    Parameters
    ----------
    work : Path
    log : Path
        JSON lines: the settings, then a line for each run that is done.
    settings : dict
        Those that a log must have to be continued.
    """

    def __init__(self, work: Path, log: Path, settings: dict[str, Any]) -> None:
        self.work, self.log, self.settings = work, log, settings
        self.whole: dict[str, dict[str, str]] = {}
        self.records: list[dict[str, Any]] = []
        if log.exists():
            first, *self.records = map(json.loads, log.read_text(encoding="utf-8").splitlines())
            if first != settings:
                raise SystemExit(
                    f"{log} is of a storm with other options, {first}: remove it, or repeat them"
                )
        else:
            self._write(settings)

    def _write(self, line: dict[str, Any]) -> None:
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def folder(self) -> Path:
        """Return a new path for a run."""
        return Path(tempfile.mkdtemp(dir=self.work)) / "folder"

    def undisturbed(self, kind: str) -> dict[str, str]:
        """Return the hashes of a run that nothing disturbs."""
        if kind not in self.whole:
            self.whole[kind] = run_through(self.folder(), kind, [])[0]["hashes"]
        return self.whole[kind]

    def run(self, kind: str, kills: list[Kill], forget: str | None = None) -> dict[str, Any]:
        """Return the record of a run; of several, where one ended before it was killed often enough."""
        records = []
        while kills:
            record, left = run_through(self.folder(), kind, kills, forget)
            if len(left) == len(kills):
                raise Fault(f"{kind}: expected a run that comes to {left[0]}, received one that ends before")
            kills = left
            records.append(record)
        sums = {name: sum(record[name] for record in records) for name in ("lives", "steps", "repeated")}
        kills = [kill for record in records for kill in record["kills"]]
        return {"run": kind, **sums, "hashes": [record["hashes"] for record in records], "kills": kills}

    def differing(self, record: dict[str, Any]) -> list[str]:
        """Return the parts of what the runs of a record leave that are not those of the undisturbed run."""
        whole = self.undisturbed(record["run"])
        return [name for name in whole if any(one[name] != whole[name] for one in record["hashes"])]

    def run_all(self, kinds: list[str], runs: int, seed: int, forget: str | None) -> None:
        """Do the runs that are not in the log."""
        done = Counter((record["run"], record["number"]) for record in self.records)
        for number in range(runs):
            for place, kind in enumerate(kinds):
                if not done[kind, number]:
                    record = {"number": number, **self.run(kind, plan(place, number, seed), forget)}
                    self.records.append(record)
                    self._write(record)
                    differs = ", ".join(self.differing(record)) or "nothing"
                    print(f"{kind} {number}: {len(record['kills'])} kills; {differs} differs", flush=True)


def place_table(records: list[dict[str, Any]]) -> Table:
    """Return the table of kills: each kind of run and place, by signal."""
    table = Table("Kills by run, place and signal", PLACE_COLUMNS)
    counts = Counter((record["run"], place, name) for record in records for place, name, _ in record["kills"])
    for kind in dict.fromkeys(record["run"] for record in records):
        for place in (RANDOM, *PLACES):
            table.rows.append(
                {"run": kind, "place": place, **{name: counts[kind, place, name] for name in SIGNALS}}
            )
    return table


def run_table(storm: Storm) -> Table:
    """Return the table of runs: how many of each kind ended with the bits of the undisturbed one."""
    table = Table("Runs that were killed, and ended", RUN_COLUMNS)
    for kind in dict.fromkeys(record["run"] for record in storm.records):
        own, whole = [record for record in storm.records if record["run"] == kind], storm.undisturbed(kind)
        hashes = [one for record in own for one in record["hashes"]]
        table.rows.append(
            {
                "run": kind,
                **{name: sum(record[name] for record in own) for name in ("lives", "steps", "repeated")},
                "kills": sum(len(record["kills"]) for record in own),
                "runs": len(hashes),
                "equal": sum(one == whole for one in hashes),
                "SHA-256 of the weights": whole["weights"][:20] + "...",
            }
        )
    table.notes = [
        "repeated: steps trained again after a kill. equal: runs with the weights, moments, history, log and",
        "states of callbacks of the undisturbed run, by SHA-256.",
    ]
    return table


def faults(storm: Storm, planned: Iterable[tuple[str, Kill]]) -> list[str]:
    """Return what is wrong: kills that did not happen, runs with other bits."""
    wanted = Counter((kind, kill.place, kill.signal) for kind, kill in planned)
    done = Counter((record["run"], *kill[:2]) for record in storm.records for kill in record["kills"])
    missing = [
        f"{' '.join(cell)}: expected {wanted[cell]} kills, received {done[cell]}" for cell in wanted - done
    ]
    other = [
        f"{record['run']} {record['number']}: expected the bits of the undisturbed run, received other "
        + ", ".join(differs)
        for record in storm.records
        if (differs := storm.differing(record))
    ]
    return missing + other


def controls(storm: Storm, kinds: list[str]) -> tuple[Table, list[str]]:
    """Return the table of runs with checkpoints that forget, and those that went unseen."""
    table, wrong = Table("Checkpoints that forget a part of the state", CONTROL_COLUMNS), []
    for part, kind in SHOWN_BY.items():
        if kind in kinds:
            differs = storm.differing(storm.run(kind, [HALFWAY], part))
            table.rows.append({"forgotten": part, "run": kind, "differs": ", ".join(differs) or "-"})
            if not differs:
                wrong.append(f"a checkpoint without {part}: expected other bits, received the same")
    return table, wrong


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description="Kill runs of training, resume them, and compare the end with that of undisturbed ones.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--kills", type=arguments.whole, default=200, help=f"at least; each run has {KILLS}")
    add("--kinds", type=arguments.names(KINDS), default=DEFAULT_KINDS, help="of runs, separated by commas")
    add("--seed", type=int, default=0, help="of the random moments")
    add("--forget", choices=FORGOTTEN, help="plant a fault into all checkpoints; the exit status is then 1")
    add("--json", type=arguments.new_file, default=Path("kill_storm.json"), help="file of the figures")
    shared = Path("/dev/shm")
    add("--work", type=Path, default=shared if shared.is_dir() else None, help="folder for folders of runs")
    options = parser.parse_args(argv)
    if not options.kinds:
        parser.error("--kinds: expected at least one")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the storm."""
    options = parse_arguments(argv)
    runs = math.ceil(options.kills / KILLS / len(options.kinds))
    settings = {"kinds": options.kinds, "seed": options.seed, "runs": runs, "forget": options.forget}
    log = options.json.with_suffix(".jsonl")
    planned = [
        (kind, kill)
        for number in range(runs)
        for place, kind in enumerate(options.kinds)
        for kill in plan(place, number, options.seed)
    ]
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        storm = Storm(Path(work), log, settings)
        try:
            storm.run_all(options.kinds, runs, options.seed, options.forget)
            tables = [place_table(storm.records), run_table(storm)]
            wrong = faults(storm, planned)
            if not options.forget:
                table, unseen = controls(storm, options.kinds)
                tables += [table] if table.rows else []
                wrong += unseen
        except Fault as error:
            print(error, file=sys.stderr)
            return 1
    for table in tables:
        table.print()
    described = machine.describe(1)
    write_json(
        options.json, "kill_storm", argv, described, tables, undisturbed=storm.whole, runs=storm.records
    )
    os.unlink(log)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
