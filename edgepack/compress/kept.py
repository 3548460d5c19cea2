"""What was found, and what is under way, in the cache folder: a kill loses a minute, a second target nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock

from .. import __version__
from ..bundle.writer import cache_dir
from ..records import Records
from ..spec import Array
from .student import Group, Student

NEWEST = 32
"""How many results are kept: those of a whole curve."""

METHOD = 8
"""Counts up when compression or learning is done in another way: what was found before is then not found again."""

SECONDS = 30.0
"""How much of the closed form a kill may lose."""

FOUND, FINAL, GONE, RANKS = "found.json", "final.state", "gone.json", "ranks.json"


def key(wanted: str, student: Student, calibration: Records) -> str:
    """Identifies a compression by all that goes into it: what is asked for, the layers' weights, the samples."""
    digest = hashlib.sha256(f"{__version__} {METHOD} {type(student).__name__} {wanted}".encode())
    for layer in student.layers:
        digest.update(f"{layer}".encode())
        digest.update(student.weight(layer.name).tobytes())
    for sample in calibration:
        for array in sample.values():
            digest.update(array.tobytes())
    return digest.hexdigest()[:32]


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """A folder that no other process uses meanwhile; another that wants the same waits for what is found."""
    root = cache_dir() / "compressed"
    own = root / name
    own.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f"{name}.lock"):
        own.mkdir(exist_ok=True)
        yield own
    _forget(path for path in root.iterdir() if path.is_dir() and path != own)


def recall(student: Student, folder: Path) -> dict[str, float]:
    """What was found before, the student being it again; empty where nothing was."""
    try:
        found: dict[str, float] = json.loads((folder / FOUND).read_text())
        student.restore(folder / FINAL)
    except (OSError, ValueError):
        return {}
    return found


def keep(student: Student, found: dict[str, float], folder: Path) -> None:
    """Keep what was found, and only that."""
    student.save(folder / FINAL)
    partial = folder / "found.partial"
    partial.write_text(json.dumps(found))
    partial.replace(folder / FOUND)
    for path in folder.iterdir():
        if path.name not in (FOUND, FINAL, GONE, RANKS):
            path.unlink()


def note_gone(gone: Mapping[Group, Array], folder: Path) -> None:
    """Note which channels go; the states that are saved are of the student with them."""
    (folder / GONE).write_text(json.dumps([channels.tolist() for channels in gone.values()]))


def noted_gone(groups: Sequence[Group], folder: Path) -> dict[Group, Array]:
    """What was noted, of the same groups; nothing goes where nothing was."""
    noted = json.loads((folder / GONE).read_text()) if groups else []
    return {group: np.array(channels, int) for group, channels in zip(groups, noted, strict=True)}


def note_ranks(ranks: Mapping[str, int], folder: Path) -> None:
    """Note which layers are two, and how many channels are between them; the states that are saved are of these."""
    (folder / RANKS).write_text(json.dumps(ranks))


def noted_ranks(folder: Path) -> dict[str, int] | None:
    """What was noted; ``None`` where nothing was found with it."""
    if not (folder / RANKS).is_file() or not (folder / FINAL).is_file():
        return None
    ranks: dict[str, int] = json.loads((folder / RANKS).read_text())
    return ranks


class Settling:
    """Keeps a student while its layers get their amounts one by one, at most ``SECONDS`` and a layer behind.

    Attributes:
        first: how many layers had theirs when a run was killed; the student has them again.
    """

    def __init__(self, student: Student, count: int, folder: Path) -> None:
        self._student, self._count, self._folder, self._since = student, count, folder, time.monotonic()
        self.first = max((int(path.stem) for path in self._states()), default=0)
        if self.first:
            student.restore(self._state(self.first))

    def __call__(self, further: int) -> None:
        """So many more layers than at first have their amounts now."""
        settled = self.first + further
        if settled == self._count or time.monotonic() - self._since >= SECONDS:
            self._student.save(self._state(settled))
            for path in self._states():
                if path != self._state(settled):
                    path.unlink()
            self._since = time.monotonic()

    def _state(self, settled: int) -> Path:
        return self._folder / f"{settled}.settled"

    def _states(self) -> list[Path]:
        return list(self._folder.glob("*.settled"))


def _forget(others: Iterable[Path]) -> None:
    """Results beyond the newest; those that were never finished go first of their age."""
    oldest_first = sorted(others, key=lambda path: path.stat().st_mtime)
    for path in oldest_first[: -NEWEST + 1]:
        if (path / FOUND).is_file():
            shutil.rmtree(path, ignore_errors=True)
