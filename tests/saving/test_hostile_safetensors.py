"""Hostile safetensors: headers that lie, and data that do not fit them. Each rule has a file that breaks it.

The library refuses most of them too. It is made useless here, so that tinycnn's own checks are tested.
"""

import json
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors
from safetensors.numpy import save_file

from tests.networks import conv_and_dense
from tests.saving.hostile_files import MIB, TEXTS
from tests.saving.saved_models import trained
from tests.saving.test_npz_weights import small
from tinycnn import load_model
from tinycnn.saving import text

pytestmark = pytest.mark.smoke

KERNEL = {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}
BIAS = {"dtype": "F32", "shape": [3], "data_offsets": [48, 60]}
GOOD = {"dense_1/kernel": KERNEL, "dense_1/bias": BIAS}


def content(header, data=bytes(60), length=None):
    """A file put together by hand; `header` is JSON, text or bytes."""
    if isinstance(header, dict):
        header = json.dumps(header)
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def refused(path, match=None, memory=MIB, load=None):
    """By name, before memory is taken, and nothing changes."""
    model = small()
    before = model.get_weights()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match) as caught:
            (load or model.load_weights)(path)
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1200
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, before, strict=True))


def kernel(**changes):
    return {**GOOD, "dense_1/kernel": {**KERNEL, **changes}}


def bias(**changes):
    return {**GOOD, "dense_1/bias": {**BIAS, **changes}}


