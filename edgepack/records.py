"""Named arrays on disk, one record a sample: what stages hand to each other, read back one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from .spec import Array, Arrays


@dataclass(frozen=True)
class Field:
    """One array of a record.

    Attributes:
        dtype: of the arrays handed out.
        stored: of the bytes on disk; pixels stay uint8 there, a quarter of float32.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: str

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.stored).itemsize


@dataclass(frozen=True)
class Records:
    """A file of equally sized records; a ``Samples`` that holds one record in memory at a time."""

    path: Path
    fields: tuple[Field, ...]
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, Array]]:
        with self.path.open("rb") as file:
            for _ in range(self.count):
                yield self._read(file)

    def _read(self, file: BinaryIO) -> dict[str, Array]:
        return {
            field.name: _parse(file.read(field.bytes), field).astype(field.dtype) for field in self.fields
        }

    def __getitem__(self, index: int) -> dict[str, Array]:
        """One record. Raises IndexError."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        with self.path.open("rb") as file:
            file.seek(index * sum(field.bytes for field in self.fields))
            return self._read(file)

    def stacked(self, count: int) -> dict[str, Array]:
        """The first ``count`` records, stacked on a new first axis, in the stored dtype."""
        with self.path.open("rb") as file:
            rows = [[_parse(file.read(field.bytes), field) for field in self.fields] for _ in range(count)]
        return {
            field.name: np.stack(column)
            for field, column in zip(self.fields, zip(*rows, strict=True), strict=True)
        }


@dataclass(frozen=True)
class PickedRecords(Records):
    """Some of the records of ``source``, at ``places``; on disk all stay where they are."""

    source: Records
    places: tuple[int, ...]

    @classmethod
    def of(cls, source: Records, places: tuple[int, ...]) -> PickedRecords:
        return cls(source.path, source.fields, len(places), source, places)

    def __iter__(self) -> Iterator[dict[str, Array]]:
        return (self.source[place] for place in self.places)

    def __getitem__(self, index: int) -> dict[str, Array]:
        """See Records."""
        return self.source[self.places[index]]

    def stacked(self, count: int) -> dict[str, Array]:
        """See Records.stacked."""
        rows = [self[index] for index in range(count)]
        return {
            field.name: np.stack([row[field.name].astype(field.stored) for row in rows])
            for field in self.fields
        }


class RecordWriter:
    """Writes records whose form the first one decides. A context manager; ``records`` is whole after it.

    Args:
        dtypes: the dtype to hand an array out in, by name, where it differs from the one it is written in.
    """

    def __init__(self, path: Path, dtypes: dict[str, str] | None = None) -> None:
        self._path = path
        self._dtypes = dtypes or {}
        self._fields: tuple[Field, ...] = ()
        self._count = 0

    def __enter__(self) -> RecordWriter:
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, arrays: Arrays) -> None:
        """Append one record. Raises ValueError when it has not the form of the first."""
        form = tuple(
            Field(name, array.shape, self._dtypes.get(name, array.dtype.name), array.dtype.name)
            for name, array in arrays.items()
        )
        self._fields = self._fields or form
        if form != self._fields:
            raise ValueError(f"a record of the form {form} after one of {self._fields}")
        for array in arrays.values():
            self._file.write(np.ascontiguousarray(array).tobytes())
        self._count += 1

    @property
    def count(self) -> int:
        return self._count

    @property
    def records(self) -> Records:
        return Records(self._path, self._fields, self._count)


def _parse(data: bytes, field: Field) -> Array:
    return np.frombuffer(data, field.stored).reshape(field.shape)
