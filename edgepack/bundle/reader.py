"""Read a bundle that may come from anywhere: nothing outside of it is touched, nothing in it is believed unchecked."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from ..errors import UsageError
from ..target import Artifact
from .manifest import FileEntry, Manifest
from .writer import MANIFEST, file_sha256

MAX_MANIFEST = 16_000_000
MAX_FILE = 8_000_000_000


@dataclass(frozen=True)
class Bundle:
    folder: Path
    manifest: Manifest

    @property
    def artifact(self) -> Artifact:
        return Artifact(self.folder, self.manifest.artifact)


def read(folder: Path) -> Bundle:
    """A bundle whose every file is what its manifest says.

    Raises:
        UsageError: no bundle, or one that was changed or made to mislead; names the file.
    """
    path = folder / MANIFEST
    if not _is_plain_file(path):
        raise UsageError(
            f"{folder} is not a bundle: it has no {MANIFEST}.", "Give the folder that edgepack build wrote."
        )
    if path.stat().st_size > MAX_MANIFEST:
        raise UsageError(
            f"{path} is too large to be a manifest.", "Get the bundle again from where it was built."
        )
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{path} is not a manifest that this edgepack reads: {where}: {first['msg']}.",
            "Get the bundle again, or read it with the edgepack that wrote it.",
        ) from error
    for entry in manifest.files:
        _check(folder, entry)
    listed = {entry.path for entry in manifest.files}
    for name in manifest.artifact:
        if name not in listed:
            raise UsageError(
                f"{path} names the artifact {name!r} but does not list it.", "Get the bundle again."
            )
    return Bundle(folder, manifest)


def _check(folder: Path, entry: FileEntry) -> None:
    pure = PurePosixPath(entry.path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in entry.path or "\0" in entry.path or not pure.parts:
        raise UsageError(
            f"The manifest names a file outside of the bundle: {entry.path!r}.", "Do not use this bundle."
        )
    path = folder.joinpath(*pure.parts)
    parents = [folder.joinpath(*pure.parts[:depth]) for depth in range(1, len(pure.parts))]
    if any(parent.is_symlink() for parent in parents) or not _is_plain_file(path):
        raise UsageError(f"{entry.path} is missing from the bundle, or is a link.", "Get the bundle again.")
    size = path.stat().st_size
    if size != entry.bytes or size > MAX_FILE:
        raise UsageError(
            f"{entry.path} has {size} bytes, not the {entry.bytes} it was built with.",
            "Get the bundle again.",
        )
    if file_sha256(path) != entry.sha256:
        raise UsageError(
            f"{entry.path} is not the file that was built: its hash differs.", "Get the bundle again."
        )


def _is_plain_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False