FILES = {
    # the length and the bounds of the header
    "nothing": (b"", "expected a header within the file"),
    "less than a length": (bytes(7), "expected a header within the file"),
    "a header longer than the file": (content(GOOD, length=10**6), "expected a header within the file"),
    "a length that is negative as a signed number": (
        content(GOOD, length=2**64 - 1),
        "header within the file",
    ),
    "a length that stops in the JSON": (content(GOOD, length=20), "expected JSON"),
    "a length that goes on into the data": (content(GOOD, length=len(json.dumps(GOOD)) + 9), "expected JSON"),
    "no header": (content("", b""), "begins with '{'"),
    "a space before the JSON": (content(" " + json.dumps(GOOD)), "begins with '{'"),
    "a byte order mark": (content(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()), "begins with '{'"),
    "not UTF-8": (content(json.dumps(GOOD).encode().replace(b"bias", b"b\xffas")), "utf-8"),
    "UTF-16": (content(json.dumps(GOOD).encode("utf-16")), "utf-8"),
    "two texts": (content(json.dumps(GOOD) * 2), "expected JSON"),
    "a zero after the JSON": (content(json.dumps(GOOD) + "\0"), "expected JSON"),
    "a number of many digits": (content('{"a": ' + "9" * 5000 + "}"), "cannot be loaded"),
    # keys
    "a name twice": (
        content(json.dumps(GOOD)[:-1] + f', "dense_1/bias": {json.dumps(BIAS)}}}'),
        "each key once",
    ),
    "a key twice": (
        content(json.dumps(GOOD).replace('"shape"', '"shape": [4, 3], "shape"', 1)),
        "each key once",
    ),
    "metadata twice": (content('{"__metadata__": {}, "__metadata__": {}}', b""), "each key once"),
    "a key too few": (
        content({"a": {"dtype": "F32", "shape": [15]}}),
        "expected dtype, shape and data_offsets",
    ),
    "a key too many": (content(kernel(evil=1)), "expected dtype, shape and data_offsets"),
    "an entry that is a list": (content({"a": [0, 60]}), "expected dtype, shape and data_offsets"),
    "an entry that is null": (content({"a": None}), "expected dtype, shape and data_offsets"),
    "metadata that are a list": (content({**GOOD, "__metadata__": []}), "expected texts by name"),
    "metadata that are no texts": (content({**GOOD, "__metadata__": {"a": 1}}), "expected texts by name"),
    # dtypes
    "an unknown dtype": (content(kernel(dtype="F31")), "dtype: expected one of"),
    "a dtype in lower case": (content(kernel(dtype="f32")), "dtype: expected one of"),
    "a dtype that is a list": (content(kernel(dtype=["F32"])), "dtype: expected one of"),
    "a dtype that is NumPy's": (content(kernel(dtype="O")), "dtype: expected one of"),
    "a dtype of 8 bits": (content({"a": {**KERNEL, "dtype": "F8_E4M3"}}), "dtype: expected one of"),
    "a dtype of another size": (content(kernel(dtype="F64")), "expected 96 bytes"),
    # shapes
    "a shape that is a number": (content(bias(shape=3)), "expected whole numbers"),
    "a shape of floats": (content(bias(shape=[3.0])), "expected whole numbers"),
    "a shape of a truth": (content(bias(shape=[True, 3])), "expected whole numbers"),
    "a shape of text": (content(bias(shape=["3"])), "expected whole numbers"),
    "a negative size": (content(kernel(shape=[-4, -3])), "expected whole numbers"),
    "a size beyond 64 bits": (content(kernel(shape=[2**64, 3])), "expected whole numbers"),
    "a product beyond 64 bits": (content(kernel(shape=[2**62, 4, 3])), "bytes for the shape"),
    "a product that wraps round to 12": (content(kernel(shape=[2**62 + 3, 4])), "bytes for the shape"),
    "a 0 beside a huge size": (content(bias(shape=[0, 2**62], data_offsets=[48, 48]), bytes(48)), "above 0"),
    "an array of nothing": (
        content({**GOOD, "a": {**BIAS, "shape": [0], "data_offsets": [60, 60]}}),
        "above 0",
    ),
    "many axes": (content(bias(shape=[3, *[1] * 70])), "expected sizes above 0"),
    "a shape that is too large": (content(kernel(shape=[4, 4])), "expected 64 bytes"),
    "a shape that is too small": (content(kernel(shape=[4, 2])), "expected 32 bytes"),
    # offsets
    "one offset": (content(bias(data_offsets=[48])), "two offsets"),
    "three offsets": (content(bias(data_offsets=[48, 60, 60])), "two offsets"),
    "offsets of floats": (content(bias(data_offsets=[48.0, 60.0])), "expected whole numbers"),
    "offsets reversed": (content(bias(data_offsets=[60, 48])), "expected 12 bytes"),
    "negative offsets": (content(bias(data_offsets=[-12, 0])), "expected whole numbers"),
    "offsets that overlap": (content(bias(data_offsets=[36, 48]), bytes(48)), "without gaps or overlaps"),
    "two arrays in one place": (content({**GOOD, "a": BIAS}), "without gaps or overlaps"),
    "a gap between arrays": (content(bias(data_offsets=[52, 64]), bytes(64)), "without gaps or overlaps"),
    "a gap at the beginning": (content({"a": BIAS}), "without gaps or overlaps"),
    "data that are cut off": (content(GOOD, bytes(59)), "expected 60 bytes of data, received 59"),
    "data without an array": (content(GOOD, bytes(61)), "expected 60 bytes of data, received 61"),
    "data and no arrays": (content({}, bytes(9)), "expected 0 bytes of data, received 9"),
    # what the model wants
    "no arrays": (content({}, b""), "received none"),
    "other names": (content({"a": KERNEL, "b": BIAS}), r"received a \(4, 3\), b \(3,\)"),
    "another shape": (content(kernel(shape=[3, 4])), r"expected dense_1/kernel \(4, 3\).*kernel \(3, 4\)"),
    "integers": (content(kernel(dtype="I32")), "received int32"),
}


@pytest.mark.parametrize(("data", "match"), FILES.values(), ids=FILES)
def test_files_that_break_a_rule(tmp_path, data, match, monkeypatch):
    """Found before the library is asked."""
    monkeypatch.setattr(safetensors, "deserialize", None)
    (tmp_path / "w.safetensors").write_bytes(data)
    refused(tmp_path / "w.safetensors", match)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_headers_that_are_no_json(tmp_path, text):
    """Or JSON of something else, or nested too deeply."""
    (tmp_path / "w.safetensors").write_bytes(content(text, b""))
    refused(tmp_path / "w.safetensors", "cannot be loaded", memory=30 * MIB)


