"""Steps of the project, each in an environment of its own; `.ci/run` and the workflow call these alone.

::

    nox -l                      list the steps
    nox -s smoke test           run two of them; without -s: smoke and test
    nox -R -s test -- -k adam   in the environment of the last time; what follows `--` goes to pytest
"""

import shutil
import tempfile
from pathlib import Path

import nox

OLDEST = "3.10"  # as python_requires in setup.cfg
nox.options.sessions = ["smoke", "test"]


def pytest(session: nox.Session, *options: str) -> None:
    """Run pytest in the session's environment, with the options of the command line last."""
    session.run("python", "-m", "pytest", *options, *session.posargs)


@nox.session
def smoke(session: nox.Session) -> None:
    """Run the tests that compile no kernel: seconds."""
    session.install("-e", ".[test]")
    pytest(session, "-m", "smoke")


@nox.session
def test(session: nox.Session) -> None:
    """Run the README's test command: all fast tests."""
    session.install("-e", ".[test]")
    pytest(session, "-n", "auto")


@nox.session
def slow(session: nox.Session) -> None:
    """Run the slow tests: the lessons, the page in a browser, comparisons with Keras and PyTorch (1.5 GB)."""
    session.install("-e", ".[test,peers,notebooks,browser]")
    pytest(session, "-m", "slow", "-n", "auto")


@nox.session
def bench(session: nox.Session) -> None:
    """Run a program of benchmarks/: `nox -s bench -- inference --batch-size 1`; by default training steps."""
    session.install("-e", ".[bench]")
    program, *options = session.posargs or ["training", "--batch-size", "128"]
    session.run("python", f"benchmarks/{program}.py", *options)


@nox.session
def docs(session: nox.Session) -> None:
    """Run the examples in docstrings and in the Markdown files, and follow the files' links."""
    session.install("-e", ".[test]")
    pytest(session, "tests/test_doctests.py", "tests/test_documents.py", "-m", "slow or not slow")


@nox.session
def site(session: nox.Session) -> None:
    """Build the site into build/site, its lessons run and warnings as errors, and test its parts."""
    session.install("-e", ".[docs,test]")
    session.run("python", "-m", "pytest", "tests/site", "-m", "slow or not slow")
    session.run("python", "docs/site/make.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and types."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def coverage(session: nox.Session) -> None:
    """Count the lines that the fast tests run; pyproject.toml says which count, and how many must run."""
    session.install("-e", ".[dev]")
    pytest(session, "-n", "auto", "--quiet", "--cov", "--cov-report=term:skip-covered")


@nox.session
def packages(session: nox.Session) -> None:
    """Build the sdist and the wheel, check them, and run the smoke tests on the wheel, outside the tree."""
    session.install("build", "twine")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        session.run("python", "-m", "build", "--outdir", str(folder), silent=True)
        (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
        session.run("twine", "check", "--strict", str(sdist), str(wheel))
        session.run("python", ".ci/contents.py", str(sdist), str(wheel))
        session.install(f"{wheel}[test]")
        shutil.unpack_archive(sdist, folder / "sdist")
        (tree,) = (folder / "sdist").iterdir()
        shutil.rmtree(tree / "tinycnn")  # the tests would import it, where the wheel's is meant
        with session.chdir(tree):
            pytest(session, "-m", "smoke", "--quiet")


@nox.session(python=OLDEST)
def oldest(session: nox.Session) -> None:
    """Run the smoke tests on the oldest Python, with the oldest dependencies that setup.cfg admits."""
    lines = session.run("python", ".ci/lowest.py", "test", silent=True)
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text(str(lines), encoding="utf-8")
    session.install("-e", ".[test]", "--constraint", str(constraints))
    both_ends(session)


@nox.session(python=["3.12", "3.13"])
def newest(session: nox.Session) -> None:
    """Run the smoke tests on the newest Pythons, with the newest of everything."""
    session.install("--upgrade", "--upgrade-strategy", "eager", "-e", ".[test]")
    both_ends(session)


def both_ends(session: nox.Session) -> None:
    """Run the smoke tests, then tests that compile kernels and train."""
    session.run("python", "-m", "pip", "list")
    pytest(session, "-m", "smoke", "--quiet")
    pytest(session, "--quiet", "tests/test_sequential.py")
