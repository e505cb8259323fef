"""Rules of the house: imports go one way, files stay readable, importing is light and silent."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import tinycnn
from tests.each_file import each

pytestmark = pytest.mark.smoke

PACKAGE = Path(tinycnn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A room, a folder or a module, may import from its own floor and from those below.
# Inside `kernels` the rooms have floors of their own.
FLOORS = [
    {"support"},
    {"activations", "initializers", "kernels", "regularizers"},
    {"layers", "losses", "metrics", "optimizers"},
    {"parameters", "saving"},
    {"datasets", "execution", "inspection", "training"},
    {"stack"},
    {"network"},
    {"sequential"},
    {"models"},
    {"recipes", "warmup"},
    {"__init__"},
    {"distributed", "serve", "sklearn", "teach"},
    {"cli"},
    {"__main__"},
]
KERNEL_FLOORS = [
    {"geometry", "selection", "runtime"},
    {"argument_checks", "explanation", "primitives"},
    {"adam", "dense", "moving_average", "warp", "warp_numpy"},
    {"conv", "depthwise", "pool"},
    {"fused"},
    {"__init__"},
]
# The libraries that are optional or slow to import, each with the only places that may import it.
COMPILED = (
    "conv/",
    "dense/",
    "depthwise/",
    "fused/",
    "pool/",
    "primitives/",
    "runtime/",
    "adam.py",
    "moving_average.py",
    "warp.py",
)
GUARDED = {
    "PIL": ("datasets/digits.py", "datasets/pictures.py"),
    "h5py": ("saving/hdf5.py", "saving/weights_h5.py"),
    "matplotlib": ("inspection/plots/",),
    "mpi4py": ("distributed.py",),
    "google": ("saving/onnx/",),
    "numba": (*(f"kernels/{place}" for place in COMPILED), "cli/self_test.py"),
    "onnx": ("saving/onnx/",),
    "safetensors": ("saving/safetensors.py",),
    "sklearn": ("sklearn/",),
    "threadpoolctl": ("kernels/runtime/threads.py",),
    "torch": ("saving/torch_files.py",),
    "tqdm": ("training/progress.py",),
}
# Old names work for one version, by a table of names.
BY_STRING = {"support/renamed.py"}
# Words that this project once had for what the field has a name for; see CONTRIBUTING.
PRIVATE_WORDS = re.compile(
    r"\b(ConvStage|ConvPoolStage|stages?|winners?|nobody|likewise|so many|in hand|trainings"
    r"|cachefile|_kept|_recall|the documented network)\b"
)


def place(path):
    """Return a file's path in the package, as text."""
    return path.relative_to(PACKAGE).as_posix()


each_file = each(FILES, place)


@cache
def nodes(tree):
    """Return all nodes of a syntax tree; the tests ask for those of each file several times."""
    return list(ast.walk(tree))


@cache
def imports(tree, module_level_only=False):
    """Return the full names of all that a syntax tree imports, also in functions unless told otherwise."""
    names = set()
    for node in tree.body if module_level_only else nodes(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def floor(room, floors):
    """Return the number of the floor that a room is on."""
    found = [number for number, rooms in enumerate(floors) if room in rooms]
    assert len(found) == 1, f"{room}: put it on one floor, received {found}"
    return found[0]


def upward(path, tree, root="tinycnn", floors=FLOORS):
    """Return the rooms above its own that a file imports from; `root` is the package that has the rooms."""
    depth = root.count(".")
    parts = path.parts[depth:]
    own = floor(parts[0].removesuffix(".py"), floors)
    rooms = {
        name.removeprefix(f"{root}.").split(".")[0] for name in imports(tree) if name.startswith(f"{root}.")
    }
    known = set().union(*floors)
    rooms = {room if room in known else "__init__" for room in rooms}  # a name of the package itself
    return sorted(room for room in rooms if floor(room, floors) > own)


@each_file
def test_imports_never_run_up(path):
    """A cycle between two floors would show here too."""
    relative = path.relative_to(PACKAGE)
    tree = parsed(path)
    assert upward(relative, tree) == []
    if relative.parts[0] == "kernels":
        assert upward(relative, tree, "tinycnn.kernels", KERNEL_FLOORS) == []


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("layers/conv.py", "def f():\n    from tinycnn.sequential import Sequential\n", ["sequential"]),
        ("losses.py", "import tinycnn.training.loop\n", ["training"]),
        ("layers/conv.py", "from tinycnn import Sequential, kernels\n", ["__init__"]),
        ("layers/conv.py", "from tinycnn import kernels, losses\n", []),
    ],
)
def test_the_import_test_sees_an_arrow_that_runs_up(path, source, expected):
    assert upward(Path(path), ast.parse(source)) == expected


@pytest.mark.parametrize("path", [path for path in FILES if {"cli", "teach"} & set(path.parts)], ids=place)
def test_the_top_floor_stands_on_public_names(path):
    """What a user of the package could write too: no name of another module begins with an underscore."""
    tree = parsed(path)
    names = {part for name in imports(tree) for part in name.split(".")}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    own = {name for name in names if name.startswith("_") and not name.startswith("__")}
    assert own <= {"_asdict", "_replace", "_exit"}  # of named tuples, and of os


