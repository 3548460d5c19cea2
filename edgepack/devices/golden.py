"""The golden vectors that travel in a bundle, read as what they are: a stranger's file."""

from __future__ import annotations

import math
import re
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bundle.archive import Member, members
from ..bundle.manifest import TensorEntry
from ..bundle.names import quoted
from ..bundle.reader import Bundle
from ..errors import UsageError
from ..spec import Array, Arrays, format_shape

MAX_BYTES = 1_000_000_000
"""Of all arrays of one file, unpacked."""

DTYPES = frozenset(["|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"])

PREFIX = struct.Struct("<6sBBH")
"""What a .npy file begins with: magic, version, length of its header."""

HEADER = re.compile(
    r"\{'descr': '([^']{2,9})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,12}, ?)*(?:\d{1,12})?)\), \} *\n"
)
"""As NumPy writes it. It is Python, and NumPy evaluates it; here it is no more than text."""


@dataclass(frozen=True)
class Golden:
    """The samples that parity is replayed on, and the original's answers to them, one mapping a sample."""

    inputs: tuple[Arrays, ...]
    outputs: tuple[Arrays, ...]


def load(bundle: Bundle) -> Golden:
    """The vectors in ``golden/``. Raises UsageError where they are not what the manifest says."""
    manifest = bundle.manifest
    folder, count = bundle.folder / "golden", manifest.golden.shipped
    return Golden(
        _rows(_read(folder / "inputs.npz", manifest.inputs, count), count),
        _rows(_read(folder / "outputs.npz", manifest.outputs, count), count),
    )


def _rows(arrays: Arrays, count: int) -> tuple[Arrays, ...]:
    return tuple({name: array[index] for name, array in arrays.items()} for index in range(count))


def _read(path: Path, entries: Sequence[TensorEntry], count: int) -> dict[str, Array]:
    """One array for each entry, ``count`` samples stacked on a new first axis."""
    named = f"golden/{path.name}"
    shapes = {entry.name: (count, *entry.shape) for entry in entries}
    if not shapes or not all(size > 0 for shape in shapes.values() for size in shape):
        raise UsageError("The bundle carries no golden vectors.", "Build it again.")
    with members(path, named) as found:
        if set(found) != {f"{name}.npy" for name in shapes}:
            raise _unlike(f"{named} has {', '.join(map(quoted, sorted(found)[:9])) or 'no arrays'}")
        if sum(member.size for member in found.values()) > MAX_BYTES:
            raise _unlike(f"{named} is too large for golden vectors")
        return {name: _array(found[f"{name}.npy"], shape, named) for name, shape in shapes.items()}


def _array(member: Member, shape: tuple[int, ...], named: str) -> Array:
    """An array of that shape. Raises UsageError, and BadZipFile for what is no array."""
    where = f"{named}: {quoted(member.name.removesuffix('.npy'))}"
    chunks = member.chunks()
    data = bytearray(next(chunks, b""))
    start, dtype, found = _header(data)
    if dtype not in DTYPES:
        raise _unlike(f"{where} is {dtype}, which is no number that edgepack writes")
    if found != shape:
        raise _unlike(f"{where} has the shape {format_shape(found)}")
    if member.size != start + math.prod(shape) * np.dtype(dtype).itemsize:
        raise _unlike(f"{where} has {member.size} bytes")
    for chunk in chunks:
        data += chunk
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def _header(data: bytearray) -> tuple[int, str, tuple[int, ...]]:
    """Where the values begin, what they are, and their shape. Raises BadZipFile."""
    if len(data) < PREFIX.size:
        raise zipfile.BadZipFile("an array is cut short")
    magic, major, _, length = PREFIX.unpack_from(data)
    start = PREFIX.size + length
    header = HEADER.fullmatch(data[PREFIX.size : start].decode("latin-1"))
    if magic != b"\x93NUMPY" or major != 1 or header is None:
        raise zipfile.BadZipFile("an array is not as NumPy writes it")
    if header[2] == "True":
        raise zipfile.BadZipFile("an array is in Fortran's order")
    return start, header[1], tuple(map(int, re.findall(r"\d+", header[3])))


def _unlike(what: str) -> UsageError:
    return UsageError(
        f"{what}; that is not what the manifest says.", "Get the bundle again from where it was built."
    )
