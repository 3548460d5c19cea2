"""A userland: the files of another machine's Debian that a driver needs, from its C library to a Python with packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import debian, debs
from .machines import Machine

SUITE = "bookworm"
"""The same on every machine, so that devices are the same."""

PYTHON_VERSION = "3.11"
"""That of the suite."""

BASE = ("libc6", "libgcc-s1", "libstdc++6")
PYTHON = (f"python{PYTHON_VERSION}-minimal", f"libpython{PYTHON_VERSION}-stdlib")

UNUSED = ("/share/", "/gconv/", "/sbin/")
"""Documents, languages, character sets."""

CHOSEN = ("blas", "lapack")
"""Folders of libraries that Debian's install scripts link into the folder above: no script is run here."""


@dataclass(frozen=True)
class Userland:
    """See edgepack.devices.setup.parts.Part.

    Attributes:
        packages: what it holds besides the C and C++ libraries.
    """

    machine: Machine
    packages: tuple[str, ...] = ()
    needs = ()

    @property
    def name(self) -> str:
        return f"a Debian {self.machine.debian} userland" + (
            " with Python" if PYTHON[0] in self.packages else ""
        )

    @property
    def recipe(self) -> Sequence[str]:
        return (f"userland-{self.machine.name}", SUITE, *BASE, *self.packages)

    def make(self, folder: Path, downloads: Path) -> Sequence[str]:
        packages = debian.download((*BASE, *self.packages), SUITE, self.machine.debian, downloads)
        for each in packages:
            debs.unpack(each, folder, _is_used)
        libraries = folder / "usr" / "lib" / self.machine.triplet
        for chosen in CHOSEN:
            for library in (libraries / chosen).glob("*.so.*"):
                (libraries / library.name).symlink_to(f"{chosen}/{library.name}")
        return tuple(map(debian.version, packages))


def python(userland: Path) -> Path:
    """The interpreter in an installed userland that has one."""
    return userland / "usr" / "bin" / f"python{PYTHON_VERSION}"


def packages(userland: Path) -> Path:
    """Where the packages that Debian brings for it lie."""
    return userland / "usr" / "lib" / "python3" / "dist-packages"


def _is_used(path: str) -> bool:
    return not any(word in f"/{path}" for word in UNUSED)