def test_the_floors_name_what_exists():
    """A room that is gone would let another of its name in."""
    for folder, floors in ((PACKAGE, FLOORS), (PACKAGE / "kernels", KERNEL_FLOORS)):
        rooms = {path.name.removesuffix(".py") for path in folder.iterdir() if list(path.glob("*.py"))}
        rooms |= {path.stem for path in folder.glob("*.py")}
        assert set().union(*floors) == rooms


@pytest.mark.parametrize("library", GUARDED)
def test_a_library_is_imported_in_its_places_only(library):
    """So the message for a missing one is in one place."""
    users = [
        place(path) for path in FILES if any(name.split(".")[0] == library for name in imports(parsed(path)))
    ]
    assert users
    assert [user for user in users if not user.startswith(GUARDED[library])] == []


def numba_modules():
    """Return the modules whose import brings Numba, directly or through others."""
    direct = {path: imports(parsed(path), module_level_only=True) for path in FILES}
    names = {
        path: "tinycnn." + place(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in FILES
    }
    found = {names[path] for path in FILES if any(name.split(".")[0] == "numba" for name in direct[path])}
    while True:
        more = {names[path] for path in FILES if any(begins_with(name, found) for name in direct[path])}
        if more <= found:
            return found
        found |= more


def begins_with(name, modules):
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def test_numba_is_imported_when_a_kernel_first_runs():
    """A module that brings Numba is imported at module level only by others of the compiled folders."""
    found = numba_modules()
    assert "tinycnn.kernels.conv.direct" in found
    assert "tinycnn.kernels.fused.single_image" in found
    outside = [name for name in found if not begins_with(name, {"tinycnn.kernels"})]
    assert outside == []
    assert (
        not {"tinycnn.kernels", "tinycnn.kernels.conv", "tinycnn.kernels.pool", "tinycnn.kernels.dense"}
        & found
    )


@each_file
def test_no_function_is_found_by_a_string(path):
    """What an editor cannot jump to: `importlib`, and `getattr` of a module by a name that is computed."""
    tree = parsed(path)
    modules = {name.split(".")[-1] for name in imports(tree) if name.startswith("tinycnn.")}
    for node in nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            target, name = node.args[:2]
            computed = not isinstance(name, ast.Constant)
            assert not (computed and isinstance(target, ast.Name) and target.id in modules), ast.unparse(node)
    names = imports(tree) - {"importlib.metadata"}  # versions of packages
    by_string = any(name.split(".")[0] == "importlib" for name in names)
    assert by_string == (place(path) in BY_STRING)


def calls(node, name):
    """Return whether a function calls another, by its name."""
    return any(isinstance(n, ast.Call) and ast.unparse(n.func) == name for n in ast.walk(node))


@cache
def parallel_kernels():
    """Return the names of the functions that Numba runs on its threads."""
    return {
        node.name
        for path in FILES
        if "kernels" in path.parts
        for node in nodes(parsed(path))
        if isinstance(node, ast.FunctionDef) and calls(node, "parallel_for")
    }


def unguarded_calls(node, kernels, guarded=False):
    """Return the calls of parallel kernels, by functions that are not compiled, outside of the guard."""
    if isinstance(node, ast.FunctionDef) and any("jit" in ast.unparse(d) for d in node.decorator_list):
        return []
    if isinstance(node, ast.With):
        guarded = guarded or any(ast.unparse(i.context_expr).endswith("guard") for i in node.items)
    found = []
    if isinstance(node, ast.Call) and not guarded:
        name = ast.unparse(node.func).split(".")[-1]
        found = [ast.unparse(node)] if name in kernels else []
    return found + [
        call for child in ast.iter_child_nodes(node) for call in unguarded_calls(child, kernels, guarded)
    ]


@pytest.mark.parametrize("path", [path for path in FILES if "kernels" in path.parts], ids=place)
def test_parallel_kernels_are_called_under_the_guard(path):
    """`runtime.threads` has the reasons: threads of Python at once, and processes that were forked."""
    kernels = parallel_kernels()
    assert len(kernels) > 15
    assert unguarded_calls(parsed(path), kernels) == []


@each_file
def test_files_and_functions_are_of_a_size_to_be_read(path):
    """350 lines a file, 60 a function, docstrings not counted in a function."""
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 350
    for node in nodes(parsed(path)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            assert (node.end_lineno or 0) - first.lineno < 60, f"{path.name}: {node.name}"


def test_the_contract_of_a_layer_stays_small():
    """This is where Keras lost its smallness."""
    assert len((PACKAGE / "layers" / "base.py").read_text(encoding="utf-8").splitlines()) <= 200


@each_file
def test_every_public_thing_has_a_docstring(path):
    """Modules, classes and functions whose names do not begin with an underscore."""
    tree = parsed(path)
    if path.name != "__init__.py" or tree.body:
        assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_import_is_light_and_silent():
    """No compiler, no HDF5, no plots before they are needed; nothing printed."""
    heavy = {"numba", "h5py", "matplotlib", "onnx", "PIL", "safetensors", "sklearn", "torch"}
    code = f"import sys, tinycnn; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_public_names_exist():
    """What the package promises is there."""
    for name in tinycnn.__all__:
        assert hasattr(tinycnn, name)
