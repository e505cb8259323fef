"""Tables of figures, on the terminal, as JSON and as Markdown.

::

    Table(title, columns), rows -> lines as they come;   write_json(path, tables) -> results.py -> Markdown

A row is a dictionary of numbers and texts. A column says which entry it shows, and how. The columns are saved
with the rows, so the same table can be printed from the file.
"""

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

WIDTH = 120  # of a terminal that every table fits


class Column(NamedTuple):
    """One column: the entry of a row, the width in characters, and the format ("" for texts)."""

    key: str
    width: int
    form: str = ""

    def show(self, row: dict[str, Any]) -> str:
        """Return the entry as text, or a dash if there is none."""
        value = row.get(self.key)
        return "-" if value is None else format(value, self.form)


@dataclass
class Table:
    """A table with a title, printed line by line during the measurement.

    Parameters
    ----------
    title : str
    columns : list of Column
    rows : list of dict
        The rows added so far.
    notes : list of str
        Explanations of the figures.
    """

    title: str
    columns: list[Column]
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Print the title and the headings."""
        heads = [_pad(column.key, column) for column in self.columns]
        print(f"\n{self.title}\n" + " ".join(heads).rstrip(), flush=True)

    def add(self, row: dict[str, Any]) -> None:
        """Add a row and print it."""
        self.rows.append(row)
        print(self.line(row), flush=True)

    def line(self, row: dict[str, Any]) -> str:
        """Return a row as one line, with texts aligned left and numbers aligned right."""
        return " ".join(_pad(column.show(row), column) for column in self.columns).rstrip()

    def finish(self) -> None:
        """Print the notes."""
        for note in self.notes:
            print(note)

    def print(self) -> None:
        """Print a table that is complete."""
        self.start()
        for row in self.rows:
            print(self.line(row))
        self.finish()

    def markdown(self) -> str:
        """Return the table in Markdown, with the title above and the notes below."""
        lines = [f"### {self.title}", ""]
        lines.append("| " + " | ".join(column.key for column in self.columns) + " |")
        lines.append("|" + "|".join("---:" if column.form else "---" for column in self.columns) + "|")
        lines += [
            "| " + " | ".join(column.show(row).replace("|", "/") for column in self.columns) + " |"
            for row in self.rows
        ]
        return "\n".join([*lines, "", *(f"{note}  " for note in self.notes)]).rstrip() + "\n"


def _pad(text: str, column: Column) -> str:
    return text.rjust(column.width) if column.form else text.ljust(column.width)


def time_columns(width: int = 8) -> list[Column]:
    """Return the columns of `timing.summary`."""
    return [Column(key, width, ".2f") for key in ("ms", "ms 10 %", "ms 90 %")]


def write_json(
    path: Path,
    benchmark: str,
    argv: Sequence[str] | None,
    machine: dict[str, Any],
    tables: Iterable[Table],
    **more: Any,
) -> None:
    """Write the tables, the machine and the command that made them.

    Parameters
    ----------
    path : Path
    benchmark : str
        The program's name, such as "conv".
    argv : sequence of str, optional
        Its arguments; None means those of this process.
    machine : dict
        From `machine.describe`.
    tables : iterable of Table
    **more
        Further entries, such as the measured peaks.
    """
    given = sys.argv[1:] if argv is None else argv
    content = {
        "benchmark": benchmark,
        "command": shlex.join(["python", f"benchmarks/{benchmark}.py", *given]),
        "machine": machine,
        **more,
        "tables": [asdict(table) for table in tables],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nWrote {path}.")


def read_tables(content: dict[str, Any]) -> list[Table]:
    """Return the tables of a file that `write_json` wrote."""
    return [
        Table(entry["title"], [Column(*column) for column in entry["columns"]], entry["rows"], entry["notes"])
        for entry in content["tables"]
    ]
