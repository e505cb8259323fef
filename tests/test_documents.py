"""The Markdown files: their code runs, their values are right, their links and commands lead to files.

::

    ```python ... ``` -> the blocks of a file, in order, in one namespace; MNIST is cut to a few images

A comment after a statement that is a shape or an array, as in `y = f(x)  # (5, 26, 26, 32)`, is compared.
"""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import tinycnn

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
PROGRAM = re.compile(r"python (?:-m )?((?:examples|benchmarks)/\w+\.py)")
SHAPE = re.compile(r"\(\d+,(?: \d+,?)*\)")
ARRAY = re.compile(r"\[[\d. ]+\]")


def name(path):
    """Return a document's path, as text."""
    return path.relative_to(ROOT).as_posix()


def text(path):
    """Return the content of a document."""
    return path.read_text(encoding="utf-8")


each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name)


def run_block(block, namespace):
    """Run a block statement by statement; return how many comments with a value were compared."""
    compared = 0
    lines = block.splitlines()
    for node in ast.parse(block).body:
        source = ast.get_source_segment(block, node)
        _, _, comment = lines[node.end_lineno - 1].partition("  # ")
        if isinstance(node, ast.Expr):
            value = eval(source, namespace)
        else:
            exec(source, namespace)
            value = namespace[node.targets[0].id] if assigns_a_name(node) else None
        compared += compare(value, comment)
    return compared


def assigns_a_name(node):
    """Return whether a statement is `name = ...`."""
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)


def compare(value, comment):
    """Compare a value with the shape or the array that a comment names; return whether it names one."""
    shape, array = SHAPE.search(comment), ARRAY.search(comment)
    if not isinstance(value, np.ndarray) or not (shape or array):
        return False
    assert (str(value.shape) if shape else str(value)) == (shape or array)[0]
    return True


@pytest.fixture
def few_images(monkeypatch):
    """The first images of MNIST, in the place of all."""
    whole = tinycnn.datasets.load_mnist()
    few = [(images[:count], labels[:count]) for (images, labels), count in zip(whole, (300, 70), strict=True)]
    monkeypatch.setattr(tinycnn.datasets, "load_mnist", lambda *folder: few)


LONG = {"usage.md", "scaling.md", "page.md", "digits.md"}  # they train, and take seconds


def with_code():
    """Return the documents with examples; the long ones are slow tests."""
    found = [path for path in DOCUMENTS if BLOCK.search(text(path))]
    return [pytest.param(path, marks=[pytest.mark.slow] if path.name in LONG else []) for path in found]


@pytest.mark.parametrize("path", with_code(), ids=name)
@pytest.mark.usefixtures("few_images")
def test_code_runs(path, monkeypatch, tmp_path):
    """From the first block to the last, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in BLOCK.findall(text(path)):
        run_block(block, namespace)


def test_a_wrong_comment_is_found():
    """Values in comments are compared, other comments are not."""
    block = "import numpy as np\nx = np.zeros((2, 3))  # zeros, {}\nx.argmax(axis=1)  # {}\n"
    assert run_block(block.format("(2, 3)", "[0 0]"), {}) == 2
    assert run_block(block.format("two rows", "where"), {}) == 0
    for comments in (("(3, 2)", "[0 0]"), ("(2, 3)", "[0 1]")):
        with pytest.raises(AssertionError):
            run_block(block.format(*comments), {})


@pytest.mark.smoke
@each_document
def test_links_and_programs_lead_to_files(path):
    """Links from the folder of the document, programs from the root."""
    outside = ("http://", "https://", "mailto:")
    links = [link for link in LINK.findall(text(path)) if not link.startswith(outside)]
    package = Path(tinycnn.__file__).parent.parent  # the tests may run against an installation
    missing = [link for link in links if not any(found(path.parent / link, root) for root in (ROOT, package))]
    missing += [program for program in PROGRAM.findall(text(path)) if not (ROOT / program).exists()]
    assert missing == []


def found(target, root):
    """Return whether a file of the tree exists, below another root."""
    relative = Path(target.resolve()).relative_to(ROOT)
    return (root / relative).exists()
