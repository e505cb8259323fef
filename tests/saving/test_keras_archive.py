"""`.keras` archives: the written form, Keras' own files, and archives that are hostile or damaged."""

import io
import json
import stat
import struct
import zipfile

import h5py
import numpy as np
import pytest

from tests.networks import conv_and_dense, small
from tests.saving import archives
from tests.saving.archives import CONFIG, METADATA, WEIGHTS
from tests.saving.hostile_files import MIB, TEXTS, refused, saved
from tests.saving.saved_models import GOLDEN, assert_same, assert_same_training, trained
from tinycnn import load_model, optimizers
from tinycnn.optimizers.schedules import CosineDecay
from tinycnn.saving import keras_archive, text


@pytest.fixture
def archive(tmp_path):
    """A small trained model, to be changed."""
    return saved(tmp_path / "m.keras")


def test_the_written_form(archive):
    """Three members without compression, marks of Keras 3, and the moments in its order."""
    with zipfile.ZipFile(archive) as file:
        assert [(x.filename, x.compress_type) for x in file.infolist()] == [
            (name, zipfile.ZIP_STORED) for name in (METADATA, CONFIG, WEIGHTS)
        ]
    found = archives.members(archive)
    metadata, config = json.loads(found[METADATA]), json.loads(found[CONFIG])
    assert metadata.keys() == {"keras_version", "date_saved", "tinycnn"}
    assert (config["module"], config["class_name"], config["registered_name"]) == (
        "keras",
        "Sequential",
        None,
    )
    assert config["build_config"] == {"input_shape": [None, 4, 6, 2]}
    layers = config["config"]["layers"]
    assert [layer["module"] for layer in layers] == ["keras.layers"] * 4
    assert layers[0]["config"]["batch_shape"] == [None, 4, 6, 2]
    assert layers[1]["config"]["kernel_initializer"] == {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": None},
        "registered_name": None,
    }
    compiled = config["compile_config"]
    assert compiled["optimizer"]["module"] == "keras.optimizers"
    assert compiled["loss"]["module"] == "keras.losses"
    assert [metric["module"] for metric in compiled["metrics"]] == ["keras.metrics"]
    with h5py.File(io.BytesIO(found[WEIGHTS])) as file:
        assert list(file["layers"]) == ["conv2d", "dense", "flatten"]
        shapes = [file[f"optimizer/vars/{i}"].shape for i in range(10)]
        assert len(file["optimizer/vars"]) == 10
    assert shapes == [(), (), *[s for s in [(3, 2, 2, 5), (5,), (50, 3), (3,)] for _ in range(2)]]


@pytest.mark.parametrize(
    "optimizer",
    [
        optimizers.SGD(0.1),
        optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        optimizers.SGD(CosineDecay(0.1, 50), momentum=0.9),
        optimizers.RMSprop(0.01, momentum=0.5, centered=True),
        optimizers.Adadelta(),
        optimizers.Adam(0.01, amsgrad=True),
        optimizers.AdamW(0.01, weight_decay=0.02),
    ],
    ids=lambda optimizer: optimizer.name,
)
def test_a_run_goes_on_bit_for_bit(tmp_path, optimizer):
    """With the moments of each optimizer, and moving averages."""
    model = small()
    model.compile(optimizer, metrics=["accuracy"])
    trained(model).save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    assert_same(loaded, model)
    assert_same(trained(loaded), trained(model))


def test_a_file_of_keras():
    """The predictions, and the optimizer with its moments."""
    with np.load(GOLDEN / "small_keras3.npz") as data:
        x, probabilities = data["x"], data["probabilities"]
    model, expected = load_model(GOLDEN / "small_keras3.keras"), load_model(GOLDEN / "small_keras3.h5")
    np.testing.assert_allclose(model.predict(x), probabilities, rtol=0, atol=1e-6)
    assert (model.optimizer.name, model.optimizer.iterations) == ("adam", 6)
    assert_same_training(model, expected)
    assert all(map(np.array_equal, model.get_weights(), expected.get_weights()))
    assert model.get_config()["layers"] == expected.get_config()["layers"]


