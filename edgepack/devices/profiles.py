"""What devices there are: profiles.toml, and the user's own in edgepack.toml, as frozen values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError

FILE = Path(__file__).with_name("profiles.toml")
OWN = "edgepack.toml"


class Profile(BaseModel):
    """A table of profiles.toml, or ``[device.NAME]`` of edgepack.toml.

    Attributes:
        kind: what runs the bundle.
        summary: what it is, in a few words.
        is_not: what it must not be taken for.
        engine: of a browser.
        backends: what a page may compute with, best first; empty where the runtime says it.
        descriptor: Playwright's name for the screen, touch and user agent to take on.
        cpu_throttle: how many times slower the page's CPU is made to look.
        machine: which of a target's drivers runs there (``[drivers.MACHINE]`` of target.toml).
        cpu: as QEMU calls it.
        arena: how many bytes of working memory a microcontroller has; 0: as many as it takes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["host", "browser", "node", "emulated", "microcontroller"]
    summary: str
    is_not: str
    engine: Literal["chromium", "firefox", "webkit"] = "chromium"
    backends: tuple[str, ...] = ()
    descriptor: str = ""
    cpu_throttle: float = Field(1, ge=1)
    machine: Literal["", "arm64", "armv7", "micro", "page", "node"] = ""
    cpu: str = ""
    arena: int = Field(0, ge=0)


def profiles(folder: Path = Path()) -> dict[str, Profile]:
    """All profiles by name: edgepack's in their file's order, then those in the edgepack.toml of this folder.

    An own profile may say ``like = "raspberry-pi-4"``, and then only what differs.

    Raises:
        UsageError: an own profile is wrong; names the key.
    """
    tables: dict[str, dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))
    found = {name: Profile(name=name, **table) for name, table in tables.items()}
    for name, table in _own(folder / OWN).items():
        base = dict(table)
        like = base.pop("like", None)
        if like is not None:
            if like not in tables:
                raise _unknown(like, found)
            base = {**tables[like], **base}
        try:
            found[name] = Profile(name=name, **base)
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(
                f"{OWN}: device.{name}.{'.'.join(map(str, first['loc']))}: {first['msg']}.",
                "See docs/devices.md for what a profile says.",
            ) from error
    return found


def profile(name: str) -> Profile:
    """The profile of that name. Raises UsageError with the nearest one."""
    known = profiles()
    if name not in known:
        raise _unknown(name, known)
    return known[name]


def _own(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """The ``[device.NAME]`` tables; what else is wrong with the file is said by the build that reads it."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("device", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    return {name: each for name, each in table.items() if isinstance(each, dict)}


def _unknown(name: str, known: Mapping[str, Profile]) -> UsageError:
    near = get_close_matches(name, known, 1)
    return UsageError(
        f"There is no device '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
        f"Devices: {', '.join(known)}. See edgepack devices.",
    )
