"""Debian's package files, unpacked without dpkg and without trust: nothing is written outside of the folder."""

from __future__ import annotations

import itertools
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ...errors import MissingToolError

MAGIC = b"!<arch>\n"
HEADER = 60


def unpack(deb: Path, folder: Path, wanted: Callable[[str], bool], most: int | None = None) -> None:
    """The files of a package whose paths (``usr/bin/env``) are wanted, into a folder that stands for ``/``.

    Absolute links become relative ones; owners, times and device files are left out.

    Args:
        most: how many files are wanted; the rest of the package is not looked at.

    Raises:
        MissingToolError: the file is damaged, or is packed in a way that this Python does not know.
    """
    try:
        with _data(deb) as archive:
            chosen = (member for member in archive if wanted(str(PurePosixPath(member.name))))
            for member in itertools.islice(chosen, most):
                _extract(archive, member, PurePosixPath(member.name), folder)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise MissingToolError(
            f"{deb.name} cannot be unpacked: {error}.", "Install the device again."
        ) from error


@contextmanager
def _data(deb: Path) -> Iterator[tarfile.TarFile]:
    """The archive ``data.tar.*`` in the archive that a package is (see ar(5) and deb(5))."""
    with deb.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("it is no package")
        while header := file.read(HEADER):
            name, length = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                with tarfile.open(fileobj=file, mode="r|*") as archive:
                    yield archive
                return
            file.seek(length + length % 2, os.SEEK_CUR)
    raise ValueError("it holds no data.tar")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, path: PurePosixPath, folder: Path) -> None:
    place = _inside(folder, path)
    if not (member.isfile() or member.issym() or member.islnk()):
        return
    if place.parent.resolve() != folder.resolve() / path.parent:
        raise ValueError(f"{path} would be written through a link")
    place.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        target = _inside(folder, _lexical(path.parent, member.linkname))
        place.symlink_to(os.path.relpath(target, place.parent))
    elif member.islnk():
        os.link(_inside(folder, PurePosixPath(member.linkname)), place, follow_symlinks=False)
    elif content := archive.extractfile(member):
        with content, place.open("wb") as file:
            shutil.copyfileobj(content, file)
        place.chmod(0o755 if member.mode & 0o100 else 0o644)


def _lexical(parent: PurePosixPath, link: str) -> PurePosixPath:
    """Where a link points to, from the root of the archive."""
    return PurePosixPath(os.path.normpath(link.lstrip("/") if link.startswith("/") else parent / link))


def _inside(folder: Path, path: PurePosixPath) -> Path:
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{path} is outside of it")
    return folder / path
