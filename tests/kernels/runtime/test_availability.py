"""Numba missing, refusing NumPy, broken or turned off: everything runs on NumPy, and one line says why."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tests.kernels.runtime import whole_use
from tinycnn.kernels import choose, conv, explain, pool, selection, use_algorithm
from tinycnn.kernels.runtime import availability
from tinycnn.support.notices import notice

ROOTS = [str(Path(tinycnn.__file__).parents[1]), str(Path(__file__).parents[3])]  # of package and tests
#: A module `numba` in the place of Numba, the environment, and the reason that is expected.
CONDITIONS = {
    "missing": (
        "raise ModuleNotFoundError(\"No module named 'numba'\", name='numba')",
        {},
        "Numba is not installed; pip install numba",
    ),
    "refuses NumPy": (
        "raise ImportError('Numba needs NumPy 2.3 or less. Got NumPy 2.5.')",
        {},
        "Numba fails with ImportError: Numba needs NumPy 2.3 or less. Got NumPy 2.5; "
        "pip install --upgrade numba",
    ),
    "no LLVM": (
        "raise OSError('Could not find/load shared object file\\n second line')",
        {},
        "Numba fails with OSError: Could not find/load shared object file; pip install --upgrade numba",
    ),
    "no llvmlite": (
        "import llvmlite_that_is_missing",
        {},
        "Numba fails with ModuleNotFoundError: No module named 'llvmlite_that_is_missing'; "
        "pip install --upgrade numba",
    ),
    "other internals": (
        "types = None\nclass config: DISABLE_JIT = 0",
        {},
        "Numba fails with ModuleNotFoundError: No module named 'numba.core'; 'numba' is not a package; "
        "pip install --upgrade numba",
    ),
    "turned off": (
        None,
        {"NUMBA_DISABLE_JIT": "1"},
        "NUMBA_DISABLE_JIT turns compilation off; unset it before the program starts",
    ),
    "no threads": (
        None,
        {"NUMBA_NUM_THREADS": "0"},
        "Numba fails with ValueError: Number of threads specified must be > 0; "
        "look at the variables of the environment that begin with NUMBA_",
    ),
    "unknown threads": (
        None,
        {"NUMBA_THREADING_LAYER": "nonsense"},
        "NUMBA_THREADING_LAYER=nonsense cannot be obeyed; unset it, or say workqueue "
        "(The threading layer requested 'nonsense' is unknown to Numba)",
    ),
}
SLOWER = "tinycnn: running on NumPy, which is slower than compiled kernels: "


def run(code, tmp_path, condition, *arguments, **variables):
    """Return a finished process in which Numba is as a condition says."""
    source, environment, _ = CONDITIONS[condition]
    if source is not None:
        (tmp_path / "numba.py").write_text(source)
    env = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join([str(tmp_path), *ROOTS])}
    for name in ("TINYCNN_ALGORITHM", "TINYCNN_QUIET"):
        env.pop(name, None)
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    env |= variables
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, cwd=ROOTS[1])
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What a process with kernels finds."""
    return whole_use.use(tmp_path_factory.mktemp("compiled"))


@pytest.mark.parametrize(
    "condition",
    [pytest.param(c, marks=() if c == "missing" else pytest.mark.slow) for c in CONDITIONS],
)
def test_everything_works_with_the_same_random_numbers_and_results_up_to_rounding(
    condition, tmp_path, compiled
):
    code = "import sys; from tests.kernels.runtime import whole_use; whole_use.main(*sys.argv[1:])"
    done = run(code, tmp_path, condition, tmp_path, tmp_path / "found.npz")
    reason = CONDITIONS[condition][2]
    assert done.stderr == f"{SLOWER}{reason}\n"
    text = " ".join(done.stdout.split())  # without the breaks of lines
    assert f"Kernels cannot be compiled: {reason}." in text
    assert "conv2d_2 all passes im2col NumPy, since kernels cannot be compiled" in text
    assert "dense_1 all passes numpy NumPy, since kernels cannot be compiled" in text
    assert "im2col (auto)" in text
    for name in ("direct", "winograd", "compiled call", "sparse"):
        assert name not in text
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == set(compiled)
        np.testing.assert_array_equal(found["mask"], compiled["mask"])
        for name, expected in compiled.items():
            assert found[name].dtype == expected.dtype
            # 12 steps of single precision; a step moves a weight by about 0.01
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("condition", ["missing"])
def test_without_numba_a_model_is_that_of_im2col_to_the_bit(condition, tmp_path):
    """Nothing of Numba is needed, and NumPy's own algorithm needs not even the notice."""
    code = """
import sys, numpy as np, tinycnn
from tests import networks
network = networks.small(seed=2)
network.compile("adam", networks.CROSSENTROPY)
network.fit(*networks.small_data(), batch_size=5, epochs=2, verbose=0)
print(network.parameters.tobytes().hex())
assert "numba.core" not in sys.modules
"""
    ours = run(code, tmp_path, condition)
    theirs = run(code, tmp_path, condition, TINYCNN_ALGORITHM="im2col")
    assert ours.stdout == theirs.stdout
    assert ours.stderr.startswith(SLOWER)
    assert theirs.stderr == ""
    quiet = run("import tinycnn; tinycnn.warmup()", tmp_path, condition, TINYCNN_QUIET="1")
    assert quiet.stderr == ""


