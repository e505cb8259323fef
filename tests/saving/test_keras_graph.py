"""Functional models of Keras: one chain is a Sequential, and a graph is refused where it branches."""

import copy
import json
import sys
from contextlib import nullcontext

import h5py
import numpy as np
import pytest

from tests.networks import small
from tests.saving.hostile_files import refused
from tests.saving.saved_models import assert_same, data, edit_json, golden_copy
from tinycnn import load_model
from tinycnn.saving import keras_config

pytestmark = pytest.mark.smoke

SHAPE = [None, 7, 6, 2]
LAYERS = [
    ("InputLayer", "in", {"batch_shape": SHAPE}),
    ("Conv2D", "conv", {"filters": 3, "kernel_size": 2}),
    ("Flatten", "flat", {}),
    ("Dense", "out", {"units": 4}),
]


def call(form, *sources, **arguments):
    """One call of a layer on the outputs of others, as Keras 1 and 2 or as Keras 3 write it."""
    if form == 2:
        return [[source, 0, 0, arguments] for source in sources]
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [s, 0, 0]}} for s in sources]
    return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": arguments}


def functional(form, kind="Functional"):
    """A chain of four layers."""
    entries = []
    for number, (class_name, name, config) in enumerate(LAYERS):
        nodes = [call(form, LAYERS[number - 1][1])] if number else []
        entries.append({"class_name": class_name, "name": name, "config": {"name": name, **config}})
        entries[-1]["inbound_nodes"] = nodes
    ends = [["in", 0, 0]], [["out", 0, 0]]
    if form == 3:
        ends = [end for (end,) in ends]
    config = {"name": "net", "layers": entries, "input_layers": ends[0], "output_layers": ends[1]}
    return {"class_name": kind, "config": config}


def names(model_config):
    return [layer["config"]["name"] for layer in keras_config.to_model(model_config)["layers"]]


both_forms = pytest.mark.parametrize("form", [2, 3])


@both_forms
@pytest.mark.parametrize("kind", ["Functional", "Model"])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]])
def test_a_chain_is_a_sequential(form, kind, order):
    """In the order of the chain, in whatever order the layers are listed."""
    model_config = functional(form, kind)
    layers = model_config["config"]["layers"]
    model_config["config"]["layers"] = [layers[i] for i in order]
    before = copy.deepcopy(model_config)
    config = keras_config.to_model(model_config)
    assert [layer["config"]["name"] for layer in config["layers"]] == ["conv", "flat", "out"]
    assert (config["input_shape"], config["name"]) == (SHAPE[1:], "net")
    assert model_config == before


def test_calls_in_the_other_forms_of_keras_2_and_3():
    """A call without arguments, a node without a list around it, ends as lists and by name."""
    model_config = functional(2)
    layers = model_config["config"]["layers"]
    layers[1]["inbound_nodes"] = [[["in", 0, 0]]]
    layers[2]["inbound_nodes"] = [["conv", 0, 0, {}]]
    layers[3]["inbound_nodes"] = [[["flat", 0, 0, {"training": None}]]]
    model_config["config"] |= {"input_layers": {"in": ["in", 0, 0]}, "output_layers": ["out", 0, 0]}
    assert names(model_config) == ["conv", "flat", "out"]
    model_config = functional(3)
    model_config["config"] |= {"input_layers": [["in", 0, 0]], "output_layers": [["out", 0, 0]]}
    assert names(model_config) == ["conv", "flat", "out"]


@both_forms
def test_training_of_a_call(form):
    """False changes further training only, and in Keras 3 nothing; True changes what is predicted."""
    model_config = functional(form)
    layers = model_config["config"]["layers"]
    layers[2]["inbound_nodes"] = [call(form, "conv", training=False)]
    warned = pytest.warns(UserWarning, match="layer 'flat': further training ignores training=False")
    with warned if form == 2 else nullcontext():
        assert names(model_config) == ["conv", "flat", "out"]
    layers[2]["inbound_nodes"] = [call(form, "conv", training=True)]
    with pytest.raises(ValueError, match=r"expected a call without arguments, received .*True"):
        names(model_config)


