"""Which bundles are measured: those that were named, and the float sibling of each."""

from __future__ import annotations

import gzip
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..bundle import reader
from ..bundle.manifest import Manifest, bundle_name
from ..bundle.reader import Bundle
from ..bundle.writer import MANIFEST
from ..errors import EdgepackError, UsageError
from ..spec import Precision

DEFAULT_OUT = Path("dist")


@dataclass(frozen=True)
class Entrant:
    """A bundle that is measured.

    Attributes:
        label: what its rows are called: as short as tells it from the others.
        named: whether it was asked for; if not, it is the float sibling of one that was.
        sibling: the place of its float sibling among the entrants; None for one in float32, or where there is none.
        alone: why there is no float sibling, in a sentence.
        command: what builds the float sibling that is missing, as far as the bundle tells.
    """

    bundle: Bundle
    label: str
    named: bool
    sibling: int | None = None
    alone: str = ""
    command: str = ""

    @cached_property
    def bundle_bytes(self) -> int:
        """Of all files."""
        listed = sum(entry.bytes for entry in self.bundle.manifest.files)
        return listed + (self.bundle.folder / MANIFEST).stat().st_size

    @cached_property
    def download_bytes(self) -> int:
        """Compressed: what the first visit of a page fetches, as its manifest says; else the artifact, each file by gzip."""
        if self.bundle.manifest.download:
            return self.bundle.manifest.download.compressed
        artifact = self.bundle.artifact
        return sum(len(gzip.compress((artifact.folder / name).read_bytes(), 9)) for name in artifact.files)


@dataclass(frozen=True)
class _Sibling:
    bundle: Bundle | None
    alone: str = ""
    command: str = ""


def line_up(folders: Sequence[Path]) -> tuple[Entrant, ...]:
    """All that is measured, every float sibling behind the last bundle that it belongs to.

    The float sibling of a bundle is the one of the same name, version, target, runtime and source in float32, in the
    folder that its name says, next to the bundle.

    Raises:
        UsageError: no bundle, a changed one, or one that was given twice.
    """
    named = [_read(folder) for folder in folders]
    places = [bundle.folder.resolve() for bundle in named]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise UsageError(f"{folders[index]} was given twice.", "Name every bundle once.")
    siblings = [_sibling(bundle) for bundle in named]
    ordered = _ordered(named, [each.bundle for each in siblings])
    labels = _labels(ordered)
    at = {bundle.folder.resolve(): index for index, bundle in enumerate(ordered)}
    by_place = dict(zip(places, siblings, strict=True))
    entrants = []
    for bundle, label in zip(ordered, labels, strict=True):
        found = by_place.get(bundle.folder.resolve(), _Sibling(None))
        sibling = at[found.bundle.folder.resolve()] if found.bundle else None
        is_named = bundle.folder.resolve() in places
        entrants.append(Entrant(bundle, label, is_named, sibling, found.alone, found.command))
    return tuple(entrants)


def title(entrants: Sequence[Entrant]) -> str:
    """What all of them are: the model, where there is one; how many, where there are several."""
    models = {(each.bundle.manifest.name, each.bundle.manifest.version) for each in entrants}
    return " ".join(models.pop()) if len(models) == 1 else f"{len(entrants)} bundles of {len(models)} models"


def _read(folder: Path) -> Bundle:
    """As reader.read, but every error names the bundle: there are several."""
    try:
        return reader.read(folder)
    except EdgepackError as error:
        raise named(error, str(folder)) from error


def named(error: EdgepackError, name: str) -> EdgepackError:
    """The error with the name of the bundle that it is about."""
    message = error.message if name in error.message else f"{name}: {error.message}"
    return type(error)(message, error.hint, error.details)


def _sibling(bundle: Bundle) -> _Sibling:
    manifest = bundle.manifest
    if manifest.precision == Precision.FLOAT32:
        return _Sibling(None)
    folder = bundle.folder if bundle.folder.name not in ("", "..") else bundle.folder.resolve()
    float_name = bundle_name(
        manifest.name, manifest.version, manifest.target, manifest.runtime, Precision.FLOAT32
    )
    near = folder.parent / float_name
    if not (near / MANIFEST).is_file():
        return _Sibling(None, f"there is no {near}.", _command(manifest, folder.parent))
    found = _read(near)
    if _identity(found.manifest) != (*_identity(manifest)[:-1], Precision.FLOAT32):
        alone = f"{near} was built from another source, or is another model."
        return _Sibling(None, alone, _command(manifest, folder.parent))
    return _Sibling(found)


def _identity(manifest: Manifest) -> tuple[str, ...]:
    return (
        manifest.name,
        manifest.version,
        manifest.target,
        manifest.runtime,
        manifest.source.sha256,
        manifest.precision,
    )


def _command(manifest: Manifest, out: Path) -> str:
    """The bundle's own command, for float32; the shortest one where the manifest's is no command of edgepack's."""
    try:
        words = shlex.split(manifest.command)
    except ValueError:
        words = []
    if (
        not manifest.command.isprintable()
        or words[:2] != ["edgepack", "build"]
        or "--precision" not in words[:-1]
    ):
        words = ["edgepack", "build", "--precision", ""]
    words[words.index("--precision") + 1] = Precision.FLOAT32.value
    return shlex.join(words if out == DEFAULT_OUT else [*words, "--out", str(out)])


def _ordered(named: Sequence[Bundle], siblings: Sequence[Bundle | None]) -> list[Bundle]:
    """Bundles as named, each float sibling, if it was not named itself, behind the last of those that share it."""
    given = {bundle.folder.resolve() for bundle in named}
    after: dict[Path, int] = {}
    for index, sibling in enumerate(siblings):
        if sibling and sibling.folder.resolve() not in given:
            after[sibling.folder.resolve()] = index
    ordered = []
    for index, (bundle, sibling) in enumerate(zip(named, siblings, strict=True)):
        ordered.append(bundle)
        if sibling and after.get(sibling.folder.resolve()) == index:
            ordered.append(sibling)
    return ordered


def _labels(bundles: Sequence[Bundle]) -> list[str]:
    """Target and precision where all are of one model; else the name; the path where two have the same."""
    manifests = [bundle.manifest for bundle in bundles]
    one_model = len({(manifest.name, manifest.version) for manifest in manifests}) == 1
    labels = [
        "-".join(filter(None, (each.target, each.runtime, each.precision))) if one_model else each.bundle_name
        for each in manifests
    ]
    if len(set(labels)) == len(labels):
        return labels
    return [str(bundle.folder) for bundle in bundles]
