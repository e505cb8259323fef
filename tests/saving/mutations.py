"""Mutations: damage to files, from flipped bits to wrong fields under right checksums.

Every mutation takes a random generator and returns new content; the same generator state, the same content.
"""

import copy
import gzip
import io
import json
import math
import re
import struct
import zipfile
import zlib

import h5py
import numpy as np

from tinycnn.saving import npz
from tinycnn.saving.h5.source import checksum

NUMBERS = [
    0,
    1,
    2,
    3,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
]
# What may stand anywhere in JSON.
ODD = [None, True, False, 0, -1, 1, 2, 1.5, -0.0, 1e308, math.nan, math.inf, 2**31, 2**63, 10**400]
ODD += ["", "x", "x" * 3000, "\ud800", "../x", [], [[]], {}, {"a": 1}, [None], ["a", "b"], [1, 2, 3], [0, -1]]


def pick(rng, items):
    """Return one of the items, without changing its type."""
    return items[int(rng.integers(len(items)))]


def flip_bits(rng, data, spots):
    for at in places(rng, data, spots, int(rng.integers(1, 9))):
        data[at] ^= 1 << int(rng.integers(8))


def set_bytes(rng, data, spots):
    for at in places(rng, data, spots, int(rng.integers(1, 5))):
        data[at] = pick(rng, [0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))])


