"""Which releases of PyTorch can run a .ptl: what benchmarks/oldest_torch.py found by asking them, in releases.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .archive import Archive

TABLE = Path(__file__).with_name("releases.toml")
BYTECODE = 8
"""The version of the bytecode that all of these releases were given; they read older ones, too."""

NAMESPACES = ("aten::", "prim::", "quantized::")
"""Of the operators that releases.toml knows; of others only the running release is known to have them."""

PUBLISHED = "2.1.0"
"""The newest library for apps in Maven and CocoaPods."""

FORMAT, OLDEST, UNTRIED = "bytecode version", "oldest PyTorch", "operators never tried there"
"""What the audit calls them."""


@dataclass(frozen=True)
class Needs:
    """What a file asks of the runtime that loads it.

    Attributes:
        bytecode: the version of its format.
        release: the oldest release of PyTorch that is known to have all its operators, with as many arguments.
        untried: the operators that this release declares and edgepack never ran there.
    """

    bytecode: int
    release: str
    untried: tuple[str, ...] = ()


def needs(archive: Archive) -> Needs:
    """From the file's own bytecode."""
    found = dict(_operators(archive))
    releases = [table()["tried"][0], *(_since(name, count) for name, count in found.items())]
    if archive.version > BYTECODE:
        releases.append(running())
    untried = tuple(sorted(set(found) - set(table()["operators"])))
    return Needs(archive.version, max(releases, key=as_numbers), untried)


def running() -> str:
    """The release that runs here."""
    return version("torch").partition("+")[0]


def as_numbers(release: str) -> tuple[int, ...]:
    """``2.1.2`` as something to compare."""
    return tuple(map(int, release.split(".")))


def _operators(archive: Archive) -> Iterator[tuple[str, int]]:
    """Every operator, with its overload, and the most arguments that it is called with."""
    most: dict[str, int] = {}
    for method in archive.methods:
        for name, overload, count in method.operators:
            full = f"{name}.{overload}" if overload else name
            most[full] = max(most.get(full, 0), count or 0)
    yield from most.items()


def _since(name: str, count: int) -> str:
    """The first release that has an operator with so many arguments; the running one where none is known to."""
    grown = [(release, most[name]) for release, most in table()["since"].items() if name in most]
    if not grown and name.startswith(NAMESPACES) and _is_declared(name):
        return str(table()["tried"][0])
    return next((release for release, most in grown if count <= most), running())


def _is_declared(name: str) -> bool:
    from .machine import find_schema  # imports PyTorch, without which a kit is written

    kind, _, overload = name.partition(".")
    return find_schema(kind, overload) is not None


@cache
def table() -> dict[str, Any]:
    """What is in releases.toml."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))
