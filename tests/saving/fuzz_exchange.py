"""Inputs of the fuzz program, continued: the formats that other tools share."""

import io
import zipfile

import numpy as np
from safetensors.numpy import save

from tests.networks import conv_and_dense, plain_layers
from tests.saving import mutations, onnx_mutations
from tests.saving.fuzz_inputs import H5, Format, zip_spots
from tests.saving.mutations import damaged, mutated_json, pick
from tests.saving.saved_models import GOLDEN, trained
from tinycnn import load_model
from tinycnn.saving import to_torch_state_dict


class Safetensors(Format):
    """Models as safetensors, and weights that others wrote: of half precision, and with PyTorch's names."""

    suffix = ".safetensors"

    def good_files(self, folder):
        contents = []
        for optimizer in ("adam", "sgd"):
            model = trained(conv_and_dense(optimizer=optimizer, metrics=["accuracy"]))
            model.save(folder / "seed.safetensors")
            contents.append((folder / "seed.safetensors").read_bytes())
        own, state = dict(model.named_weights()), to_torch_state_dict(model)
        halves = {name: array.astype(np.float16) for name, array in state.items()}
        return contents + [save(arrays, {"format": "pt"}) for arrays in (own, state, halves)]

    def damage(self, rng, content):
        if rng.random() < 0.7:
            return mutations.safetensors(rng, content)
        return damaged(rng, content, range(min(200, len(content))))

    def read(self, path):
        """Read it as a model, else as weights of one."""
        try:
            load_model(path).get_weights()
        except ValueError:
            conv_and_dense().load_weights(path)


class Weights(Format):
    """NumPy archives of weights alone, stored and compressed: by name, in order, with PyTorch's names."""

    suffix = ".npz"

    def good_files(self, folder):
        model = conv_and_dense()
        own, state = dict(model.named_weights()), to_torch_state_dict(model)
        numbered = {f"arr_{i}": array.astype(np.float16) for i, array in enumerate(own.values())}
        contents = []
        for write in (np.savez, np.savez_compressed):
            for arrays in (own, state, numbered):
                write(folder / "seed.npz", **arrays)
                contents.append((folder / "seed.npz").read_bytes())
        return contents

    def damage(self, rng, content):
        if rng.random() < 0.5:
            return mutations.zip_members(rng, content, packed=0.5, sealed=False)
        return damaged(rng, content, zip_spots(content))

    def read(self, path):
        conv_and_dense().load_weights(path)


class KerasArchive(H5):
    """Keras 3's archives: their JSON, their weights in HDF5, and the archive itself."""

    suffix = ".keras"

    def good_files(self, folder):
        """Return archives of tinycnn and of Keras, one of them of a functional model."""
        path = folder / f"seed{self.suffix}"
        trained(conv_and_dense(optimizer="adam", metrics=["accuracy"])).save(path)
        names = ("small_keras3.keras", "functional_keras3.keras")
        contents = [path.read_bytes(), *((GOLDEN / name).read_bytes() for name in names)]
        self.spots = {content: zip_spots(content) for content in contents}
        return contents

    def damage(self, rng, content):
        how = rng.random()
        if how < 0.15:
            return damaged(rng, content, self.spots[content])
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        number = int(rng.integers(len(members)))
        name, data = members[number]
        if how < 0.25:  # another member, a name twice, or none
            members[number] = (pick(rng, ["../x", "/x", "assets/x", "config.json"]), data)
        elif name.endswith(".json") and how < 0.95:
            members[number] = name, mutated_json(rng, data.decode()).encode("utf-8", "replace")
        else:
            members[number] = name, damaged(rng, data)
        method = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
        return mutations.zipped(members, method, sealed=False)


class Onnx(Format):
    """ONNX models: fields of the graph, sizes and data of its tensors, and bytes of the file."""

    suffix = ".onnx"

    def good_files(self, folder):
        """Return models with the input in both orders, with many operators, and as PyTorch writes them."""
        path, contents = folder / "seed.onnx", []
        for model, data_format in (
            (conv_and_dense(), "channels_last"),
            (conv_and_dense(), "channels_first"),
            (plain_layers(), "channels_last"),
        ):
            model.export(path, data_format=data_format)
            contents.append(path.read_bytes())
        return [*contents, onnx_mutations.with_computed_shapes()]

    def damage(self, rng, content):
        return onnx_mutations.changed(rng, content) if rng.random() < 0.8 else damaged(rng, content)

    def read(self, path):
        load_model(path).get_weights()


#: Formats that other tools read and write too.
SHARED = {"keras": KerasArchive, "onnx": Onnx, "safetensors": Safetensors, "weights": Weights}
