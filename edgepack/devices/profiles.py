"""What devices there are: profiles.toml as frozen values."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from ..errors import UsageError

FILE = Path(__file__).with_name("profiles.toml")


@dataclass(frozen=True)
class Profile:
    """A table of profiles.toml.

    Attributes:
        kind: what runs the bundle.
        summary: what it is, in a few words.
        is_not: what it must not be taken for.
        backends: what a page may compute with, best first; empty where the runtime says it.
        descriptor: Playwright's name for the screen, touch and user agent to take on.
        cpu_throttle: how many times slower the page's CPU is made to look.
    """

    name: str
    kind: Literal["host", "browser"]
    summary: str
    is_not: str
    backends: tuple[str, ...] = ()
    descriptor: str = ""
    cpu_throttle: float = 1


def profiles() -> dict[str, Profile]:
    """All profiles by name, in the file's order."""
    tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Profile(name=name, **{**table, "backends": tuple(table.get("backends", ()))})
        for name, table in tables.items()
    }


def profile(name: str) -> Profile:
    """The profile of that name. Raises UsageError with the nearest one."""
    known = profiles()
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise UsageError(
            f"There is no device '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            f"Devices: {', '.join(known)}. See edgepack devices.",
        )
    return known[name]
