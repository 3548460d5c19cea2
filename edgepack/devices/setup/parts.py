"""Parts: what edgepack installs for devices, each a folder in its cache, named by a hash of all that goes into it.

Devices share parts. A part is made in a hidden sibling and renamed when it is whole; a lock keeps two installs apart. What
was downloaded for a part that could not be finished stays, for the next try.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from ...bundle.writer import cache_dir
from ...errors import MissingToolError
from ...events import step

RECORD = "part.json"
FEW = 3
LAYOUT = 1
"""Counts up when what edgepack does with a part's ingredients changes."""


class Part(Protocol):
    """Something to install. A frozen value."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def recipe(self) -> Sequence[str]:
        """All that decides what is in it; the first word also begins its folder's name."""
        ...

    @property
    def needs(self) -> Sequence[Part]:
        """The parts that making this one takes."""
        ...

    def make(self, folder: Path, downloads: Path) -> Sequence[str]:
        """Fill the empty folder; return the versions of what is in it.

        Args:
            downloads: a folder for what is fetched, with what an earlier try left there.

        Raises:
            MissingToolError: what making it takes is not there: a tool, the network, space.
        """
        ...


@dataclass(frozen=True)
class Installed:
    """A part that is there.

    Attributes:
        bytes: on the disk.
        versions: of what is in it.
    """

    folder: Path
    bytes: int
    versions: tuple[str, ...]


def root() -> Path:
    """Where all parts lie."""
    return cache_dir() / "devices"


def bytecode() -> Path:
    """Where the Pythons of devices keep what they compile; goes with the next removal, and comes again."""
    return root() / "bytecode"


def folder(part: Part) -> Path:
    """Where the part is, or will be."""
    digest = hashlib.sha256("\0".join((str(LAYOUT), *part.recipe)).encode()).hexdigest()[:16]
    return root() / f"{part.recipe[0]}-{digest}"


def find(part: Part) -> Installed | None:
    """The part, if it is installed."""
    place = folder(part)
    try:
        record = json.loads((place / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Installed(place, record["bytes"], tuple(record["versions"]))


def require(part: Part, remedy: str) -> Path:
    """Where an installed part lies. Raises MissingToolError with the remedy."""
    found = find(part)
    if found is None:
        raise MissingToolError(f"{part.name} is not installed.", remedy)
    return found.folder


def with_needs(wanted: Iterable[Part]) -> tuple[Part, ...]:
    """The parts and all that they need, in the order to install them; each once."""
    found: dict[Part, None] = {}
    for part in wanted:
        found |= dict.fromkeys((*with_needs(part.needs), part))
    return tuple(found)


def install(part: Part) -> Installed:
    """The part, made now if it is not there. What it needs must be installed.

    Raises:
        MissingToolError: what making it takes is not there: a tool, the network, space.
    """
    place = folder(part)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(place)):
            return find(part) or _make(part, place)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise MissingToolError(
            f"{part.name} cannot be installed: {error.strerror or error}{where}.",
            "Devices go to edgepack's cache folder (XDG_CACHE_HOME): mend its permissions, or free some space.",
        ) from error


def _make(part: Part, place: Path) -> Installed:
    partial = _partial(place)
    downloads, made = partial / "downloads", partial / "made"
    shutil.rmtree(made, ignore_errors=True)  # of a try that was killed
    for each in (downloads, made):
        each.mkdir(parents=True, exist_ok=True)
    with step(f"install {part.name}") as making:
        versions = tuple(part.make(made, downloads))
        installed = Installed(place, size(made), versions)
        record = {"name": part.name, "recipe": part.recipe, "versions": versions, "bytes": installed.bytes}
        (made / RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
        os.rename(made, place)
        shutil.rmtree(partial, ignore_errors=True)
        making.detail = ", ".join(versions) if len(versions) <= FEW else f"{len(versions)} packages"
    return installed


def sweep(kept: Iterable[str]) -> int:
    """Remove every part whose folder's name is not kept, and the leftovers of tries; returns the bytes freed.

    What is being installed meanwhile is left alone.
    """
    freed, keep = 0, set(kept)
    for place in sorted({_place(path) for path in root().glob("*") if _is_part(path)}):
        if place.name in keep:
            continue
        with contextlib.suppress(Timeout), FileLock(_lock(place), timeout=0):
            freed += _discard(place)
    return freed


def _discard(place: Path) -> int:
    doomed = _partial(place)
    freed = size(place) + size(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):  # only a try's leftovers are there
        os.rename(place, doomed)  # at once: half a part must not pass for a whole one
    shutil.rmtree(doomed, ignore_errors=True)
    return freed


def size(folder: Path) -> int:
    """Of all files in it, in bytes."""
    return sum(path.lstat().st_size for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _is_part(path: Path) -> bool:
    return path.is_dir() and path.name != "wanted"


def _place(path: Path) -> Path:
    """The part's folder, of it or of what a try left."""
    return path.with_name(path.name.removeprefix(".").removesuffix(".partial"))


def _partial(place: Path) -> Path:
    return place.with_name(f".{place.name}.partial")


def _lock(place: Path) -> Path:
    return place.with_name(f".{place.name}.lock")
