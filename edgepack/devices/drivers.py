"""Devices that run a target's driver, a process on the wire (wire.py), and which of its drivers that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import registry
from ..bundle.reader import Bundle
from ..errors import UsageError
from ..registry import DriverInfo, TargetInfo
from ..target import Tool
from .child import Command
from .device import Player
from .profiles import Profile
from .setup.parts import Part
from .wire import driven


@dataclass(frozen=True)
class Driven(ABC):
    """A device that runs drivers (see device.Device and setup.installation.Installable)."""

    profile: Profile

    def tools(self) -> Sequence[Tool]:
        """None of the system's: what edgepack installs for it depends on the bundle."""
        return ()

    @abstractmethod
    def parts(self, target: TargetInfo) -> Sequence[Part]:
        """What it needs for bundles of a target. Raises UsageError: there is no driver of the target for its machine."""

    @abstractmethod
    def command(self, bundle: Bundle) -> Command:
        """How the driver is started. Raises UsageError: see ``parts``. Raises MissingToolError: a part is not installed."""

    def backends(self, bundle: Bundle) -> tuple[str, ...]:
        self.command(bundle)
        return ("",)

    @contextmanager
    def open(self, bundle: Bundle, backend: str) -> Iterator[Player]:
        with driven(self.command(bundle), bundle.manifest) as driver:
            yield driver


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