def branch(layers, form):
    """Two layers take the output of one."""
    layers[3]["inbound_nodes"] = [call(form, "conv")]


def add(layers, form):
    """A layer of two inputs."""
    layers[2] |= {"class_name": "Add", "inbound_nodes": [call(form, "conv", "in")]}


def shared(layers, form):
    """A layer that is called twice."""
    layers[1]["inbound_nodes"] = [call(form, "in"), call(form, "flat")]


def another_input(layers, form):
    layers.append({"class_name": "InputLayer", "name": "in2", "config": {"name": "in2"}, "inbound_nodes": []})


def circle(layers, form):
    """Two layers that wait for each other."""
    layers[2]["inbound_nodes"], layers[3]["inbound_nodes"] = [call(form, "out")], [call(form, "flat")]


def from_nowhere(layers, form):
    layers[2]["inbound_nodes"] = [call(form, "gone")]


def itself(layers, form):
    layers[1]["inbound_nodes"] = [call(form, "conv")]


def an_operation(layers, form):
    """Keras 3 writes `keras.ops.softmax(x)` as a class of the same name."""
    layers[2] |= {"class_name": "Softmax", "module": "keras.src.ops.nn"}


def an_operation_of_keras_2(layers, form):
    """`x * 2`."""
    layers[2] |= {"class_name": "TFOpLambda", "inbound_nodes": [["conv", 0, 0, {"y": 2.0, "name": None}]]}


def a_lambda(layers, form):
    layers[2] |= {"class_name": "Lambda"}


def a_model(layers, form):
    layers[2] |= {"class_name": "Functional"}


def second_output(layers, form):
    layers[2]["inbound_nodes"] = json.loads(json.dumps([call(form, "conv")]).replace("0, 0", "0, 1"))


def second_call(layers, form):
    """Of a layer that is shared."""
    layers[2]["inbound_nodes"] = json.loads(json.dumps([call(form, "conv")]).replace("0, 0", "1, 0"))


def no_list(layers, form):
    layers[2]["inbound_nodes"] = None


def same_name(layers, form):
    layers[3]["name"] = "flat"


def no_name(layers, form):
    layers[3]["name"] = ["out"]


def no_entry(layers, form):
    layers[3] = "Dense"


@both_forms
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (branch, "layer 'conv': expected one layer after it, received 'flat' and 'out'"),
        (add, "layer 'flat': expected one input, received 2: 'conv', 'in'"),
        (shared, "layer 'conv': expected one use in the model, received 2: a shared layer"),
        (another_input, "layer 'in2': expected one use in the model, received 0"),
        (circle, "layer 'flat': expected one chain from the input 'in'"),
        (from_nowhere, "layer 'flat': expected one chain from the input 'in'"),
        (itself, "layer 'conv': expected one layer after it, received 'conv' and 'flat'"),
        (an_operation, "layer 'flat': expected a layer, received an operation of 'keras.src.ops.nn'"),
        (an_operation_of_keras_2, "layer 'flat': expected a call without arguments, received {'y': 2.0}"),
        (a_lambda, "layer 'flat': expected one of .*, received 'Lambda'"),
        (a_model, "layer 'flat': expected one of .*, received 'Functional'"),
        (second_output, "layer 'flat': expected the first output of a layer"),
        (second_call, "layer 'conv': expected one use in the model, received call 1 of it"),
        (no_list, "layer 'flat': expected a list of inbound_nodes, received None"),
        (same_name, "layer 4: expected a name of its own, received 'flat'"),
        (no_name, r"layer 4: expected a name of its own, received \['out'\]"),
        (no_entry, "layer 4: expected a name of its own, received None"),
    ],
)
def test_a_graph_is_refused_by_the_name_of_its_layer(form, change, message):
    model_config = functional(form)
    change(model_config["config"]["layers"], form)
    with pytest.raises(ValueError, match=message):
        names(model_config)


