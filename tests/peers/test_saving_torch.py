"""Weights between tinycnn and PyTorch: the same predictions in both directions, through arrays and files."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.peers.peer_helpers import assert_close, random_array
from tests.peers.torch_networks import outputs, torch_network
from tinycnn import Sequential, load_model, load_pretrained, mnist_cnn
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
)
from tinycnn.saving import from_torch_state_dict, to_torch_state_dict

IMAGE = (13, 11, 3)


def network(*layers, image=IMAGE):
    """A network under im2col, with random weights: ones and zeros would hide mistakes."""
    model = Sequential(layers, seed=1, input_shape=image)
    return randomized(model)


def randomized(model, seed=2):
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            rng.uniform(0.2, 1.5, array.shape) * rng.choice([-1, 1]) ** i
            for i, array in enumerate(model.weights)
        ]
    )
    for layer in model.layers:
        for name, array in layer.state.items():
            if name == "moving_variance":
                array[...] = rng.uniform(0.5, 2, array.shape)
    for layer in model.layers:  # so that no activation is saturated
        if "kernel" in layer.params:
            layer.params["kernel"] = rng.normal(
                0, layer.params["kernel"][..., 0].size ** -0.5, layer.params["kernel"].shape
            )
    return model


def conv(*arguments, **options):
    return Conv2D(*arguments, algorithm="im2col", **options)


NETWORKS = {
    "strides, an uneven padding, dilation": lambda: [
        conv(4, (3, 2), strides=(2, 1), padding=((1, 2), (0, 3)), activation="leaky_relu"),
        conv(5, 3, padding=(2, 1), dilation_rate=(1, 2), use_bias=False),
        Flatten(),
        Dense(6),
    ],
    "same, with and without strides": lambda: [
        conv(4, (4, 3), padding="same", activation="tanh"),
        conv(5, (2, 3), strides=(2, 3), padding="same", activation="relu"),
        conv(6, 3, strides=2, padding="same"),
        Flatten(),
        Dense(7, activation="softmax"),
    ],
    "normalised before and after the flatten": lambda: [
        conv(4, 3),
        BatchNormalization(),
        Activation("relu"),
        MaxPooling2D((3, 2)),
        Flatten(),
        Dropout(0.3),
        BatchNormalization(epsilon=0.02),
        Activation("tanh"),
        Dense(8, activation="sigmoid"),
        BatchNormalization(scale=False),
        Dense(5),
    ],
    "without gamma, beta or both": lambda: [
        conv(4, 3, use_bias=False),
        BatchNormalization(center=False),
        conv(5, 2),
        BatchNormalization(scale=False),
        AveragePooling2D(2),
        BatchNormalization(scale=False, center=False),
        Flatten(),
        Dense(6),
    ],
    "a global pool, after which nothing is permuted": lambda: [
        conv(5, 3, activation="relu"),
        GlobalAveragePooling2D(),
        Dense(7, activation="relu"),
        Dense(4),
    ],
    "a global pool that is flattened": lambda: [conv(5, 3), GlobalAveragePooling2D(), Flatten(), Dense(4)],
    "dense layers of one size": lambda: [Flatten(), Dense(429, activation="tanh"), Dense(429), Dense(3)],
    "pools of same": lambda: [
        MaxPooling2D((2, 3), strides=(2, 2), padding="same"),
        AveragePooling2D(3, strides=2, padding="same"),
        conv(2, 2),
        Flatten(),
        Dense(3),
    ],
    "two flattens": lambda: [conv(2, 4), Flatten(), Flatten(), Dense(3)],
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def model(request):
    return network(*request.param())


def tensors(torch, model, **options):
    return {name: torch.from_numpy(array) for name, array in to_torch_state_dict(model, **options).items()}


def assert_same_predictions(torch, theirs, model):
    x = random_array(np.random.default_rng(3), (6, *model.input_shape))
    assert_close(model.predict(x), outputs(torch, theirs, x))


def test_to_torch(torch, model):
    """Every key is there, none is left over: `strict` is PyTorch's default."""
    theirs = torch_network(torch, model)
    theirs.load_state_dict(tensors(torch, model), strict=True)
    assert_same_predictions(torch, theirs, model)


