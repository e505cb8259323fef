"""Links in the site: to its own pages, or to the project's repository; nothing is loaded from a network."""

import json

import links
import offline
import pytest
import staging

pytestmark = pytest.mark.smoke

PAGES = {
    "docs/layers/dense.md": "layers/dense.md",
    "docs/usage.md": "usage.md",
    "tinycnn/layers/conv.py": "reading/layers/conv.rst",
    "docs/images/a.png": "images/a.png",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](../usage.md)", "[a](../usage.md)"),
        ("[a](../usage.md#data)", "[a](../usage.md#data)"),
        ("[a](../../tinycnn/layers/conv.py)", "[a](../reading/layers/conv.rst)"),
        ("![a](../images/a.png)", "![a](../images/a.png)"),
        ("[a](../../LICENSE)", "[a](https://forge/main/LICENSE)"),
        ("[a](#here) [b](https://x.org/y) [c](mailto:d)", "[a](#here) [b](https://x.org/y) [c](mailto:d)"),
    ],
)
def test_links_of_a_document(text, expected):
    """From docs/layers/dense.md."""
    assert links.relinked(text, "docs/layers/dense.md", PAGES, "https://forge/main") == expected


def test_links_of_a_notebook():
    """In its text only, not in its code."""
    link = "[a](../../tinycnn/layers/conv.py)"
    cells = [{"cell_type": kind, "source": ["x ", link]} for kind in ("markdown", "code")]
    pages = {**PAGES, "examples/notebooks/1_a.ipynb": "lessons/1_a.ipynb"}
    text = links.relinked_notebook(
        json.dumps({"cells": cells}), "examples/notebooks/1_a.ipynb", pages, "https://forge"
    )
    markdown, code = json.loads(text)["cells"]
    assert markdown["source"] == "x [a](../reading/layers/conv.rst)"
    assert code["source"] == ["x ", link]


def test_every_document_is_in_the_site():
    """And no file of another kind is at the place of a page."""
    places = staging.places()
    documents = {f"docs/{path.name}" for path in (staging.ROOT / "docs").glob("*.md")}
    assert documents <= set(places)
    assert len(documents) >= 13
    assert "docs/site/pages/index.md" in places
    assert len(set(places.values())) == len(places)
    assert all((staging.ROOT / path).exists() for path in places if not path.startswith("tinycnn/"))


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.html", '<script src="https://cdn.org/a.js"></script>', 1),
        ("a.html", "<script src='//cdn.org/a.js'></script>", 1),
        ("a.html", '<link rel="stylesheet" href="http://cdn.org/a.css"/>', 1),
        (
            "a.html",
            '<img alt="x" src="https://x.org/a.png"><img srcset="b.png 1x, https://x.org/c.png 2x">',
            2,
        ),
        ("a.html", '<style>@import "https://x.org/a.css"; a {background: url(//x.org/b.png)}</style>', 2),
        ("a.css", "@font-face {src: url('https://x.org/a.woff2')}", 1),
        (
            "a.html",
            '<a href="https://x.org">x</a><link rel="canonical" href="https://x.org"><img src="a.png">',
            0,
        ),
        ("a.html", '<svg xmlns="http://www.w3.org/2000/svg"><image href="a.png"></svg>', 0),
    ],
)
def test_what_loads_from_a_network_is_found(tmp_path, name, text, found):
    """A link that waits for a click is no fault."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(list(offline.faults(tmp_path))) == found


def test_files_beside_the_lessons_are_staged(tmp_path, monkeypatch):
    """Pictures and modules that a lesson loads, with the lesson as it is, and the lessons in order."""
    folder = tmp_path / staging.NOTEBOOKS
    for name in ("2_b.ipynb", "1_a.ipynb", "homework.ipynb", "images/a.png", "tools.py", "README.md"):
        staging.write(folder / name, '{"cells": []}')
    staging.write(tmp_path / "docs" / "a.md", "[a](../examples/notebooks/1_a.ipynb)")
    monkeypatch.setattr(staging, "ROOT", tmp_path)
    monkeypatch.setattr(staging, "generated", list)
    staging.stage(tmp_path / "out")
    lessons = tmp_path / "out" / "lessons"
    found = {path.relative_to(lessons).as_posix() for path in lessons.rglob("*") if path.is_file()}
    assert found == {"1_a.ipynb", "2_b.ipynb", "homework.ipynb", "images/a.png", "tools.py"}
    assert (tmp_path / "out" / "a.md").read_text(encoding="utf-8") == "[a](lessons/1_a.ipynb)"
    assert [path.name for path in staging.notebooks()] == ["1_a.ipynb", "2_b.ipynb", "homework.ipynb"]
    index = staging.lessons_index([path.name for path in staging.notebooks()])
    assert index.index("`1_a`") < index.index("`2_b`") < index.index("`homework`")
