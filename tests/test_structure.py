"""The house rules: imports go one way, files stay readable, importing is light and silent."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tinycnn

PACKAGE = Path(tinycnn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A module may import from its own floor and from those below.
FLOORS = [
    {"checks", "config", "files", "notices", "randomness", "schedules"},
    {"activations", "initializers", "kernels"},
    {"layers", "losses", "metrics", "optimizers", "saving"},
    {"chains", "network", "sequential", "snapshots", "stages", "summary", "training"},
    {"compilation", "datasets", "gradcheck", "inspection", "models"},
    {"__init__"},
]
# The optional or slow ones, each with the only places that may import it.
COMPILED = (
    "adam",
    "average",
    "cachefile",
    "chain",
    "dense",
    "direct",
    "epilogue",
    "jit",
    "microkernel",
    "pooled",
    "pooling",
    "random",
    "simd",
    "sparse",
    "transforms",
    "turns",
    "warp",
    "winograd",
    "winograd_image",
)
GUARDED = {
    "h5py": {"saving/hdf5.py"},
    "matplotlib": {"inspection/plots.py"},
    "numba": {f"kernels/{name}.py" for name in COMPILED},
    "tqdm": {"training/progress.py"},
}


def imported_modules(path):
    """Return the full names of all that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def floor(room):
    """Return the number of the floor a top-level module or folder is on."""
    found = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert len(found) == 1, f"tinycnn/{room}: put it on one floor of FLOORS, received {found}"
    return found[0]


def rooms_imported(path):
    """Return the top-level modules and folders of tinycnn that a file imports from."""
    parts = [name.split(".") for name in imported_modules(path)]
    return {part[1] for part in parts if part[0] == "tinycnn" and len(part) > 1}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_never_run_up(path):
    """Also a cycle between two floors would show here."""
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for imported in rooms_imported(path):
        assert floor(imported) <= floor(room), f"{path.name} imports {imported}, which is above it"


def test_the_import_test_sees_an_arrow_that_runs_up(tmp_path):
    """A file of layers that imports sequential is found."""
    path = tmp_path / "conv.py"
    path.write_text("def f():\n    from tinycnn.sequential import Sequential\n")
    assert [r for r in rooms_imported(path) if floor(r) > floor("layers")] == ["sequential"]


@pytest.mark.parametrize("library", GUARDED)
def test_a_library_is_imported_in_its_places_only(library):
    """So that the cure for a missing one is in one place."""
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(name.split(".")[0] == library for name in imported_modules(path))
    }
    assert users == GUARDED[library]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_are_of_a_size_to_be_read(path):
    """300 lines a file, 60 a function, docstrings not counted in a function."""
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 300
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            assert (node.end_lineno or 0) - first.lineno < 60, f"{path.name}: {node.name}"


def test_the_contract_of_a_layer_stays_small():
    """This is where Keras lost its smallness."""
    assert len((PACKAGE / "layers" / "base.py").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_public_thing_has_a_docstring(path):
    """Modules, classes and functions whose names do not begin with an underscore."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        if public and node in tree.body:
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_import_is_light_and_silent():
    """No compiler, no HDF5, no plots before they are needed; nothing printed."""
    code = "import sys, tinycnn; print(sorted({'numba', 'h5py', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_public_names_exist():
    """What the package promises is there."""
    for name in tinycnn.__all__:
        assert hasattr(tinycnn, name)