@pytest.mark.slow
def test_the_setting_may_come_from_numbas_own_configuration(tmp_path):
    code = """
import numba, tinycnn
numba.config.DISABLE_JIT = 1
print(tinycnn.kernels.choose("conv2d", "auto", (3, 3, 32, 32)).algorithm)
"""
    done = run(code, tmp_path, "turned off", NUMBA_DISABLE_JIT="0")
    assert done.stdout == "im2col\n"
    assert "numba.config.DISABLE_JIT turns compilation off" in done.stderr
    assert ".numba_config.yaml" in done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "conv.direct",
        *(pytest.param(m, marks=pytest.mark.slow) for m in ("fused.single_image", "warp", "adam")),
    ],
)
def test_a_kernel_that_is_imported_all_the_same_names_the_variable(module, tmp_path):
    """By somebody who calls it himself, or turns compilation off after the choice was made."""
    code = f"""
import os, tinycnn
assert tinycnn.kernels.choose("conv2d").algorithm == "direct"
import numba
os.environ["NUMBA_DISABLE_JIT"] = "1"
numba.config.reload_config()
try:
    import tinycnn.kernels.{module}
except RuntimeError as error:
    print(error)
"""
    done = run(code, tmp_path, "turned off", NUMBA_DISABLE_JIT="0")
    assert "cannot be compiled: NUMBA_DISABLE_JIT turns compilation off; unset it" in done.stdout


@pytest.mark.slow
def test_a_process_that_is_started_by_another_finds_the_same(tmp_path):
    """Each says so once; the parent has nothing to hand down."""
    code = """
import multiprocessing, os
from tests import networks
def trained(seed):
    network = networks.small(seed=seed)
    network.compile("sgd", networks.CROSSENTROPY)
    network.fit(*networks.small_data(), epochs=1, verbose=0)
    return network.parameters.tobytes().hex()
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(trained, [1]) == [trained(1)]
"""
    (tmp_path / "pooled.py").write_text(code)
    done = run(
        "import runpy; runpy.run_module('pooled', run_name='__main__', alter_sys=True)", tmp_path, "missing"
    )
    assert done.stderr.count(SLOWER) == 2


# Decisions, in this process.


@pytest.fixture
def no_compiler(monkeypatch):
    """A process in which kernels cannot be compiled, as far as decisions go."""
    monkeypatch.delenv("TINYCNN_ALGORITHM", raising=False)
    availability.obstacle.cache_clear()
    selection.automatic_matmul.cache_clear()
    monkeypatch.setattr(availability, "_find_obstacle", lambda: "no compiler; get one")
    notice.cache_clear()
    yield
    monkeypatch.undo()
    availability.obstacle.cache_clear()
    selection.automatic_matmul.cache_clear()


@pytest.mark.smoke
@pytest.mark.parametrize("operation", selection.OPERATIONS)
@pytest.mark.usefixtures("no_compiler")
def test_choices(operation):
    """Automatic is im2col; NumPy's algorithms are obeyed; the others are refused."""
    shape = (3, 3, 32, 64)
    assert choose(operation, "auto", shape)[:2] == ("im2col", "no compiler")
    for name in ("naive", "im2col"):
        assert choose(operation, name, shape)[:2] == (name, "requested")
    choice = choose(operation, "direct", shape)
    assert (choice.refused, choice.refusal) == (True, "no compiler; get one")
    module, arguments = (pool, (operation, "direct"))
    if operation in selection.CONVOLUTIONS:
        module, arguments = conv, (choice,)
    with pytest.raises(ValueError, match=r"^algorithm 'direct'.*: no compiler; get one$"):
        module.implementation(*arguments)
    assert choose(operation, "winograd", shape).refused
    with use_algorithm("direct"):
        assert choose(operation, "auto", shape).refused
        assert choose(operation, "im2col", shape).algorithm == "im2col"
    with use_algorithm("winograd"):  # which pools do not have, so it is not for them
        choice = choose(operation, "auto", shape)
        assert choice.refused == (operation in selection.CONVOLUTIONS)
        assert choice.refused or choice[:2] == ("im2col", "no compiler")


@pytest.mark.smoke
@pytest.mark.usefixtures("no_compiler")
def test_matrix_products_are_numpys():
    large = 10 * selection.NUMPY_MULTIPLICATIONS
    assert selection.choose_matmul(large)[:2] == ("numpy", "no compiler")
    assert selection.choose_matmul(10)[:2] == ("numpy", "small product")
    with use_algorithm("direct"):
        assert selection.choose_matmul(large).algorithm == "numpy"


@pytest.mark.smoke
@pytest.mark.usefixtures("no_compiler")
def test_a_request_of_a_layer_is_refused_in_the_table_and_when_it_runs(capsys):
    layer = tinycnn.layers.Conv2D(4, 3, algorithm="direct", name="mine")
    network = tinycnn.Sequential([layer, tinycnn.layers.MaxPooling2D()], seed=0, input_shape=(9, 8, 2))
    network.compile("sgd", "mse")
    text = " ".join(explain(network).split())
    assert "mine forward direct refused: no compiler; get one; requested by the layer" in text
    assert capsys.readouterr().err == f"{SLOWER}no compiler; get one\n"
    with pytest.raises(ValueError, match=r"^algorithm 'direct': no compiler; get one$"):
        network.forward(np.zeros((2, 9, 8, 2), np.float32))


@pytest.mark.smoke
def test_under_im2col_the_question_is_not_asked(monkeypatch):
    """So Numba is not imported there."""

    def fail():
        raise AssertionError("asked")

    monkeypatch.setattr(selection, "obstacle", fail)
    assert choose("conv2d").algorithm == choose("maxpool2d").algorithm == "im2col"
    assert selection.choose_matmul(2**20).algorithm == "numpy"


def test_here_kernels_can_be_compiled():
    assert availability.obstacle() == ""
