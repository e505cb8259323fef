"""Generation of the page of results from the JSON files of full runs.

::

    python benchmarks/results.py conv.json training.json inference.json scaling.json -> benchmarks/RESULTS.md

Each file holds its tables, the machine and the command.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import arguments
from machine import one_line
from reporting import read_tables

PAGE = Path(__file__).parent / "RESULTS.md"
HEAD = """# Results of the benchmarks

Written by `python benchmarks/results.py` from the files that the commands below produced;
[README.md](README.md) says how each figure is counted. Times are medians; "10 %" and "90 %" are percentiles.
Read ratios: absolute figures belong to this machine on this day.
"""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options, with the contents of the files; end the program if one is wrong."""
    parser = argparse.ArgumentParser(
        description="Write the page of results from JSON files of the benchmarks.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("files", type=Path, nargs="+", help="in the order of the page")
    parser.add_argument(
        "--picture",
        action="append",
        default=[],
        help="a picture for the top of the page, relative to it",
        metavar="FILE",
    )
    parser.add_argument("--add", action="store_true", help="add these files to the page that is there")
    parser.add_argument("--out", type=arguments.new_file, default=PAGE, help="the page to write")
    options = parser.parse_args(argv)
    options.contents = []
    for path in options.files:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            section(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(
                f"{path}: expected a JSON file of a benchmark, received {type(error).__name__}: {error}"
            )
        options.contents.append(content)
    return options


def section(content: dict[str, Any]) -> str:
    """Return the Markdown of one file: the command, the machine and the tables."""
    lines = [f"## {content['benchmark']}", "", f"`{content['command']}`", ""]
    lines += [f"{line}  " for line in one_line(content["machine"]).splitlines()]
    if "peaks" in content:
        peaks = content["peaks"]
        lines.append(f"Measured peaks: {peaks['GFLOP/s']:.0f} GFLOP/s, {peaks['GB/s']:.1f} GB/s.")
    return "\n".join([*lines, "", *(table.markdown() for table in read_tables(content))])


def main(argv: list[str] | None = None) -> None:
    """Write the page."""
    options = parse_arguments(argv)
    pictures = [f"![{Path(name).stem}]({name})\n" for name in options.picture]
    head = options.out.read_text(encoding="utf-8") if options.add else HEAD
    page = "\n".join([head, *pictures, *map(section, options.contents)])
    options.out.write_text(page, encoding="utf-8")
    print(f"Wrote {options.out}.")


if __name__ == "__main__":
    main()
