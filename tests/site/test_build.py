"""Small sites, built: what is shown, and what makes a build fail."""

import html
import json
import re

import pytest

pytest.importorskip("myst_nb", reason="the site needs the extra docs")
pytest.importorskip("pydata_sphinx_theme", reason="the site needs the extra docs")

import lessons
import make
import reading
import staging

pytestmark = pytest.mark.slow

READ = "tinycnn/kernels/conv/naive.py"
CODE = re.compile(r'<div class="highlight-python[^>]*>(.*?)</pre>', re.DOTALL)


@pytest.fixture
def build(tmp_path, monkeypatch):
    """A function that builds a site of some files; it returns the exit status and the folder."""

    def build(**files):
        source, site = tmp_path / "source", tmp_path / "site"
        monkeypatch.setattr(make, "SOURCE", source)
        monkeypatch.setattr(make, "SITE", site)
        tree = "\n".join(f"   {name}" for name in files)
        index = f"Index\n=====\n\n.. toctree::\n\n{tree}\n"
        monkeypatch.setattr(make, "stage", lambda folder: stage(folder, {"index.rst": index, **files}))
        return make.main(["-q"]), site

    def stage(folder, files):
        for name, text in files.items():
            staging.write(folder / (name if "." in name else f"{name}.rst"), text)
        staging.copy(staging.PACKAGE.parent / READ, folder / READ)

    return build


def notebook(code):
    """Return a lesson with one cell of code."""
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Lesson"},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {},
            "source": code,
            "outputs": [],
            "execution_count": None,
        },
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


def test_a_page_shows_the_source_line_by_line(build):
    """The code in the page is the file, and its numbers are right; formulas are MathML."""
    source = (staging.PACKAGE.parent / READ).read_text(encoding="utf-8")
    page = reading.page(source, READ, "naive", "Words.", ("", ""), "https://forge/naive.py")
    status, site = build(naive=page, formula="Formula\n=======\n\n:math:`a_i`\n")
    assert status == 0
    shown = (site / "naive.html").read_text(encoding="utf-8")
    lines = []
    for block in CODE.findall(shown):
        text = html.unescape(re.sub(r"<[^>]+>", "", block)).strip("\n")
        lines += re.findall(r"^ *(\d+)(.*)$", text, re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, len(source.splitlines()) + 1))
    assert [line.rstrip() for _, line in lines] == source.splitlines()
    assert "Never optimise this file" in shown.partition("<details>")[0]
    assert "<msub><mi>a</mi><mi>i</mi></msub>" in (site / "formula.html").read_text(encoding="utf-8")


def test_a_warning_fails_the_build(build, capfd):
    """A formula that cannot be shown."""
    status, _ = build(formula="Formula\n=======\n\n:math:`\\nonsense{x}`\n")
    assert status != 0
    assert "formula: expected commands" in capfd.readouterr().err


def test_a_lesson_is_run(build):
    """And shows what it printed."""
    status, site = build(**{"lessons/1_a.ipynb": notebook("print(6 * 7)")})
    assert status == 0
    assert ">42" in (site / "lessons" / "1_a.html").read_text(encoding="utf-8")


def test_a_slow_lesson_fails_the_build(build, monkeypatch, capfd):
    """Here one that takes longer than no time."""
    monkeypatch.setattr(lessons, "ONE", 0.0)
    status, _ = build(**{"lessons/1_a.ipynb": notebook("1")})
    assert status != 0
    assert "lessons/1_a: expected at most 0 s" in capfd.readouterr().err


def test_a_lesson_with_an_error_fails_the_build(build, capfd):
    """It is no page with a traceback."""
    status, _ = build(**{"lessons/1_a.ipynb": notebook("1 / 0")})
    assert status != 0
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_page_that_loads_from_a_network_fails_the_build(build, capfd):
    """An image that is somewhere else."""
    page = 'Page\n====\n\n.. raw:: html\n\n   <img src="https://x.org/a.png">\n'
    status, _ = build(page=page)
    assert status != 0
    assert "page.html: expected nothing from a network" in capfd.readouterr().out