def test_the_files_above_are_refused_for_what_they_are(tmp_path):
    """The good one, with spaces at the end of its header, as the library aligns it."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(content(json.dumps(GOOD) + "   ", np.arange(15, dtype="<f4").tobytes()))
    model = small()
    model.load_weights(path)
    np.testing.assert_array_equal(model[1].kernel, np.arange(12).reshape(4, 3))
    np.testing.assert_array_equal(model[1].bias, [12, 13, 14])


def test_a_long_header(tmp_path, monkeypatch):
    """It is not even read: the format allows 100 MB, of which a parser makes gigabytes."""
    path = tmp_path / "w.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 100_000_000) + b'{"a":')
        file.truncate(100_000_100)  # takes no space on the disk
    refused(path, "expected a header of at most 8388608 bytes, received 100000000")


def own(header):
    """A file that says of itself that it is a model of tinycnn."""
    return content({**GOOD, "__metadata__": {"tinycnn": header}})


@pytest.mark.parametrize("header", TEXTS.values(), ids=TEXTS)
def test_descriptions_that_are_none(tmp_path, header):
    (tmp_path / "m.safetensors").write_bytes(own(header))
    for load in (load_model, None):
        refused(tmp_path / "m.safetensors", "cannot be loaded", memory=30 * MIB, load=load)


def test_a_description_that_is_too_long(tmp_path, monkeypatch):
    """Two limits: of the header, and of the text in it."""
    monkeypatch.setattr(text, "LARGEST", 1000)
    (tmp_path / "m.safetensors").write_bytes(own(json.dumps({"a": "x" * 1000})))
    refused(tmp_path / "m.safetensors", "expected at most 1000 characters", load=load_model)


CHANGES = {
    "another format": lambda h: h.update(format="tinycnn-2"),
    "no config": lambda h: h.pop("config"),
    "a layer of another class": lambda h: h["config"]["layers"][0].update(class_name="Lambda"),
    "a layer that is larger": lambda h: h["config"]["layers"][-1]["config"].update(units=10**9),
    "no input shape": lambda h: h["config"].update(input_shape=None),
    "another dtype": lambda h: h["config"].update(dtype="float64"),
    "weights of other names": lambda h: h.update(weights=["conv2d_1/evil", *h["weights"][1:]]),
    "a weight too few": lambda h: h["weights"].pop(),
    "a weight twice": lambda h: h["weights"].append(h["weights"][0]),
    "weights that are lists": lambda h: h.update(weights=[["a"]]),
    "very many moments": lambda h: h["slots"].update(momentum=10**15),
    "moments of another name": lambda h: h.update(slots={"evil": 4}),
    "a negative number of steps": lambda h: h["training"].update(iterations=-1),
    "progress of the wrong kind": lambda h: h.update(progress=5),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A trained model in a file: its description and its arrays."""
    path = tmp_path_factory.mktemp("whole") / "m.safetensors"
    trained(conv_and_dense(optimizer="adam")).save(path)
    with safetensors.safe_open(path, "np") as file:
        return file.metadata()["tinycnn"], {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_descriptions_with_one_thing_wrong(tmp_path, change, whole):
    header = json.loads(whole[0])
    change(header)
    save_file(whole[1], tmp_path / "m.safetensors", {"tinycnn": json.dumps(header)})
    refused(tmp_path / "m.safetensors", load=load_model)


def test_arrays_that_are_missing_or_others(tmp_path, whole):
    """Of a model that is well described."""
    description, arrays = whole
    for name in ("conv2d_1/bias", "optimizer/momentum/2"):
        for array in (None, arrays[name].astype(np.float16), np.ones(7, np.float32)):
            changed = {key: value for key, value in (arrays | {name: array}).items() if value is not None}
            save_file(changed, tmp_path / "m.safetensors", {"tinycnn": description})
            refused(tmp_path / "m.safetensors", load=load_model)


def test_names_of_other_files_are_never_opened(tmp_path):
    """A name is a key, not a path."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(content({"../../etc/passwd": KERNEL, "/dev/zero": BIAS}))
    refused(path, "weights: expected")
