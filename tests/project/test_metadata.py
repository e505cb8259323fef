"""What several files say of the project is the same in all, and the tools for releases are right."""

import configparser
import importlib.util
import re
from pathlib import Path

import pytest

import tinycnn

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"


def read(name):
    """Return the content of a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def program(name):
    """Return a program of .ci as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lowest, contents = program("lowest"), program("contents")


def setup():
    """Return setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read_string(read("setup.cfg"))
    return parser


def test_the_citation_is_of_this_version():
    """And of this licence."""
    citation = dict(re.findall(r"^([a-z-]+): (.+)$", read("CITATION.cff"), re.MULTILINE))
    assert citation["version"] == tinycnn.__version__
    assert citation["license"] == setup()["metadata"]["license"]


def test_each_python_of_the_metadata_is_tested():
    """The classifiers begin with the oldest that pip admits; noxfile.py and the workflow follow them."""
    versions = re.findall(r"Python :: (3\.\d+)", setup()["metadata"]["classifiers"])
    assert setup()["options"]["python_requires"] == f">={versions[0]}"
    assert f'OLDEST = "{versions[0]}"' in read("noxfile.py")
    assert f'"{versions[-1]}"]' in read("noxfile.py")
    if WORKFLOW.exists():  # it is no part of an sdist
        quoted = ", ".join(f'"{version}"' for version in versions)
        assert f"python: [{quoted}]" in WORKFLOW.read_text(encoding="utf-8")


def test_the_gate_and_the_workflow_run_steps_that_exist():
    """One list of steps: noxfile.py."""
    steps = set(re.findall(r"^def (\w+)\(session: nox\.Session\)", read("noxfile.py"), re.MULTILINE))
    gate = " ".join(re.findall(r"\bstep ([a-z ]+?) (?:--|&&)", read(".ci/run"))).split()
    assert len(gate) >= 8
    assert set(gate) <= steps
    if WORKFLOW.exists():
        called = re.findall(r"nox -s (\w+)", WORKFLOW.read_text(encoding="utf-8"))
        assert set(called) == {"smoke", *gate}  # on every system, what takes a minute


SETUP = """
[options]
install_requires =
    numpy >= 1.24
    numba>=0.61,<0.70
[options.extras_require]
plot =
    matplotlib>=3.6; python_version < "3.13"
    numpy>=1.24
test =
    pytest[x]==7.4
    %(plot)s
"""


def test_lowest_versions():
    """With other extras in an extra, upper limits, markers; each once."""
    expected = ["numpy==1.24", "numba==0.61", "pytest==7.4", "matplotlib==3.6"]
    assert lowest.lowest(SETUP, ["test"]) == expected
    assert lowest.lowest(SETUP, []) == expected[:2]


def test_of_two_lowest_versions_the_highest_is_one():
    """As pip needs it: extras may ask for different ones."""
    text = """[options]
install_requires =
    pillow>=9.4
[options.extras_require]
a =
    pillow>=10.1
    numpy>=1.3
b =
    pillow>=9.12
"""
    assert lowest.lowest(text, ["a", "b"]) == ["pillow==10.1", "numpy==1.3"]


@pytest.mark.parametrize("requirement", ["numpy", "numpy<2", "numpy!=1.25"])
def test_a_requirement_without_a_lowest_version_is_refused(requirement):
    """It would be tested with the newest only."""
    with pytest.raises(ValueError, match=f"received '{requirement}'"):
        lowest.constraint(requirement)


def test_each_requirement_of_the_project_has_a_lowest_version():
    """In the test extra, which the oldest end is tested with, and in that of the site."""
    found = lowest.lowest(read("setup.cfg"), ["test"])
    assert {line.partition("==")[0] for line in found} >= {"numpy", "numba", "h5py", "tqdm", "pytest"}
    found = lowest.lowest(read("setup.cfg"), ["docs"])
    assert {line.partition("==")[0] for line in found} >= {"sphinx", "myst-nb", "latex2mathml", "ipykernel"}


def test_contents_of_packages():
    """What is missing, and what is too much."""
    tracked = {"README.md", ".github/a.yml", "LICENSE", "tinycnn/a.py", "tinycnn/b.gz"}
    assert (
        contents.sdist_faults({*tracked, "PKG-INFO", "tinycnn.egg-info/a"} - {".github/a.yml"}, tracked) == []
    )
    assert contents.sdist_faults({"README.md", "LICENSE", "tinycnn/a.py", "x.nbc"}, tracked) == [
        "missing: tinycnn/b.gz",
        "too much: x.nbc",
    ]
    licences = {f"t-1.dist-info/licenses/{name}" for name in ("LICENSE", "tinycnn/d/NOTICE")}
    wheel = {"tinycnn/a.py", "tinycnn/b.gz", "t-1.dist-info/METADATA", *licences}
    assert contents.wheel_faults(wheel, tracked) == []
    assert contents.wheel_faults(wheel - {"tinycnn/b.gz"} | {"tests/c.py"}, tracked) == [
        "missing: tinycnn/b.gz",
        "too much: tests/c.py",
    ]
    assert contents.wheel_faults(wheel - licences, tracked) == ["missing: LICENSE", "missing: NOTICE"]
