"""ONNX's own test cases of single operators: each is read as a network with the same numbers, or refused.

The cases come with the library `onnx`, one module for each operator. All inputs but the first become
constants.
"""

import importlib
import warnings

import numpy as np
import pytest

from tests.saving.onnx_models import onnx
from tinycnn import load_model
from tinycnn.saving.onnx.operators import OPERATORS

pytestmark = [pytest.mark.smoke, pytest.mark.slow]

# The modules of the operators that are read, by the names that onnx.backend.test.case.node gives them.
WINDOWS = [
    "averagepool",
    "conv",
    "globalaveragepool",
    "globalmaxpool",
    "maxpool",
    "pad",
    "resize",
    "upsample",
]
SHAPES = ["dropout", "flatten", "gather", "identity", "reshape", "squeeze", "tile", "transpose", "unsqueeze"]
NUMBERS = ["add", "batch_normalization", "clip", "div", "gemm", "leakyrelu", "matmul", "max", "min", "mul"]
NUMBERS += [
    "prelu",
    "reducemax",
    "reducemean",
    "relu",
    "sigmoid",
    "softmax",
    "sub",
    "tanh",
    "thresholdedrelu",
]
# Parts of messages by which a case may be refused, each with the reason.
REFUSALS = {
    "expected images (N, C, H, W)": "windows over one or three axes",
    "expected fixed sizes after the batch's": "no batch, or nothing in it",
    "expected a tensor of numbers": "sequences, booleans, and integers without a sign",
    "expected a type of": "integers of 8 bits",
    "expected one of 1 to": "an operation across the batch",
    "axis 0 is that of the batch": "an operation across the batch",
    "the axis of the batch": "a transposition of the batch",
    "expected the batch first": "a shape that mixes the images",
    "axis: expected 1": "a Flatten that mixes the images",
    "axes: expected those of H and W": "a reduction of the batch, or of one axis",
    "those of padding 'same'": "padding that pools do not have",
    "dilations: expected (1, 1)": "pools of pixels that are apart",
    "expected one number, or one for each channel": "a number for each pixel",
    "slope: expected one number": "a slope for each pixel",
    "transA: expected 0": "images that are transposed",
    "bias: expected shape": "a bias for each image",
    "weights: expected 2 axes": "products of stacks of matrices",
    "expected a minimum of 0": "a range that is no ReLU's",
    "mode: expected 'constant'": "padding by pixels",
    "mode: expected 'nearest'": "cubic interpolation",
    "value: expected 0.0": "padding by another number",
    "scales: expected": "sizes that are no multiple",
    "expected the pixels of UpSampling2D": "another rule for the pixels",
    "training_mode": "training",
    "repeats: expected": "repetitions of all",
    "expected sizes above 0": "an empty result",
    "indices: expected 0 axes": "several places of an axis",
    "expected one output": "a mask or places beside the result",
}

# Operators without a case that is a layer's. Their cases have several images, the batch, other numbers than
# zeros, several places, or one axis; Cast is of other types, Scaler of
# another domain, and the last is no operator of ONNX.
UNTESTED = {
    "Cast",
    "Gather",
    "Max",
    "Min",
    "PRelu",
    "Pad",
    "ReduceMax",
    "ReduceMean",
    "Scaler",
    "Tile",
    "ReLU in two pieces",
}


def cases():
    """The cases of the modules, of a single operator that is read."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name in (*WINDOWS, *SHAPES, *NUMBERS):
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
        found = [case for case in node._NodeTestCases if len(case.model.graph.node) == 1]
    return [case for case in found if case.model.graph.node[0].op_type in OPERATORS]


def closed(case, path):
    """The model with all inputs but the first as constants, in a file; the input, and the expected output."""
    content = onnx.ModelProto()
    content.CopyFrom(case.model)
    inputs, outputs = case.data_sets[0]
    for entry, value in list(zip(content.graph.input, inputs, strict=False))[1:]:
        content.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), entry.name))
    del content.graph.input[1:]
    path.write_bytes(content.SerializeToString())
    return inputs[0], outputs[0]


def orders(array):
    """An array as it is, and images with their channels last."""
    return [array, np.moveaxis(array, 1, -1)] if array.ndim > 2 else [array]


def agrees(model, x, y):
    """Whether a model has the numbers of a case, whose images may have their channels last here."""
    for images in orders(x):
        if images.shape[1:] == model.input_shape:
            received = model.predict(np.ascontiguousarray(images, model.dtype))
            expected = [wanted for wanted in orders(y) if wanted.shape == received.shape]
            if any(np.allclose(received, wanted, rtol=1e-4, atol=2e-4) for wanted in expected):
                return True
    return False


@pytest.mark.filterwarnings("ignore")
def test_the_node_cases_of_onnx(tmp_path):
    """None gives other numbers; each that is refused is refused for a reason that is known."""
    taken, wrong, unexplained, reasons = [], [], {}, set()
    for case in cases():
        x, y = closed(case, tmp_path / "m.onnx")
        try:
            model = load_model(tmp_path / "m.onnx")
        except ValueError as error:
            known = [part for part in REFUSALS if part in str(error)]
            reasons |= set(known[:1])
            unexplained |= {} if known else {case.name: str(error)}
            continue
        (taken if agrees(model, np.asarray(x), np.asarray(y)) else wrong).append(case.name)
    assert wrong == []
    assert unexplained == {}
    assert len(taken) > 80
    operators = {case.model.graph.node[0].op_type for case in cases() if case.name in taken}
    assert operators >= set(OPERATORS) - UNTESTED
    assert reasons == set(REFUSALS)
