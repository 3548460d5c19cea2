"""Bundles onto the disk: whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import UsageError
from .manifest import UNSEALED, FileEntry, Manifest

MANIFEST = "manifest.json"
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def cache_dir() -> Path:
    """edgepack's own folder for what can be made again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "edgepack"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder for what the targets of one build share; gone afterwards."""
    work = cache_dir() / "work"
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="shared-", dir=work, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Place:
    """Where a build may write.

    Attributes:
        staging: an empty, temporary sibling of the destination, on the same disk.
        workdir: an empty folder for what stages hand to each other.
    """

    staging: Path
    workdir: Path


@contextmanager
def folder(path: Path) -> Iterator[None]:
    """Make a folder and its parents; on leaving, remove those of them that are still empty. Raises UsageError."""
    made = _make_folders(path)
    try:
        yield
    finally:
        _remove_empty(made)


@contextmanager
def reserve(destination: Path, force: bool) -> Iterator[Place]:
    """Hold the place of a bundle; no other build may write there meanwhile.

    What an earlier, killed build left behind is removed. On leaving, so is what this one did not publish.

    Raises:
        UsageError: another build holds the place, it cannot be written, or something that is no bundle lies there.
    """
    if destination.exists() and not (destination / MANIFEST).is_file() and not force:
        raise UsageError(
            f"{destination} exists and is not a bundle.",
            "Move it away, choose another --out, or replace it with --force.",
        )
    key = hashlib.sha256(str(destination.resolve()).encode()).hexdigest()[:16]
    cache = cache_dir() / "work"
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with folder(destination.parent), FileLock(cache / f"{key}.lock", timeout=0):
            _remove_leftovers(destination, cache, key)
            workdir = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=cache))
            staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.partial-", dir=destination.parent))
            staging.chmod(0o755)
            try:
                yield Place(staging, workdir)
            finally:
                _remove_leftovers(destination, cache, key)
    except Timeout:
        raise UsageError(
            f"Another build is writing {destination}.",
            "Wait for it to end, or give this one another --out or --name.",
        ) from None


def _remove_leftovers(destination: Path, cache: Path, key: str) -> None:
    partial = destination.parent.glob(f".{destination.name}.partial-*")
    for leftover in (*cache.glob(f"{key}-*"), *partial):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:  # what --force replaced may have been a file or a link
            leftover.unlink(missing_ok=True)
    destination.with_name(f".{destination.name}.zip.partial").unlink(missing_ok=True)


def _make_folders(folder: Path) -> list[Path]:
    """Create the folder and its parents; return those that were made, deepest first."""
    missing = [folder] if not folder.exists() else []
    while missing and not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror or error}.",
            "Choose another --out, or mend its permissions.",
        ) from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return  # a bundle lies in it by now


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest, with the hash and size of every other file and of its own text, last; then sync all."""
    bare = manifest.model_copy(update={"files": entries(folder), "seal": UNSEALED})
    sealed = bare.model_copy(update={"seal": hashlib.sha256(bare.to_json().encode()).hexdigest()})
    (folder / MANIFEST).write_bytes(sealed.to_json().encode())
    for path in (*_files(folder), *(path for path in folder.rglob("*") if path.is_dir()), folder):
        _sync(path)
    return sealed


def entries(folder: Path) -> tuple[FileEntry, ...]:
    """The hash and size of every file in a bundle's folder, but the manifest's."""
    return tuple(
        FileEntry(
            path=path.relative_to(folder).as_posix(), sha256=file_sha256(path), bytes=path.stat().st_size
        )
        for path in _files(folder)
        if path.name != MANIFEST or path.parent != folder
    )


def publish(staging: Path, destination: Path) -> None:
    """Put a sealed folder in its place; at every moment the place holds the old bundle or the new one."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.exists():
        _exchange(staging, destination)  # the old one is now in staging, which its owner removes
    else:
        os.rename(staging, destination)
    _sync(destination.parent)


def _exchange(one: Path, other: Path) -> None:
    if sys.platform == "linux":
        at_fdcwd, rename_exchange = -100, 2  # linux/fcntl.h, linux/fs.h
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(at_fdcwd, os.fsencode(one), at_fdcwd, os.fsencode(other), rename_exchange) == 0:
            return
        if ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    # No atomic exchange here: the place is empty for the moment between two renames, never half filled.
    aside = one.with_name(one.name + "-old")
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)


def write_zip(folder: Path, archive: Path) -> Path:
    """A sealed folder as a .zip, not yet at ``archive`` but hidden beside it; returns where.

    Sorted, no time stamps: the same bundle gives the same bytes. Unpacks into a folder named like ``archive``.
    """
    partial = archive.with_name(f".{archive.name}.partial")
    with zipfile.ZipFile(partial, "w") as packed:
        for each in _files(folder):
            info = zipfile.ZipInfo(f"{archive.stem}/{each.relative_to(folder).as_posix()}", ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            packed.writestr(info, each.read_bytes(), compresslevel=9)
    _sync(partial)
    return partial


def ship(staging: Path, destination: Path, as_zip: bool) -> tuple[Path, int | None]:
    """Publish the bundle, and its .zip; a .zip of the bundle that it replaces goes. Returns its path and the .zip's size."""
    archive = destination.with_name(f"{destination.name}.zip")
    packed = write_zip(staging, archive) if as_zip else None  # before publishing: a full disk stops both
    publish(staging, destination)
    if packed is None:
        archive.unlink(missing_ok=True)
        return destination, None
    os.replace(packed, archive)
    return destination, archive.stat().st_size


def put_aside(staging: Path, destination: Path) -> Path:
    """Move a rejected bundle out of ``--out``, to ``<out>.rejected/``."""
    out = destination.parent if destination.parent.name not in ("", "..") else destination.parent.resolve()
    aside = out.parent / f"{out.name or 'out'}.rejected" / destination.name
    aside.parent.mkdir(parents=True, exist_ok=True)
    if aside.exists():
        shutil.rmtree(aside)
    shutil.move(staging, aside)
    return aside


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_sha256(path: Path) -> str:
    """Of a file's bytes, or of a folder's names and bytes."""
    if path.is_file():
        return file_sha256(path)
    digest = hashlib.sha256()
    for each in _files(path):
        digest.update(f"{each.relative_to(path).as_posix()}\0{file_sha256(each)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