def test_from_torch(torch, model):
    """Modules with random values, also in their averages."""
    torch.manual_seed(4)
    theirs = torch_network(torch, model)
    for name, tensor in theirs.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(
                torch.rand_like(tensor) + 0.1
                if name.endswith("running_var")
                else 0.3 * torch.randn_like(tensor)
            )
    without = {i for i, layer in enumerate(model.layers) if isinstance(layer, BatchNormalization)}
    if any(not (model[i].scale and model[i].center) for i in without):
        for name, array in to_torch_state_dict(model).items():  # what the layers have no weight for
            if np.isin(array, (0, 1)).all():
                theirs.state_dict()[name].copy_(torch.from_numpy(array))
    from_torch_state_dict(model, theirs.state_dict())
    assert_same_predictions(torch, theirs, model)


def test_mnist_cnn(torch):
    """The network of the README, trained, there and back."""
    model = load_pretrained("mnist_cnn")
    model.input_check = None  # the images are noise
    theirs = torch_network(torch, model)
    theirs.load_state_dict(tensors(torch, model))
    x = np.random.default_rng(5).random((4, 28, 28, 1), np.float32)
    np.testing.assert_allclose(model.predict(x), outputs(torch, theirs, x), rtol=0, atol=1e-5)
    other = mnist_cnn(seed=7)
    from_torch_state_dict(other, theirs.state_dict())
    assert all(np.array_equal(a, b) for a, b in zip(other.weights, model.weights, strict=True))


@pytest.mark.parametrize("suffix", ["pt", "pth"])
def test_files(torch, model, suffix, tmp_path):
    """Ours are read by PyTorch, PyTorch's by us."""
    model.save_weights(tmp_path / f"ours.{suffix}")
    theirs = torch_network(torch, model)
    theirs.load_state_dict(torch.load(tmp_path / f"ours.{suffix}", weights_only=True))
    assert_same_predictions(torch, theirs, model)
    torch.save({"epoch": 3, "model_state_dict": theirs.state_dict()}, tmp_path / f"theirs.{suffix}")
    before = model.get_weights()
    model.set_weights([np.zeros_like(array) for array in before])
    model.load_weights(tmp_path / f"theirs.{suffix}")
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, before, strict=True))


def small():
    return network(conv(2, 3, activation="relu"), BatchNormalization(), Flatten(), Dense(4))


def named_modules(torch):
    """Return a module of the usual kind, with names of its own, that computes what `small` does."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = torch.nn.Conv2d(3, 2, 3)
            self.norm = torch.nn.BatchNorm2d(2, eps=1e-3)
            self.fc = torch.nn.Linear(11 * 9 * 2, 4)

        def forward(self, x):
            x = self.norm(torch.relu(self.conv1(x)))
            return self.fc(torch.flatten(x, 1))

    return Net().eval()


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "_orig_mod.", "net._orig_mod.module."])
def test_prefixes(torch, prefix):
    """Of Lightning, DataParallel, `torch.compile`, and of several."""
    torch.manual_seed(6)
    theirs, model = named_modules(torch), small()
    from_torch_state_dict(model, {prefix + name: value for name, value in theirs.state_dict().items()})
    assert_same_predictions(torch, theirs, model)


def test_an_averaged_model(torch):
    """It counts what it averaged, in a tensor of its own."""
    theirs, model = named_modules(torch), small()
    from_torch_state_dict(model, torch.optim.swa_utils.AveragedModel(theirs).state_dict())
    assert_same_predictions(torch, theirs, model)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions(torch, dtype, tmp_path):
    """Converted to the model's, in memory and in files."""
    theirs, model = named_modules(torch).to(getattr(torch, dtype)), small()
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    model.load_weights(tmp_path / "w.pt")
    np.testing.assert_array_equal(model[0].bias, theirs.conv1.bias.detach().float().numpy())
    assert model.dtype == np.float32
    from_torch_state_dict(model, theirs.state_dict())
    np.testing.assert_array_equal(model[3].bias, theirs.fc.bias.detach().float().numpy())


def test_safetensors_of_torch(torch, tmp_path):
    """Such a file sorts its tensors by name; ten convolutions show whether "10" comes after "9"."""
    save_file = pytest.importorskip("safetensors.torch").save_file
    torch.manual_seed(8)
    model = network(*[conv(3, 1, activation="tanh") for _ in range(10)], Flatten(), Dense(4))
    theirs = torch_network(torch, model)
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    model.load_weights(tmp_path / "w.safetensors")
    assert_same_predictions(torch, theirs, model)
    save_file({f"net.{n}": v.bfloat16() for n, v in theirs.state_dict().items()}, tmp_path / "w.safetensors")
    model.load_weights(tmp_path / "w.safetensors")
    assert_same_predictions(torch, theirs.bfloat16().float(), model)
    names = {"dense_1": "classifier", **{f"conv2d_{i}": f"features.{i}" for i in range(1, 11)}}
    state = tensors(torch, model, names="layers")
    renamed = {f"{names[n.split('.')[0]]}.{n.split('.')[1]}": tensor for n, tensor in state.items()}
    save_file(renamed, tmp_path / "w.safetensors")
    before = model.get_weights()
    model.load_weights(tmp_path / "w.safetensors")
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, before, strict=True))


