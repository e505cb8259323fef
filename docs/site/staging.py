"""The sources of the site, put together in one folder: documents, lessons, pages that are made from the code.

::

    docs/**/*.md, README.md, ... -> links.relinked ----\
    examples/notebooks/*.ipynb ------------------------ -> a folder -> sphinx-build
    tinycnn/**/*.py -> reading.page, reference.page ---/

Nothing is written into the tree: the documents there are read on a forge too.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import links
import reading
import reference
from reading_order import CHAPTERS

import tinycnn

ROOT = Path(__file__).parents[2]
PACKAGE = Path(tinycnn.__file__).parent
REPOSITORY = "https://github.com/tinycnn/tinycnn/blob/main"

#: Documents outside docs/, and their places in the site. README.md is included by index.md, and no page.
OTHERS = {
    "README.md": "README.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/RESULTS.md": "results.md",
    "tinycnn/pretrained/mnist_cnn.md": "card.md",
}
NOTEBOOKS = "examples/notebooks"
HOMEWORK = "homework.ipynb"
DOWNLOADS = "download"
RELINKED = {".md": links.relinked, ".ipynb": links.relinked_notebook}


def stage(folder: Path) -> None:
    """Write all sources of the site into a folder, whose old content is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = places()
    for path, place in pages.items():
        relinked = RELINKED.get(Path(path).suffix)
        if relinked:
            text = (ROOT / path).read_text(encoding="utf-8")
            write(folder / place, relinked(text, path, pages, REPOSITORY))
        elif not path.startswith("tinycnn/"):
            copy(ROOT / path, folder / place)
    for place, text in generated():
        write(folder / place, text)
    for file in notebooks():
        copy(file, folder / DOWNLOADS / file.name)  # as it is, for those who run it
    for path in read_files():
        copy(PACKAGE.parent / path, folder / path)


def places() -> dict[str, str]:
    """Return the place in the site of each file that is in it, by its path in the repository."""
    found = {}
    for file in sorted((ROOT / "docs").rglob("*")):
        path = file.relative_to(ROOT / "docs").as_posix()
        if file.is_file() and not path.startswith("site/"):
            found[f"docs/{path}"] = path
    for file in sorted((ROOT / "docs" / "site" / "pages").rglob("*.md")):
        path = file.relative_to(ROOT).as_posix()
        found[path] = path.removeprefix("docs/site/pages/")
    for file in sorted((ROOT / "benchmarks").glob("*.png")):
        found[f"benchmarks/{file.name}"] = f"images/{file.name}"
    for file in notebooks():
        found[f"{NOTEBOOKS}/{file.name}"] = f"lessons/{file.name}"
    for file in beside_notebooks():
        found[file.relative_to(ROOT).as_posix()] = f"lessons/{file.relative_to(ROOT / NOTEBOOKS).as_posix()}"
    found.update({path: place for path, place in OTHERS.items() if (ROOT / path).exists()})
    found.update({path: f"{reading.document(path)}.rst" for path in read_files()})
    return found


def notebooks() -> list[Path]:
    """Return the lessons in order, and the homework after them."""
    folder = ROOT / NOTEBOOKS
    return [*sorted(folder.glob("[0-9]_*.ipynb")), folder / HOMEWORK]


def beside_notebooks() -> list[Path]:
    """Return what lessons may load: pictures, data and modules in their folder."""
    files = sorted((ROOT / NOTEBOOKS).rglob("*.*"))
    unwanted = {".ipynb", ".md", ".pyc"}
    return [file for file in files if file.is_file() and file.suffix not in unwanted]


def read_files() -> list[str]:
    """Return the files of the reading order."""
    return [f"tinycnn/{path}" for chapter in CHAPTERS for path, _ in chapter.files]


def generated() -> Iterator[tuple[str, str]]:
    """Yield (place, text) of the pages that are made from the code, and of the lists of pages."""
    yield "reference/index.rst", reference.index()
    for name in reference.MODULES:
        module = reference.module_of(name)
        yield f"{reference.document(module)}.rst", reference.page(module)
    yield "reading/index.rst", reading_index()
    yield from reading_pages()
    yield "lessons/index.rst", lessons_index([file.name for file in notebooks()])


def reading_pages() -> Iterator[tuple[str, str]]:
    """Yield the pages of "Read the code", each with the ones before and after it."""
    files = [entry for chapter in CHAPTERS for entry in chapter.files]
    names = ["", *(reading.document(f"tinycnn/{path}") for path, _ in files), ""]
    for number, (path, introduction) in enumerate(files):
        before, after = (f"/{name}" if name else "" for name in (names[number], names[number + 2]))
        place = f"tinycnn/{path}"
        source = (PACKAGE / path).read_text(encoding="utf-8")
        link = f"{REPOSITORY}/{place}"
        yield (
            f"{names[number + 1]}.rst",
            reading.page(source, place, path, introduction, (before, after), link),
        )


def reading_index() -> str:
    """Return the list of the files to read, in chapters."""
    parts = [
        ":html_theme.sidebar_secondary.remove:\n\nRead the code\n=============",
        "The prose beside the source is the source's own: docstrings and comments of the file. Start with "
        "the first page and go on with *next*, or read the second chapter alone: it is the core of the "
        "library.",
    ]
    documents = []
    for chapter in CHAPTERS:
        names = [reading.document(f"tinycnn/{path}") for path, _ in chapter.files]
        documents += names
        lines = [f"* :doc:`/{name}`: {text}" for name, (_, text) in zip(names, chapter.files, strict=True)]
        parts += [f"{chapter.title}\n{'-' * len(chapter.title)}", chapter.introduction, "\n".join(lines)]
    tree = "\n".join(f"   /{name}" for name in documents)
    return "\n\n".join([*parts, f".. toctree::\n   :hidden:\n\n{tree}\n"])


def lessons_index(names: list[str]) -> str:
    """Return the list of the lessons."""
    lessons = [name.removesuffix(".ipynb") for name in names if name != HOMEWORK]
    introduction = (
        "Notebooks to run and to change. They are in ``examples/notebooks``; "
        '``pip install -e ".[notebooks]"`` installs what they need beside an editor of notebooks. '
        "The site shows what they printed when it was built."
    )
    homework = HOMEWORK.removesuffix(".ipynb")
    tree = "\n".join(f"   {name}" for name in [*lessons, homework])
    return "\n\n".join(
        (
            "Lessons\n=======",
            introduction,
            "\n".join(
                f"* :doc:`{name}` (:download:`{name}.ipynb </{DOWNLOADS}/{name}.ipynb>`)" for name in lessons
            ),
            f"Then the homework, seven functions to write: :doc:`{homework}` "
            f"(:download:`{HOMEWORK} </{DOWNLOADS}/{HOMEWORK}>`). It grades itself: :doc:`/teach`.",
            f".. toctree::\n   :hidden:\n\n{tree}\n",
        )
    )


def write(path: Path, text: str) -> None:
    """Write a text file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def copy(source: Path, target: Path) -> None:
    """Copy a file, with its folders."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