@pytest.mark.parametrize("key", ["input_layers", "output_layers"])
@pytest.mark.parametrize(
    "ends", [None, [], {}, "in", [["in", 0, 0], ["conv", 0, 0]], {"a": ["in", 0, 0], "b": ["flat", 0, 0]}]
)
def test_several_inputs_or_outputs(key, ends):
    model_config = functional(3)
    model_config["config"][key] = ends
    with pytest.raises(ValueError, match=f"model: {key}: expected one layer, as in a Sequential, received"):
        names(model_config)


@both_forms
def test_ends_that_are_not_those_of_the_chain(form):
    model_config = functional(form)
    model_config["config"]["output_layers"] = [["flat", 0, 0]]
    with pytest.raises(ValueError, match="layer 'flat': expected the last layer, 'out', as the output"):
        names(model_config)
    model_config["config"]["input_layers"] = [["gone", 0, 0]]
    with pytest.raises(ValueError, match="layer 'in': expected one use in the model, received 0"):
        names(model_config)


def test_a_chain_longer_than_the_stack():
    """Nothing is recursive."""
    model_config = functional(2)
    layers = model_config["config"]["layers"]
    count = sys.getrecursionlimit() + 1
    for i in range(count):
        name, source = f"flat_{i}", f"flat_{i - 1}" if i else "flat"
        more = {"class_name": "Flatten", "name": name, "config": {"name": name}}
        layers.append(more | {"inbound_nodes": [call(2, source)]})
    layers[3]["inbound_nodes"] = [call(2, name)]
    assert len(names(model_config)) == 3 + count


def made_functional(path):
    """Let a file of a Sequential say that it is a functional model, its layers listed from the last."""

    def change(model_config):
        layers = model_config["config"]["layers"]
        for number, layer in enumerate(layers):
            source = layers[number - 1]["config"]["name"]
            layer["name"] = layer["config"]["name"]
            layer["inbound_nodes"] = [[[source, 0, 0, {}]]] if number else []
        ends = {f"{end}_layers": [[layers[i]["name"], 0, 0]] for end, i in (("input", 0), ("output", -1))}
        model_config["config"] |= {**ends, "layers": layers[::-1]}
        model_config["class_name"] = "Functional"

    return edit_json(path, change)


def test_weights_of_a_chain_are_found_by_name(tmp_path):
    """The groups of an .h5 are in the order of the list, here reversed; the moments in that of the chain."""
    model = small()
    model.compile("adam")
    model.fit(*data(model.input_shape), batch_size=7, epochs=1, verbose=0)
    model.save(tmp_path / "m.h5")
    made_functional(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        listed = file["model_weights"].attrs["layer_names"]
        file["model_weights"].attrs["layer_names"] = listed[::-1]
    assert_same(load_model(tmp_path / "m.h5"), model)


def test_weights_of_a_chain_by_other_names_are_in_order(tmp_path):
    """As in a Sequential."""
    model = small(seed=4)
    model.save(tmp_path / "m.h5")
    made_functional(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        group = file["model_weights"]
        listed = list(group.attrs["layer_names"])
        for name in listed:
            group.move(name, b"x_" + name)
        group.attrs["layer_names"] = [b"x_" + name for name in listed]
    loaded = load_model(tmp_path / "m.h5")
    assert all(map(np.array_equal, loaded.get_weights(), model.get_weights()))


def test_a_functional_file_that_has_no_nodes(tmp_path):
    """A Sequential by another name."""
    path = edit_json(golden_copy(tmp_path), lambda config: config.update(class_name="Functional"))
    refused(path, "input_layers: expected one layer, as in a Sequential, received None")
