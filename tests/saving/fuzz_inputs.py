"""Inputs of the fuzz program: for each format, good files, how they are damaged, and how they are read.

Here are HDF5 and the files of tinycnn alone; `fuzz_exchange` has the formats that more tools share.
"""

import gzip
import io
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np

from tests.networks import conv_and_dense
from tests.saving import mutations
from tests.saving.mutations import damaged, pick, resealed, spliced
from tests.saving.saved_models import GOLDEN, data, trained
from tinycnn import load_model
from tinycnn.datasets.idx import read_idx, write_idx
from tinycnn.saving import h5
from tinycnn.saving.h5 import source
from tinycnn.training import EarlyStopping, ReduceLROnPlateau, WeightAverage
from tinycnn.training.checkpoint import Checkpoint, Position, run_settings


class Format:
    """One kind of file: `make(rng)` gives an input, `read(path)` reads it."""

    suffix = ""

    def __init__(self, folder):
        self.seeds = self.good_files(Path(folder))

    def make(self, rng):
        content = pick(rng, self.seeds)
        if rng.random() < 0.08:
            return spliced(rng, content, pick(rng, self.seeds))
        return self.damage(rng, content)


class H5(Format):
    """HDF5 files of models."""

    suffix = ".h5"

    def good_files(self, folder):
        """Return files of Keras 2 and 3 and ours, of several forms: texts, chunks, old and new structures."""
        path = folder / "seed.h5"
        trained(conv_and_dense(optimizer="adam", metrics=["accuracy"])).save(path)
        contents = [path.read_bytes()]
        contents += [(GOLDEN / f"small_keras{version}.h5").read_bytes() for version in (2, 3)]
        for libver in ("earliest", "v108", "latest"):
            contents += [_copied(contents[0], libver, False), _copied(contents[0], libver, True)]
        self.map(folder, contents)
        return contents

    def map(self, folder, contents):
        """Find where the structures of good files are, which `damage` aims at."""
        path = folder / f"map{self.suffix}"
        self.maps = {content: _structures(path, content, self.read) for content in contents}

    def damage(self, rng, content):
        if rng.random() < 0.15:
            return mutations.h5_json(rng, content)
        spots, sealed = self.maps[content]
        found = damaged(rng, content, spots)
        return resealed(found, sealed) if sealed and rng.random() < 0.8 else found

    def read(self, path):
        load_model(path).get_weights()


class WeightsH5(H5):
    """HDF5 files of weights alone, which a model of the same layers loads."""

    suffix = ".weights.h5"

    def good_files(self, folder):
        """Return files of the current form, and of forms of HDF5 that other writers choose."""
        self.model = conv_and_dense()
        path = folder / f"seed{self.suffix}"
        self.model.save_weights(path)
        contents = [path.read_bytes()]
        for libver in ("earliest", "v108", "latest"):
            contents += [_copied(contents[0], libver, False), _copied(contents[0], libver, True)]
        self.map(folder, contents)
        return contents

    def damage(self, rng, content):
        spots, sealed = self.maps[content]
        found = damaged(rng, content, spots)
        return resealed(found, sealed) if sealed and rng.random() < 0.8 else found

    def read(self, path):
        """Load, and check that a refused file changes nothing."""
        before = self.model.get_weights()
        try:
            self.model.load_weights(path)
        except ValueError:
            same = map(np.array_equal, before, self.model.get_weights())
            assert all(same), "half loaded"
            raise


