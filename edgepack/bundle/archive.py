"""Zip files from strangers: a bundle as a .zip, and the .npz in it. What one claims is held against what it is, and bounded."""

from __future__ import annotations

import io
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .manifest import MAX_BYTES, MAX_FILES
from .names import is_inside, is_leftover, parents, quoted, same
from .writer import MANIFEST

MAX_LISTING = 8_000_000
"""Bytes of the zip's own directory, all of which is held in memory."""

MAX_RATIO = 200
"""How many times its packed size a bundle may be: weights hardly shrink. Deflate itself goes up to 1032."""

CHUNK = 1_000_000
LOCAL_HEADER = 30
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
ENCRYPTED = 0x1 | 0x40

FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    OverflowError,
)
"""What Python's zipfile raises for bytes that are not what it takes them for."""


@dataclass(frozen=True)
class Member:
    """A file in a zip; ``size`` is that of the unpacked file, as the zip claims."""

    name: str
    size: int
    _archive: zipfile.ZipFile
    _info: zipfile.ZipInfo

    def chunks(self) -> Iterator[bytes]:
        """All of it, piece by piece. Raises BadZipFile where it is not of the size claimed, or fails its checksum."""
        left = self.size
        with self._archive.open(self._info) as file:
            while chunk := file.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        if left:
            raise zipfile.BadZipFile(f"{quoted(self.name)} has not the size that it claims")


class _Frugal(io.BufferedReader):
    """A file that gives so much at once and no more; zipfile reads a zip's directory, whatever its size, by one call."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_LISTING:
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size)


@contextmanager
def members(path: Path, named: str) -> Iterator[dict[str, Member]]:
    """The files of a zip, by name, for as long as the context lasts.

    Args:
        named: what to call it.

    Raises:
        UsageError: no zip, or one with what no zip of ours has: links, devices, encryption, two entries of one name or in
            one place. Also for a ``FAULTS`` within the context.
    """
    try:
        with _Frugal(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            _check_places(archive)
            yield _members(archive)
    except FAULTS as error:
        raise UsageError(
            f"{named} cannot be read: {error or type(error).__name__}.",
            "Get it again from where it was built.",
        ) from error


def _check_places(archive: zipfile.ZipFile) -> None:
    """Each entry has bytes of its own: where they overlap, a small file becomes a huge one many times."""
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise zipfile.BadZipFile(f"{quoted(info.filename)} lies on top of another entry")
        end = info.header_offset + LOCAL_HEADER + info.compress_size
    if end > archive.start_dir:
        raise zipfile.BadZipFile("an entry lies on top of the directory")


def _members(archive: zipfile.ZipFile) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for info in archive.infolist():
        name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & ENCRYPTED:
            raise zipfile.BadZipFile(f"{quoted(name)} is encrypted")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise zipfile.BadZipFile(f"{quoted(name)} is a link or a device")
        if info.compress_type not in METHODS:
            raise zipfile.BadZipFile(f"{quoted(name)} is packed in an unusual way")
        if name in found or name != info.filename:
            raise zipfile.BadZipFile(f"it has {quoted(name)} twice, or under a name that is cut short")
        if name.endswith("/") and info.file_size:
            raise zipfile.BadZipFile(f"{quoted(name)} is a folder with bytes in it")
        if not name.endswith("/"):
            found[name] = Member(name, info.file_size, archive, info)
    return found


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A bundle's folder: the one at ``path``, or a temporary one with what the .zip at ``path`` holds.

    Raises:
        UsageError: no such path, or no zip of a bundle; then nothing was left anywhere.
    """
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise UsageError(f"There is no {path}.", "Give the folder or the .zip that edgepack build wrote.")
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        _unpack(path, Path(folder))
        yield Path(folder)


def _unpack(path: Path, folder: Path) -> None:
    """Write the bundle in a zip, without the folder around it, into an empty folder."""
    with members(path, str(path)) as found:
        for name, member in _bundle(found, path.stat().st_size).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for chunk in member.chunks():
                    file.write(chunk)


def _bundle(found: Mapping[str, Member], packed: int) -> dict[str, Member]:
    """The files by their names within the bundle. Raises BadZipFile for what is no bundle, or would not stay in its folder."""
    files = {name: member for name, member in found.items() if not is_leftover(name)}
    if len(found) > MAX_FILES:
        raise zipfile.BadZipFile(f"it has {len(found)} entries, more than a bundle has")
    if outside := next((name for name in files if not is_inside(name)), None):
        raise zipfile.BadZipFile(f"{quoted(outside)} would be written outside of its folder")
    total = sum(member.size for member in files.values())
    if total > min(MAX_BYTES, MAX_RATIO * packed):
        raise zipfile.BadZipFile(f"it claims {total} bytes, and has {packed}")
    tops = {name.partition("/")[0] for name in files}
    root = "" if MANIFEST in files else f"{tops.pop()}/" if len(tops) == 1 else None
    if root is None or f"{root}{MANIFEST}" not in files:
        raise zipfile.BadZipFile(f"it holds no bundle: it has no {MANIFEST}, or more than one folder")
    taken = {same(name): name for name in files}
    folders = {same(parent) for name in files for parent in parents(name)}
    if len(taken) < len(files) or folders & set(taken):
        raise zipfile.BadZipFile("two of its entries would be one file")
    return {name.removeprefix(root): member for name, member in files.items()}