@pytest.mark.parametrize("name", ["functional_keras3.keras", "functional_keras2.h5"])
def test_functional_models_of_keras(name):
    """With a LeakyReLU, and names that say nothing of the order."""
    with np.load(GOLDEN / "functional.npz") as data:
        x, expected = data["x"], data[name.split(".")[0].removeprefix("functional_")]
    model = load_model(GOLDEN / name)
    np.testing.assert_allclose(model.predict(x), expected, rtol=0, atol=1e-6)
    assert model.layers[1].negative_slope == pytest.approx(0.3)
    assert (model.optimizer.momentum, model.optimizer.iterations) == (0.9, 2)


def test_weights_of_an_archive(archive):
    """`load_weights` reads them too."""
    model = conv_and_dense()
    model.set_weights([array + 1 for array in model.weights])
    model.load_weights(archive)
    assert all(map(np.array_equal, model.get_weights(), load_model(archive).get_weights()))


def test_an_archive_that_was_compressed(archive):
    """As a mail program might, and with folders and assets beside."""
    before = load_model(archive)
    contents = [*archives.members(archive).items(), ("assets/", b""), ("assets/vocabulary.txt", b"a\nb")]
    archives.put_together(archive, contents, zipfile.ZIP_DEFLATED)
    assert_same(load_model(archive), before)


@pytest.mark.parametrize("nothing", [{}, {"compile_config": None}, {"compile_config": {}}])
def test_a_model_that_is_not_compiled(archive, nothing):
    """Keras 3.15 writes an empty dictionary then."""

    def change(config):
        del config["compile_config"]
        config.update(nothing)

    archives.edit_config(archive, change)
    assert load_model(archive).optimizer is None


def test_a_compile_config_without_an_optimizer(archive):
    """Keras compiles with its default, whose moments the file does not have."""
    archives.edit_config(archive, lambda config: config["compile_config"].pop("optimizer") and None)
    with pytest.warns(UserWarning, match="start afresh"):
        model = load_model(archive)
    assert type(model.optimizer) is optimizers.RMSprop


def test_moments_that_are_too_few(archive):
    """They start afresh, with a warning."""
    archives.edit_weights(archive, lambda file: file["optimizer/vars"].pop("9"))
    with pytest.warns(UserWarning, match="moments do not fit the weights: they start afresh"):
        assert load_model(archive).optimizer.iterations == 0


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("member", ["config", "metadata"])
def test_json_that_is_none(archive, member, content):
    """Or is not an object, or nested deeper than the interpreter counts."""
    path = archives.changed(archive, **{member: content})
    if member == "metadata" and content in (TEXTS["an empty object"], TEXTS["surrogates"]):
        load_model(path)  # Keras does not look at it
    else:
        refused(path)


def test_json_that_is_nested_more_than_any_configuration(archive):
    def change(config):
        for _ in range(text.DEEPEST):
            config["compile_config"] = {"loss": config["compile_config"]}

    refused(archives.edit_config(archive, change), "nested too deeply")


@pytest.mark.parametrize("member", ["config", "metadata", "weights"])
def test_members_that_are_missing(archive, member):
    refused(archives.changed(archive, **{member: None}), "expected a member")


def test_weights_in_the_form_of_numpy(archive):
    """Keras pickles them, so they are not read; the error says what to do."""
    contents = [(name.replace(".h5", ".npz"), data) for name, data in archives.members(archive).items()]
    refused(
        archives.put_together(archive, contents), r"received model.weights.npz: in Keras, save it with wei"
    )


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "assets/../../evil",
        "assets/..",
        "/etc/passwd",
        "C:evil",
        "c:/evil",
        "..\\evil",
        "assets\\evil",
        "\\\\host\\evil",
    ],
)
def test_names_that_lead_out_of_a_folder(archive, tmp_path, name):
    """Nothing would be extracted; an archive with such a name is no model."""
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    archives.put_together(archive, [*archives.members(archive).items(), (info, b"evil")])
    before = sorted(tmp_path.parent.rglob("*"))
    refused(archive, "expected a name without")
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_symbolic_link(archive):
    info = zipfile.ZipInfo("assets/passwords")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archives.put_together(archive, [*archives.members(archive).items(), (info, b"/etc/passwd")])
    refused(archive, "expected a file, received a symbolic link")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "assets/x"])
