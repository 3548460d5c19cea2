"""Which devices are installed, for which targets: puts their parts there, and removes those that no device needs any more."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ... import registry
from ...errors import MissingToolError
from ...registry import TargetInfo
from ..device import Device
from ..profiles import Profile
from . import parts
from .parts import Installed, Part


@runtime_checkable
class Installable(Protocol):
    """A device that edgepack sets up itself."""

    @property
    def profile(self) -> Profile: ...

    def parts(self, target: TargetInfo) -> Sequence[Part]:
        """What it needs for bundles of a target. Raises UsageError: it runs none of them."""
        ...


def check(device: Device, target: TargetInfo) -> None:
    """Raises UsageError: the device runs no bundles of the target. Raises MissingToolError: it is not edgepack that sets it up."""
    if isinstance(device, Installable):
        device.parts(target)
    for tool in device.tools():
        tool.verify()


def install(device: Device, target: TargetInfo) -> Mapping[Part, Installed]:
    """The device with all of its parts; those that are not there are made.

    Raises:
        UsageError: the device runs no bundles of the target.
        MissingToolError: what is needed for it is missing: a tool of this machine, the network, space.
    """
    if not isinstance(device, Installable):
        return {}
    wanted = parts.with_needs(device.parts(target))
    _want(device.profile.name, target.name, wanted)
    return {part: parts.install(part) for part in wanted}


def require(device: Device, target: TargetInfo) -> None:
    """Raises MissingToolError, with the command that installs it: the device is not set up for bundles of the target."""
    if isinstance(device, Installable):
        for part in device.parts(target):
            parts.require(part, f"edgepack devices install {device.profile.name} --target {target.name}")


def size(device: Installable, target: TargetInfo) -> int | None:
    """How many bytes the device has on the disk for bundles of a target; None where it is not installed."""
    found = [parts.find(part) for part in device.parts(target)]
    return sum(each.bytes for each in found if each) if all(found) else None


def targets(device: Installable) -> tuple[TargetInfo, ...]:
    """Those whose bundles the device runs."""
    return tuple(each for each in registry.targets().values() if device.profile.machine in each.drivers)


def remove(device: Device) -> tuple[int, tuple[str, ...]]:
    """Remove what only this device needs; returns the bytes freed, and the devices that need what stays."""
    for path in _wanted().glob(f"{device.profile.name}.*.json"):
        path.unlink(missing_ok=True)
    others = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(_wanted().glob("*.json"))]
    freed = parts.sweep(name for each in others for name in each["parts"])
    return freed, tuple(dict.fromkeys(each["device"] for each in others))


def _want(device: str, target: str, wanted: Sequence[Part]) -> None:
    """Note it, before anything is made: so no part of an install under way is taken for one that nobody needs."""
    table = {"device": device, "target": target, "parts": [parts.folder(part).name for part in wanted]}
    place = _wanted() / f"{device}.{target}.json"
    partial = place.with_suffix(f".{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(table), encoding="utf-8")
        os.replace(partial, place)
    except OSError as error:
        raise MissingToolError(
            f"{parts.root()} cannot be written: {error.strerror}.",
            "Devices go to edgepack's cache folder (XDG_CACHE_HOME): mend its permissions, or free some space.",
        ) from error


def _wanted() -> Path:
    return parts.root() / "wanted"
