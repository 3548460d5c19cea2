"""Read a bundle that may come from anywhere: nothing outside of it is touched, nothing in it is believed unchecked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ..errors import UsageError
from ..target import Artifact
from .archive import unpacked
from .manifest import MAX_BYTES, UNSEALED, FileEntry, Manifest
from .names import is_inside, is_leftover, parents, quoted, same
from .writer import MANIFEST, file_sha256

MAX_MANIFEST = 16_000_000
AGAIN = "Get the bundle again from where it was built."
HANDS_OFF = "Do not use this bundle."


@dataclass(frozen=True)
class Bundle:
    """A bundle whose every file is what its manifest says.

    Attributes:
        archive: the .zip that the folder was unpacked from.
    """

    folder: Path
    manifest: Manifest
    archive: Path | None = None

    @property
    def artifact(self) -> Artifact:
        return Artifact(self.folder, self.manifest.artifact)

    @property
    def given(self) -> Path:
        """What the user gave."""
        return self.archive or self.folder


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """The bundle in a folder, or in a .zip for as long as the context lasts. Raises UsageError as ``read`` does."""
    with unpacked(path) as folder:
        bundle = read(folder)
        yield bundle if folder == path else replace(bundle, archive=path)


def read(folder: Path) -> Bundle:
    """The bundle in a folder.

    The files are those that the manifest lists, no others and no links; what file managers and Python leave behind is
    passed over (see names.LEFTOVERS).

    Raises:
        UsageError: no bundle, or one that was changed or made to mislead; names the file.
    """
    try:
        manifest = _manifest(folder)
        _check_names(manifest)
        _check_tree(folder, {entry.path for entry in manifest.files})
        for entry in manifest.files:
            _check_size(folder, entry)
        for entry in manifest.files:
            _check_hash(folder, entry)
    except OSError as error:
        where = os.path.relpath(error.filename or folder, folder)
        raise UsageError(
            f"{quoted(where)} cannot be read: {error.strerror or error}.", "Mend its permissions."
        ) from error
    return Bundle(folder, manifest)


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise UsageError(
            f"{folder} is not a bundle: it has no {MANIFEST}.", "Give what edgepack build wrote."
        )
    with path.open("rb") as file:
        text = file.read(MAX_MANIFEST + 1)
    if len(text) > MAX_MANIFEST:
        raise UsageError(f"{MANIFEST} is too large to be a manifest.", AGAIN)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = f"at {quoted('.'.join(map(str, first['loc'])))}: " if first["loc"] else ""
        raise UsageError(
            f"{MANIFEST} is not a manifest that this edgepack reads: {where}{first['msg']}.",
            "Get the bundle again, or read it with the edgepack that wrote it.",
        ) from error
    before, _, after = text.rpartition(manifest.seal.encode())
    if hashlib.sha256(before + UNSEALED.encode() + after).hexdigest() != manifest.seal:
        raise UsageError(f"{MANIFEST} is not the file that was built: its seal is of another text.", AGAIN)
    return manifest


def _check_names(manifest: Manifest) -> None:
    """The listed names stay within the folder, and each is a file of its own."""
    taken = {same(MANIFEST)}
    for entry in manifest.files:
        if not is_inside(entry.path):
            raise UsageError(
                f"{MANIFEST} names a file outside of the bundle: {quoted(entry.path)}.", HANDS_OFF
            )
        if same(entry.path) in taken or is_leftover(entry.path):
            raise UsageError(
                f"{MANIFEST} lists {quoted(entry.path)}, which is listed already or is no file of a bundle.",
                HANDS_OFF,
            )
        taken.add(same(entry.path))
    if sum(entry.bytes for entry in manifest.files) > MAX_BYTES:
        raise UsageError(f"{MANIFEST} lists more than {MAX_BYTES} bytes.", HANDS_OFF)
    listed = {entry.path for entry in manifest.files}
    for name in manifest.artifact:
        if name not in listed:
            raise UsageError(f"{MANIFEST} names the artifact {quoted(name)} but does not list it.", AGAIN)


def _check_tree(folder: Path, listed: set[str]) -> None:
    """The folder holds the listed files and nothing else; only folders of listed files are looked into."""
    folders = {parent for name in listed for parent in parents(name)}
    missing, waiting = set(listed), [""]
    while waiting:
        inside = waiting.pop()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                name = f"{inside}{entry.name}"
                if name in folders and entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{name}/")
                elif name in listed and entry.is_file(follow_symlinks=False):
                    missing.remove(name)
                elif entry.is_symlink() or not (name == MANIFEST or is_leftover(name)):
                    raise _surplus(name, name in listed or name in folders)
    if missing:
        raise UsageError(f"{quoted(min(missing))} is missing from the bundle.", AGAIN)


def _surplus(name: str, is_listed: bool) -> UsageError:
    if is_listed:
        return UsageError(f"{quoted(name)} is a link or a device, not the file that was built.", HANDS_OFF)
    return UsageError(
        f"{quoted(name)} lies in the bundle, but {MANIFEST} does not list it.",
        "Move it out of the bundle if it is yours; if not, get the bundle again.",
    )


def _check_size(folder: Path, entry: FileEntry) -> None:
    size = (folder / entry.path).lstat().st_size
    if size != entry.bytes:
        raise UsageError(
            f"{quoted(entry.path)} has {size} bytes, not the {entry.bytes} it was built with.", AGAIN
        )


def _check_hash(folder: Path, entry: FileEntry) -> None:
    if file_sha256(folder / entry.path) != entry.sha256:
        raise UsageError(f"{quoted(entry.path)} is not the file that was built: its hash differs.", AGAIN)