def refused(path, match, model=None):
    model = model or small()
    before = model.get_weights()
    with pytest.raises(ValueError, match=match) as caught:
        model.load_weights(path)
    assert str(path) in str(caught.value)
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, before, strict=True))


class Evil:
    """What a pickle can do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.path),)


def test_hostile_files(torch, tmp_path):
    """Code, old pickles, compressed members, strides that make one number many, tensors without values."""
    path, good = tmp_path / "w.pt", named_modules(torch).state_dict()
    torch.save({**good, "evil": Evil(tmp_path / "owned")}, path)
    refused(path, "cannot be loaded")
    torch.save(good, path, _use_new_zipfile_serialization=False)
    refused(path, r"PyTorch 1\.6 or newer")
    torch.save({**good, "fc.weight": torch.zeros(1).expand(10**7, 10**7)}, path)
    refused(path, "expected the module dense_1")
    torch.save({**good, "fc.weight": torch.zeros(4, 198, dtype=torch.int32)}, path)
    refused(path, "received int32")
    torch.save({**good, "fc.weight": torch.zeros(4, 198, device="meta")}, path)
    refused(path, r"fc\.weight|cannot be loaded")
    torch.save({**good, "fc.weight": torch.zeros(4, 198).to_sparse()}, path)
    refused(path, r"fc\.weight|cannot be loaded")
    torch.save([*good.values()], path)
    refused(path, "expected a dictionary of tensors, received list")
    torch.save({**good, "more": 5}, path)
    refused(path, "received int for 'more'")
    loop = {}
    loop["state_dict"] = loop
    torch.save(loop, path)
    refused(path, "cannot be loaded")
    torch.save(good, path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(path, "without compression")
    for content in (b"", b"PK\x05\x06" + bytes(18), path.read_bytes()[:1000], b"\x80\x02}q\x00."):
        path.write_bytes(content)
        refused(path, "cannot be loaded")
    assert not (tmp_path / "owned").exists()


def test_a_script_is_no_state_dict(torch, tmp_path):
    """TorchScript holds code."""
    torch.jit.trace(named_modules(torch), torch.zeros(1, 3, 13, 11)).save(tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "cannot be loaded")


def test_a_whole_module_is_no_state_dict(torch, tmp_path):
    """A pickle of a class; and the module itself, where its state dict is wanted."""
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 4)), tmp_path / "w.pth")
    message = (
        r"received an object of torch\.nn\S+\.Sequential, which could run code; .* torch\.save\(module\.st"
    )
    refused(tmp_path / "w.pth", message)
    checkpoint = {"model": torch.nn.Sequential(), "epoch": 3}
    with pytest.raises(ValueError, match=r"give checkpoint\['model'\]\.state_dict\(\)"):
        from_torch_state_dict(small(), checkpoint)
    with pytest.raises(ValueError, match=r"received Sequential; give module\.state_dict\(\)"):
        from_torch_state_dict(small(), torch.nn.Sequential())


@pytest.mark.parametrize("version", ["2.5.1", "2.9.1+cpu", "1.13.0", "unknown"])
def test_an_unsafe_version_is_refused(torch, version, tmp_path, monkeypatch):
    """Up to 2.9 a file can run code in spite of `weights_only`."""
    torch.save(named_modules(torch).state_dict(), tmp_path / "w.pt")
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(ImportError, match=r'pip install "torch>=2\.10"; this is ' + re.escape(version)):
        small().load_weights(tmp_path / "w.pt")


def test_no_model_in_such_a_file(torch, tmp_path):
    """It has no layers."""
    torch.save(named_modules(torch).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"load_weights .* take \.pt, \.pth, which hold weights"):
        load_model(tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"save_weights of a model also take \.pt, \.pth"):
        small().save(tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"call model\.build\(input_shape\) first"):
        Sequential([Dense(3)]).load_weights(tmp_path / "w.pt")


def test_the_example_of_the_documents(torch, tmp_path, monkeypatch):
    """The blocks of docs/formats.md that need PyTorch run; they have comparisons of their own."""
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```py\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        exec(block, {})
