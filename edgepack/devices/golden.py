"""The golden vectors that travel in a bundle, read as what they are: a stranger's file."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bundle.manifest import TensorEntry
from ..bundle.reader import Bundle
from ..errors import UsageError
from ..spec import Array, Arrays, format_shape

MAX_BYTES = 2_000_000_000
"""Of one array, unpacked."""


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
    name = f"golden/{path.name}"
    if count < 1 or not entries:
        raise UsageError("The bundle carries no golden vectors.", "Build it again.")
    wanted = {entry.name: (count, *entry.shape) for entry in entries}
    found: dict[str, Array] = {}
    try:
        for member, shape in _headers(path):
            if shape != wanted.get(member):
                raise _unlike(f"{name}: '{member}' has the shape {format_shape(shape)}")
            if math.prod(shape) * 16 > MAX_BYTES:  # complex128, the widest that there is
                raise _unlike(f"{name}: '{member}' is too large to be a golden vector")
        with np.load(path, allow_pickle=False) as archive:
            found = {each: archive[each] for each in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise _unlike(f"{name} cannot be read: {error}") from error
    if set(found) != set(wanted):
        raise _unlike(f"{name} has {', '.join(sorted(found)) or 'no arrays'}")
    for each, array in found.items():
        if array.dtype.kind not in "biuf":
            raise _unlike(f"{name}: '{each}' is {array.dtype}, which is no number")
    return found


def _headers(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes, before memory is taken for any array."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                yield info.filename.removesuffix(".npy"), read(member)[0]


def _unlike(what: str) -> UsageError:
    return UsageError(
        f"{what}; that is not what the manifest says.", "Get the bundle again from where it was built."
    )
