"""Which of a target's drivers a device runs."""

from __future__ import annotations

from pathlib import Path

from .. import registry
from ..errors import UsageError
from ..registry import DriverInfo, TargetInfo
from .profiles import Profile


def driver_of(profile: Profile, target: TargetInfo) -> tuple[DriverInfo, Path]:
    """The driver of a target's bundles for the device's machine, and its program. Raises UsageError: there is none."""
    driver = target.drivers.get(profile.machine)
    if driver is None or driver.program is None:
        there = [each.name for each in registry.targets().values() if profile.machine in each.drivers]
        raise UsageError(
            f"{profile.name} runs no bundles for {target.label}, only for: {', '.join(there) or 'nothing yet'}.",
            "Verify this one with --device host; see edgepack devices for others.",
        )
    return driver, driver.program
