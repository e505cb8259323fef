"""The lessons in examples/notebooks as data: what is wrong with the form of one, and what running one says.

::

    N_name.ipynb -> JSON -> form_faults -> sentences
                         -> solved -> run, in an empty folder -> sentences
"""

import ast
import json
import os
import re
import time
import warnings
from pathlib import Path

import pytest

import tinycnn

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9]_*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEYS = {
    "markdown": {"cell_type", "id", "metadata", "source"},
    "code": {"cell_type", "id", "metadata", "source", "outputs", "execution_count"},
}
RANDOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f-]+)?")  # as editors make them
WORDS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
CODE_LINES = 25
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^```", re.MULTILINE)
HEADING = r"^(#+ |\*\*){}\b"
SECONDS = 120  # for a whole lesson, with an empty cache of kernels
PROGRESS = "tinycnn: compiling kernels"  # what may be on stderr
REASON = "{} is not installed; install the notebooks extra: pip install 'tinycnn[notebooks]'"


def read(path):
    """Return a notebook as JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def text(notebook):
    """Return the file that a notebook is stored as."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def source(cell):
    """Return the text of a cell."""
    return "".join(cell["source"])


def of_kind(notebook, kind):
    """Return the cells of a kind, "code" or "markdown"."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def form_faults(notebook, number, last):
    """Return what is wrong with lesson `number`, the last one or not, without running it."""
    faults = []
    if (notebook["nbformat"], notebook["nbformat_minor"]) != (4, 5) or notebook["metadata"] != METADATA:
        faults.append("expected format 4.5 and the metadata of the others")
    names = [cell["id"] for cell in notebook["cells"]]
    if len(set(names)) < len(names):
        faults.append("two cells have one id")
    for cell in notebook["cells"]:
        faults += [f"cell {cell['id']}: {fault}" for fault in cell_faults(cell)]
    return faults + story_faults(notebook, number, last)


def story_faults(notebook, number, last):
    """Return the parts of a lesson that are missing."""
    first, *_, end = (source(cell) for cell in notebook["cells"])
    prose = "\n".join(source(cell) for cell in of_kind(notebook, "markdown"))
    expected = {
        f"a first cell that begins with '# {number}. '": first.startswith(f"# {number}. "),
        "'You will' in the first cell": "You will" in first,
        "'What you have seen'": re.search(HEADING.format("What you have seen"), prose, re.MULTILINE),
        "'Next' at the end": re.search(HEADING.format("Next"), end, re.MULTILINE)
        or (last and "last lesson" in end),
    }
    return [f"expected {what}" for what, found in expected.items() if not found]


def cell_faults(cell):
    """Return what is wrong with one cell."""
    faults, kind = [], cell["cell_type"]
    if set(cell) != KEYS.get(kind):
        return [f"expected the keys {KEYS.get(kind)}, received {set(cell)}"]
    if not WORDS.fullmatch(cell["id"]) or RANDOM_ID.fullmatch(cell["id"]):
        faults.append("expected an id of words")
    if kind == "markdown":
        return faults + solution_faults(source(cell))
    if cell["outputs"] or cell["execution_count"] is not None:
        faults.append("expected no outputs and no execution count")
    if len(cell["source"]) > CODE_LINES:
        faults.append(f"expected at most {CODE_LINES} lines, received {len(cell['source'])}")
    return faults + code_faults(source(cell))


def solution_faults(prose):
    """Return what is wrong with a Markdown cell, if it holds a solution."""
    if "<details>" not in prose:
        return []
    faults = []
    if not prose.startswith("<details><summary>") or not prose.rstrip().endswith("</details>"):
        faults.append("expected a solution in a cell of its own")
    if len(FENCE.findall(prose)) != 2 * len(FENCED.findall(prose)):
        faults.append("expected code between ```python and ```")
    return faults + [fault for code in FENCED.findall(prose) for fault in code_faults(code)]


def code_faults(code):
    """Return an error of syntax, or the private names of tinycnn that are imported."""
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return [f"syntax: {error.msg}, line {error.lineno}"]
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [f"imports {name}, a private name" for name in names if re.match(r"tinycnn\b.*\._", name)]


def solved(notebook):
    """Return a notebook in which the code of each solution is run where it stands."""
    cells = []
    for cell in notebook["cells"]:
        cells.append(cell)
        if cell["cell_type"] == "markdown" and "<details>" in source(cell):
            for number, code in enumerate(FENCED.findall(source(cell))):
                new = {"cell_type": "code", "id": f"{cell['id']}-{number}", "metadata": {}}
                cells.append({**new, "source": [code], "outputs": [], "execution_count": None})
    return {**notebook, "cells": cells}


def import_optional(name):
    """Return a module of the notebooks extra, or skip the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=REASON.format(name))


def run(notebook, folder, monkeypatch, seconds=SECONDS):
    """Run a notebook in an empty folder, and return what is wrong: an error, a warning, a file that stays."""
    nbclient, nbformat = import_optional("nbclient"), import_optional("nbformat")
    work = folder / "work"
    work.mkdir()
    set_environment(folder, monkeypatch)
    ran = nbformat.reads(text(notebook), 4)
    nbformat.validate(ran)
    started, deadline = [], time.monotonic() + seconds
    client = nbclient.NotebookClient(
        ran,
        kernel_name="python3",
        resources={"metadata": {"path": str(work)}},
        timeout_func=lambda cell: max(1, int(deadline - time.monotonic())),
        on_cell_start=lambda cell, cell_index: started.append(cell["id"]),
    )
    try:
        client.execute()
    except nbclient.exceptions.CellTimeoutError:
        return [f"cell {started[-1]}: the lesson takes more than {seconds} s"]
    except nbclient.exceptions.CellExecutionError as error:
        return [f"cell {started[-1]}: {error.ename}: {error.evalue}"]
    return [*warnings_of(ran), *(f"left behind: {path.name}" for path in work.iterdir())]


def set_environment(folder, monkeypatch):
    """Let a kernel import the tinycnn under test, without the settings of the user."""
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(variable, str(folder / "settings"))
    paths = str(Path(tinycnn.__file__).parents[1]), os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # its threads spin on cores that the other tests need


def warnings_of(notebook):
    """Return what the cells have printed to stderr, except that kernels are compiled."""
    return [
        f"cell {cell['id']}, stderr: {line}"
        for cell in of_kind(notebook, "code")
        for output in cell["outputs"]
        if output.get("name") == "stderr"
        for line in output["text"].splitlines()
        if line.strip() and not line.startswith(PROGRESS)
    ]