def set_number(rng, data, spots):
    """Set a number of 1 to 8 bytes: to an extreme, to a place in the file, or to a neighbour of itself."""
    for at in places(rng, data, spots, int(rng.integers(1, 4))):
        width = pick(rng, [1, 2, 4, 8])
        at -= pick(rng, [0, at % width])
        old = int.from_bytes(data[at : at + width], "little")
        place = pick(rng, list(spots) if len(spots) else [0])
        new = pick(
            rng, [pick(rng, NUMBERS), place, len(data), at, old + 1, old - 1, old * 2, old // 2, old ^ 0xFF00]
        )
        data[at : at + width] = (new % 256**width).to_bytes(width, pick(rng, ["little", "little", "big"]))


def move_block(rng, data, spots):
    """Copy a block over another place, insert it there, cut it out, or fill it with zeros."""
    start, size = places(rng, data, spots, 1)[0], int(2 ** rng.uniform(0, 10))
    block, how = data[start : start + size], int(rng.integers(4))
    if how == 0:
        data[start : start + size] = bytes(len(block))
    elif how == 1:
        del data[start : start + size]
    else:
        at = places(rng, data, spots, 1)[0]
        data[at : at + (len(block) if how == 2 else 0)] = block


def cut(rng, data, spots):
    """Cut the end off, or add some."""
    if rng.random() < 0.7:
        del data[int(rng.integers(len(data) + 1)) :]
    else:
        data += bytes(int(rng.integers(1, 5000)))


def set_digits(rng, data, spots):
    """Change a number in a text."""
    found = list(re.finditer(rb"\d+", bytes(data)))
    if found:
        match = pick(rng, found)
        size = match.end() - match.start()
        new = pick(
            rng,
            [b"9" * size, b"0" * size, b"-" + b"1" * (size - 1), str(rng.integers(10**9)).encode()[:size]],
        )
        data[match.start() : match.start() + len(new)] = new


WAYS = [flip_bits, set_bytes, set_number, set_number, set_number, move_block, cut, set_digits]


def places(rng, data, spots, count):
    """Return places in the data: near the spots of its structures for a half, or anywhere."""
    found = []
    for _ in range(count):
        if len(spots) and rng.random() < 0.6:
            at = pick(rng, spots) + int(rng.exponential(12))
        else:
            at = int(rng.integers(max(1, len(data))))
        found.append(min(at, max(0, len(data) - 1)))
    return found


def damaged(rng, content, spots=()):
    """Return the content with one to three mutations."""
    data = bytearray(content)
    for _ in range(pick(rng, [1, 1, 1, 2, 3])):
        if data:
            pick(rng, WAYS)(rng, data, spots)
    return bytes(data)


def spliced(rng, content, other):
    """Return the beginning of one content and the end of another, cut at the same place or not."""
    at = int(rng.integers(len(content) + 1))
    return content[:at] + other[pick(rng, [at, int(rng.integers(len(other) + 1))]) :]


def resealed(content, blocks):
    """Return the content with right checksums in its blocks (start, end), so that damage gets past them."""
    data = bytearray(content)
    for start, end in blocks:
        if end <= len(data):
            data[end - 4 : end] = checksum(bytes(data[start : end - 4])).to_bytes(4, "little")
    return bytes(data)


def mutated_json(rng, text):
    """Return a JSON text with one to three values replaced, removed or exchanged."""
    value = json.loads(text)
    for _ in range(pick(rng, [1, 1, 2, 3])):
        holders = list(_holders(value))
        if not holders:  # all has been removed
            break
        holder, key = pick(rng, holders)
        if key not in (holder if isinstance(holder, dict) else range(len(holder))):
            continue
        how = int(rng.integers(6))
        if how == 0:
            del holder[key]
        elif how == 1:
            other, place = pick(rng, holders)
            if place in (other if isinstance(other, dict) else range(len(other))):
                holder[key] = json.loads(json.dumps(other[place]))
        elif how == 2 and isinstance(holder, list):
            holder.append(json.loads(json.dumps(holder[key])))
        elif how == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            n, as_float = holder[key], float(str(holder[key]))  # float(n) raises for an int above 1e308
            holder[key] = pick(rng, [n + 1, -n, n * 1000, as_float])
        else:
            holder[key] = copy.deepcopy(pick(rng, ODD))  # a list of ODD must not change, nor hold itself
    return json.dumps(value)


def _holders(value):
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _holders(inner)


def h5_json(rng, content):
    """Return an HDF5 file with one of its JSON attributes changed."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        name = pick(
            rng, [name for name in ("model_config", "training_config", "tinycnn") if name in file.attrs]
        )
        old = file.attrs[name]
        text = mutated_json(rng, old)
        file.attrs[name] = np.bytes_(text.encode()) if isinstance(old, bytes) else text
    return stream.getvalue()


def zip_members(rng, content, packed=0.03, sealed=True):
    """Return an archive with a member renamed, doubled, removed, packed or damaged, under a right CRC."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    number = int(rng.integers(len(members)))
    texts = [i for i, (name, _) in enumerate(members) if ".json" in name]
    if rng.random() < 0.4 and texts:  # rather these, which are few
        number = pick(rng, texts)
    name, data = members[number]
    how = int(rng.integers(8))
    if how == 0:
        del members[number]
    elif how == 1:
        members[number] = pick(rng, members)[0], data
    elif how == 2:
        members[number] = name, pick(rng, members)[1]
    elif how == 3 and ".json" in name:
        text = mutated_json(rng, str(np.load(io.BytesIO(data))))
        stream = io.BytesIO()
        np.save(stream, np.array(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")))
        members[number] = name, stream.getvalue()
    else:  # at the beginning is the header of the array
        members[number] = name, damaged(rng, data, range(min(128, len(data))))
    method = zipfile.ZIP_DEFLATED if rng.random() < packed else zipfile.ZIP_STORED
    return zipped(members, method, sealed)


def zipped(members, method=zipfile.ZIP_STORED, sealed=True):
    """Return an archive of (name, content), with a right digest or without any."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.comment = npz.UNSEALED if sealed else b""
        for name, data in members:
            info = zipfile.ZipInfo(name)  # without the time, so that the same input has the same bytes
            info.compress_type = method
            archive._didModify = True
            archive.writestr(info, data)
    return sealed_archive(stream.getvalue()) if sealed else stream.getvalue()


def sealed_archive(content):
    """Return an archive with a right digest where it has one, so that damage gets past it."""
    stream = io.BytesIO(content)
    if len(content) >= npz.DIGITS:
        npz.seal(stream)
    return stream.getvalue()


def zip_json(rng, content):
    """Return an archive with JSON changed in one of its texts."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = pick(rng, [name for name in members if ".json" in name])
    stream = io.BytesIO()
    np.save(stream, np.array(mutated_json(rng, str(np.load(io.BytesIO(members[name]))))))
    return zipped([*(members | {name: stream.getvalue()}).items()])


def safetensors(rng, content):
    """Return a file of safetensors with another header: its JSON, its text, or what it says of the data."""
    length = int.from_bytes(content[:8], "little")
    text, data = content[8 : 8 + length], content[8 + length :]
    how = rng.random()
    if how < 0.3:
        text = mutated_json(rng, text).encode()
    elif how < 0.5:
        text = damaged(rng, text)
    else:
        header = json.loads(text)
        name = pick(rng, sorted(header))
        if name == "__metadata__":
            own = header[name].get("tinycnn")
            header[name] = {"tinycnn": mutated_json(rng, own)} if own else {"format": pick(rng, ODD)}
        else:
            data = _changed_array(rng, header, name, data)
        text = json.dumps(header).encode()
    length = len(text) if rng.random() < 0.97 else int(rng.integers(2 * len(text)))
    return length.to_bytes(8, "little") + text + data


def _changed_array(rng, header, name, data):
    """Change the entry of an array so that it stays plausible; return the data, which may become others."""
    entry, other = header[name], header[pick(rng, sorted(key for key in header if key != "__metadata__"))]
    how = int(rng.integers(6))
    if how == 0:
        entry["data_offsets"], other["data_offsets"] = other["data_offsets"], entry["data_offsets"]
    elif how == 1:  # the same number of bytes in another shape
        count = math.prod(entry["shape"])
        entry["shape"] = pick(
            rng, [[count], [1, count], [2, count // 2], entry["shape"][::-1], [count, 1, 1, 1]]
        )
    elif how == 2:
        entry["dtype"] = pick(rng, ["F64", "F32", "F16", "BF16", "I32", "U32", "BOOL", "F8_E5M2", "C64"])
    elif how == 3:
        header[name + pick(rng, ["x", ".weight", "/kernel"])] = header.pop(name)
    elif how == 4:  # an array more, of no bytes or of some
        count = int(rng.integers(3))
        end = len(data)
        header["more"] = {"dtype": "F32", "shape": [count], "data_offsets": [end, end + 4 * count]}
        data += bytes(4 * count)
    else:
        entry["data_offsets"] = [start + int(rng.integers(-8, 9)) for start in entry["data_offsets"]]
    return data


def gzip_again(rng, content):
    """Return an IDX file, changed and compressed; its members may be several, its head unusual."""
    data = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    data = damaged(rng, data, range(min(16, len(data))))
    if rng.random() < 0.1:  # a bomb: a header, then nothing but zeros
        data = data[:16] + bytes(int(2 ** rng.uniform(10, 24)))
    packed = gzip.compress(data, mtime=0)
    how = int(rng.integers(6))
    if how == 0:
        at = int(rng.integers(len(data) + 1))
        packed = gzip.compress(data[:at], mtime=0) + gzip.compress(data[at:], mtime=0)
    elif how == 1:
        packed = packed[:3] + bytes([int(rng.integers(32))]) + packed[4:]  # flags of optional fields
    elif how == 2:
        packed = packed[:-8] + struct.pack("<2I", zlib.crc32(data), int(rng.integers(2**32)))
    return packed
