"""Devices: where a bundle's golden vectors are replayed. What there is, is data: profiles.toml."""

from __future__ import annotations

from collections.abc import Callable

from ..registry import TargetInfo
from .browsers.browser import Browser
from .device import Device
from .emulated import Emulated
from .host import Host
from .microcontroller import Microcontroller
from .node import Node
from .profiles import Profile, profile, profiles

_KINDS: dict[str, Callable[[Profile], Device]] = {
    "host": Host,
    "browser": Browser,
    "node": Node,
    "emulated": Emulated,
    "microcontroller": Microcontroller,
}


def find(name: str) -> Device:
    """The device of that name. Raises UsageError with the nearest one."""
    return _of(profile(name))


def every() -> tuple[Device, ...]:
    """All devices, in the order of profiles.toml."""
    return tuple(map(_of, profiles().values()))


def _of(each: Profile) -> Device:
    return _KINDS[each.kind](each)


def takes(profile: Profile, info: TargetInfo) -> bool:
    """Whether a device runs the bundles of a target."""
    return profile.kind == "host" or profile.machine in info.drivers