def _copied(content, libver, special):
    """Return an HDF5 file with the same content in another form; in a special one, with heaps and chunks."""
    stream = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as old, h5py.File(stream, "w", libver=libver) as new:

        def copy(name, item):
            if isinstance(item, h5py.Group):
                new.require_group(name)
            else:
                rows = item.shape[:1] + tuple(max(1, size // 2) for size in item.shape[1:])
                packed = special and item.ndim > 0
                options = {"chunks": rows, "compression": "gzip", "shuffle": True, "fletcher32": True}
                new.create_dataset(name, data=item[()], **(options if packed else {}))

        old.visititems(copy)
        groups = ["/"]
        old.visititems(lambda name, item: groups.append(name) if isinstance(item, h5py.Group) else None)
        for name in groups:
            for key, value in old[name].attrs.items():
                texts = isinstance(value, bytes) or (
                    np.ndim(value) and value.dtype.kind == "S" and value.size
                )
                if special and texts:
                    value = value.decode() if isinstance(value, bytes) else [v.decode() for v in value]
                new[name].attrs[key] = value
            for i in range(9 if special else 0):  # more than fit into a header of the newer form
                new[name].attrs[f"more{i}"] = i
    return stream.getvalue()


def _structures(path, content, read):
    """Return where a reader finds structures: their starts, and (start, end) of those with a checksum."""
    spots, sealed = [], []

    class Recorder(source.Source):
        def block(self, address, size, what):
            spots.append(self.base + address)
            return super().block(address, size, what)

        def checked(self, address, size, what):
            spots.append(self.base + address)
            sealed.append((self.base + address, self.base + address + size))
            return super().checked(address, size, what)

    original, h5.Source = h5.Source, Recorder
    try:
        path.write_bytes(content)
        read(path)
    finally:
        h5.Source = original
    return sorted(set(spots)), sorted(set(sealed))


class Npz(Format):
    """NumPy archives of models."""

    suffix = ".npz"

    def good_files(self, folder):
        contents = []
        for optimizer in ("adam", "sgd"):
            trained(conv_and_dense(optimizer=optimizer, metrics=["accuracy"])).save(folder / "seed.npz")
            contents.append(_without_times((folder / "seed.npz").read_bytes()))
        return contents

    def damage(self, rng, content):
        how = rng.random()
        if how < 0.35:
            return mutations.zip_members(rng, content)
        if how < 0.6:
            return mutations.zip_json(rng, content)
        found = damaged(rng, content, zip_spots(content))
        return mutations.sealed_archive(found) if rng.random() < 0.8 else found

    def read(self, path):
        load_model(path).get_weights()


def _without_times(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return mutations.zipped([(info.filename, archive.read(info)) for info in archive.infolist()])


def zip_spots(content):
    """Return where the headers of an archive are."""
    return [
        at
        for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6")
        for at in range(len(content))
        if content[at : at + 4] == mark
    ]


class Idx(Format):
    """IDX files, raw and compressed."""

    suffix = ".idx"

    def good_files(self, folder):
        rng = np.random.default_rng(3)
        arrays = [
            rng.integers(0, 256, (9, 28, 27)).astype(np.uint8),
            rng.integers(0, 10, 57).astype(np.uint8),
            rng.standard_normal((2, 3, 5, 7)),
            rng.standard_normal((11, 0)).astype(np.float32),
            np.array(7, np.int32),
            rng.integers(-9, 9, (4, 6)).astype(np.int16),
        ]
        contents = []
        for array in arrays:
            write_idx(folder / "seed", array)
            contents.append((folder / "seed").read_bytes())
        return contents + [gzip.compress(content, mtime=0) for content in contents]

    def damage(self, rng, content):
        if rng.random() < 0.4:
            return mutations.gzip_again(rng, content)
        return damaged(rng, content, range(min(20, len(content))))

    def read(self, path):
        array = read_idx(path)
        assert array.flags.c_contiguous
        array.sum()


class CheckpointFolder(Npz):
    """Folders of checkpoints: the file `checkpoint.npz`, read by a run that goes on."""

    suffix = ""

    def good_files(self, folder):
        contents = []
        self.runs = [self._run(name) for name in ("adam", "sgd")]
        for number, (model, callbacks, settings) in enumerate(self.runs):
            model.fit(*data(model.input_shape), batch_size=7, verbose=0, callbacks=callbacks)
            checkpoint = Checkpoint(folder / f"run{number}", settings)
            checkpoint.save(model, Position(0, 3, {"loss": 1.5}, 21), callbacks)
            contents.append(_without_times((folder / f"run{number}" / "checkpoint.npz").read_bytes()))
        return contents

    def _run(self, optimizer):
        model = conv_and_dense(optimizer=optimizer, metrics=["accuracy"])
        callbacks = [EarlyStopping("loss", patience=3), ReduceLROnPlateau("loss"), WeightAverage(0.9)]
        how = {"batch_size": 7, "validation_split": 0.0, "shuffle": True}
        return model, callbacks, run_settings(model, how, None, [np.ones(3)])

    def read(self, path):
        """Begin a run with the folder that holds the input, for the model that it might belong to."""
        folder = path.with_name("run-of-input")
        folder.mkdir(exist_ok=True)
        os.replace(path, folder / "checkpoint.npz")
        for name in ("checkpoint.previous.npz", "checkpoint.new.npz"):
            (folder / name).unlink(missing_ok=True)
        errors = []
        for model, callbacks, settings in self.runs:
            try:
                position = Checkpoint(folder, settings).begin(model, callbacks)
            except ValueError as error:
                errors.append(error)
            else:
                check_resumed(model, position)
        if len(errors) == len(self.runs):
            raise errors[0]


def check_resumed(model, position):
    """Check what a run goes on with: a wrong type would be an error somewhere in `fit`."""
    for number in (position.first_epoch, position.batches, position.samples):
        assert type(number) is int
        assert number >= 0
    assert type(position.ended) is bool
    assert all(type(value) in (int, float) for value in position.sums.values())
    assert all(type(epoch) is int for epoch in model.history.epoch)
    assert all(isinstance(column, list) for column in model.history.history.values())


#: Formats of tinycnn's own files, and those of Keras in HDF5.
OWN = {"h5": H5, "weights_h5": WeightsH5, "npz": Npz, "idx": Idx, "checkpoint": CheckpointFolder}
