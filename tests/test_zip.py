"""The package without a folder of sources: in a zip on sys.path, and as bytecode alone."""

import compileall
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tinycnn

PACKAGE = Path(tinycnn.__file__).parent

STEP = """
import numpy as np
from tinycnn.optimizers import Adam
p = np.zeros(2**15, np.float32)
Adam(0.5).step(p, np.ones_like(p))
print(round(float(p[0]), 4))
"""


def zipped(path, changes=(), bytecode=False, data=()):
    """Write the package into a zip, with changes (file, old, new), and data whose names contain a word."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(PACKAGE.rglob("*")):
            name = file.relative_to(PACKAGE.parent).as_posix()
            if file.suffix == ".py":
                text = file.read_text(encoding="utf-8")
                for place, old, new in changes:
                    if name == place:
                        assert old in text
                        text = text.replace(old, new)
                archive.writestr(name, text)
            elif any(word in name for word in data):
                archive.write(file, name)
    if bytecode:
        folder = path.with_suffix("")
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        compileall.compile_dir(folder, quiet=2, legacy=True, workers=1)
        for file in folder.rglob("*.py"):
            file.unlink()
        return folder
    return path


def run(where, code, home, **environment):
    """Return what a program prints with the package from somewhere."""
    own = {"PYTHONPATH": str(where), "HOME": str(home), "NUMBA_CACHE_DIR": str(home / "cache"), **environment}
    check = "import tinycnn; assert tinycnn.__file__.startswith(" + repr(str(where)) + ")\n"
    done = subprocess.run(
        [sys.executable, "-c", check + code], env=os.environ | own, cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


EDIT = ("tinycnn/kernels/adam.py", "p[i] -=", "p[i] +=")


@pytest.mark.slow
@pytest.mark.parametrize("bytecode", [False, True])
def test_a_changed_kernel_is_compiled_again(tmp_path, home, bytecode):
    """The step goes the other way, and so does what was kept in the cache."""
    for changes, expected in (((), "-0.5"), ((EDIT,), "0.5"), ((), "-0.5")):
        where = zipped(tmp_path / "package.zip", changes, bytecode)
        assert run(where, STEP, home) == expected


STAMP = "from tinycnn.kernels.runtime.jit import sources_stamp; print(sources_stamp())"


@pytest.mark.slow
def test_the_stamp_of_the_sources(tmp_path, home):
    """It is that of the folder in a zip, and another one after an edit; also of bytecode alone."""
    stamps = [run(PACKAGE.parent, STAMP, home), run(zipped(tmp_path / "a.zip"), STAMP, home)]
    assert stamps[0] == stamps[1]
    stamps += [run(zipped(tmp_path / "b.zip", [EDIT]), STAMP, home)]
    stamps += [run(zipped(tmp_path / "c.zip", bytecode=True), STAMP, home)]
    stamps += [run(zipped(tmp_path / "d.zip", [EDIT], bytecode=True), STAMP, home)]
    assert len(set(stamps)) == 4


DATA = """
import tinycnn
model = tinycnn.load_pretrained("mnist_cnn")
_, (x, y) = tinycnn.datasets.load_mnist()
print(model.count_params(), len(x), y[:5].tolist())
"""


@pytest.mark.slow
def test_the_data_of_the_package(tmp_path, home):
    """The trained network and MNIST."""
    where = zipped(tmp_path / "package.zip", data=("mnist_cnn.h5", "ubyte"))
    assert run(where, DATA, home) == "1003658 10000 [7, 2, 1, 0, 4]"


@pytest.mark.slow
def test_data_that_are_missing(tmp_path, home):
    """In a package that was put together without them."""
    code = "try: tinycnn.load_pretrained('mnist_cnn')\nexcept FileNotFoundError as error: print(error)"
    printed = run(zipped(tmp_path / "package.zip"), code, home)
    assert printed == "the package lacks pretrained/mnist_cnn.h5: install it again"
