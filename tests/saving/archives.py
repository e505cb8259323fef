"""How `.keras` archives are taken apart and put together again, changed."""

import io
import json
import zipfile

import h5py

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"


def members(path):
    """Return the content of each member, by name."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def put_together(path, contents, compression=zipfile.ZIP_STORED):
    """Write an archive of (name, content); a name may be a ZipInfo, and may come twice."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents:
            archive.writestr(name, content)
    return path


def changed(path, **contents):
    """Replace members, given without their suffix; None leaves one out."""
    names = {"metadata": METADATA, "config": CONFIG, "weights": WEIGHTS}
    new = members(path) | {names[name]: content for name, content in contents.items()}
    return put_together(path, [(name, content) for name, content in new.items() if content is not None])


def edit_config(path, change, name="config"):
    """Change the dictionary in a member of JSON; `change` gets it."""
    value = json.loads(members(path)[f"{name}.json"])
    change(value)
    return changed(path, **{name: json.dumps(value)})


def edit_weights(path, change):
    """Change the HDF5 file inside; `change` gets it, open."""
    stream = io.BytesIO(members(path)[WEIGHTS])
    with h5py.File(stream, "r+") as file:
        change(file)
    return changed(path, weights=stream.getvalue())