def test_a_name_twice(archive, name):
    """One program would read the first, another one the last."""
    contents = [*archives.members(archive).items(), (name, b"{}"), ("assets/x", b"")]
    refused(archives.put_together(archive, contents), "received a name twice")


def flagged(path, at, value):
    """Set a byte in the entry of config.json in the table of contents."""
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    content[place + at] = value
    path.write_bytes(content)


def test_an_encrypted_member(archive):
    flagged(archive, 8, 1)
    refused(archive, "config.json.*expected a file without a password")


@pytest.mark.parametrize("method", [12, 14, 9, 99])
def test_other_compressions(archive, method):
    flagged(archive, 10, method)
    refused(archive, f"expected no compression or deflate, received method {method}")


@pytest.mark.parametrize("member", [CONFIG, WEIGHTS, METADATA, "assets/x"])
def test_a_zip_bomb(archive, member):
    """Zeros, of which deflate makes a thousandth."""
    contents = {**archives.members(archive), member: bytes(4 * MIB)}
    archives.put_together(archive, contents.items(), zipfile.ZIP_DEFLATED)
    refused(archive, "expected at most 100 times the .* bytes that are stored", memory=3 * MIB)


@pytest.mark.parametrize("member", [CONFIG, WEIGHTS])
def test_a_zip_bomb_that_declares_a_small_size(archive, member):
    """zipfile cuts a member to its declared size, which must not happen after all of it was unpacked."""
    size = 20 * MIB + 12_345
    contents = {**archives.members(archive), member: bytes(size)}
    archives.put_together(archive, contents.items(), zipfile.ZIP_DEFLATED)
    content, declared = archive.read_bytes(), struct.pack("<I", size)
    assert content.count(declared) == 2
    archive.write_bytes(content.replace(declared, struct.pack("<I", 200)))
    refused(archive, "Bad CRC-32", memory=3 * MIB)


@pytest.mark.parametrize(("at", "value"), [(27, 0x7F), (23, 0x7F)])
def test_sizes_that_are_not_stored(archive, at, value):
    """In the table of contents: the size, and the size when stored."""
    flagged(archive, at, value)
    refused(archive, "expected", memory=3 * MIB)


def test_a_stored_member_of_another_size(archive):
    """One byte less than there is, so that the rest would be hidden."""
    content = bytearray(archive.read_bytes())
    place = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    content[place + 24] ^= 1
    archive.write_bytes(content)
    refused(archive)


def test_too_many_members(archive, monkeypatch):
    monkeypatch.setattr(keras_archive, "MOST_MEMBERS", 3)
    load_model(archive)
    contents = [*archives.members(archive).items(), ("assets/x", b"")]
    refused(archives.put_together(archive, contents), "expected at most 3 members, received 4")


def test_weights_that_declare_more_than_is_stored(archive):
    """CVE-2026-0897, inside of an archive."""

    def change(file):
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", (2**30, 2**20), "f4", chunks=(2**8, 2**8))

    refused(archives.edit_weights(archive, change), "the arrays declare .* bytes, in a file of")


@pytest.mark.parametrize("words", [5, "x", [], {"seed": "x"}, {"padded": 5}, {"algorithms": 5}])
def test_our_own_words_of_the_wrong_kind(archive, words):
    def change(metadata):
        metadata["tinycnn"] = words

    path = archives.edit_config(archive, change, "metadata")
    if words in ([], {"padded": 5}):
        return  # empty, or not asked for
    refused(path)


def test_a_class_of_layers_that_do_not_fit_changes_nothing(archive, tmp_path):
    """`load_weights` is all or nothing."""
    model = conv_and_dense()
    before = model.get_weights()
    archives.edit_weights(archive, lambda file: file["layers/dense/vars"].pop("1"))
    with pytest.raises(ValueError, match=r"layer 'dense.*': expected kernel, bias, received 1 "):
        model.load_weights(archive)
    assert all(map(np.array_equal, model.get_weights(), before))


def test_a_name_of_a_model_that_keras_refuses(tmp_path):
    model = conv_and_dense()
    model.name = "a/b"
    with pytest.raises(ValueError, match=r"model name: expected one without '/' for files of Keras"):
        model.save(tmp_path / "m.keras")
    assert not list(tmp_path.iterdir())
