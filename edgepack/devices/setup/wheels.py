"""Python packages for another machine, by this machine's pip: wheels alone, from whichever index pip is configured for."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from ...errors import MissingToolError
from . import errand

NEWEST_LIBC, OLDEST_LIBC = 36, 17
"""Wheels tell the minor version of the glibc that they need at least; a userland has 2.36."""


@dataclass(frozen=True)
class Wheels:
    """See edgepack.devices.setup.parts.Part.

    Attributes:
        wheels: ``name==version`` of each; what they depend on does not come along.
        machine: whose, as the names of wheels have it; empty for this one.
        python: the version that they must fit; empty for this one's.
        only: the one file of them that is kept; empty for all.
    """

    wheels: tuple[str, ...]
    machine: str = ""
    python: str = ""
    only: str = ""
    needs = ()

    @property
    def name(self) -> str:
        return ", ".join(self.wheels) + (f" for {self.machine}" if self.machine else "")

    @property
    def recipe(self) -> Sequence[str]:
        first = self.wheels[0].partition("==")[0]
        return (f"{first}-{self.machine or 'here'}", *self.wheels, self.python, self.only)

    def make(self, folder: Path, downloads: Path) -> Sequence[str]:
        if find_spec("pip") is None:
            raise MissingToolError(
                "pip is not in edgepack's Python environment.", f"{sys.executable} -m ensurepip"
            )
        unpacked = downloads / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)  # of an earlier try; what that downloaded is in the cache
        errand.run(
            (
                sys.executable, "-m", "pip", "install", "--quiet", "--no-user", "--target", unpacked,
                "--cache-dir", downloads / "cache", "--only-binary=:all:", "--no-deps", "--no-compile",
                *self._fitting(), *self.wheels,
            ),
            f"pip could not fetch {self.name}",
            "It is needed once; look at pip's words, mend the network or pip's index, and install again.",
        )  # fmt: skip
        versions = sorted(map(_version, distributions(path=[str(unpacked)])))
        self._keep(unpacked, folder)
        return versions

    def _fitting(self) -> list[str]:
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(NEWEST_LIBC, OLDEST_LIBC - 1, -1)]
        platforms = (
            [f"--platform={tag}" for tag in (*tags, f"manylinux2014_{self.machine}")] if self.machine else []
        )
        return platforms + ([f"--python-version={self.python}"] if self.python else [])

    def _keep(self, unpacked: Path, folder: Path) -> None:
        for path in [unpacked / self.only] if self.only else unpacked.iterdir():
            place = folder / path.relative_to(unpacked)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)


def _version(found: Distribution) -> str:
    return f"{found.metadata['Name']} {found.version}"
