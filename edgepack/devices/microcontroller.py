"""A microcontroller's interpreter as a device: TensorFlow Lite Micro, with its own kernels, in a process of this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .. import registry
from ..bundle.reader import Bundle
from ..registry import DriverInfo, TargetInfo
from ..target import Tool
from .child import Command
from .device import Player
from .drivers import driver_of
from .profiles import Profile
from .setup import parts
from .setup.parts import Part
from .setup.wheels import Wheels
from .wire import driven, python_environment


@dataclass(frozen=True)
class Microcontroller:
    """See edgepack.devices.device.Device and edgepack.devices.setup.installation.Installable.

    What it plays tells two facts: ``arena``, the bytes of working memory that the model takes at least, and ``ops``, the
    kinds of ops that an app has to register.
    """

    profile: Profile

    def tools(self) -> Sequence[Tool]:
        """None of the system's."""
        return ()

    def parts(self, target: TargetInfo) -> Sequence[Part]:
        """The interpreter, for the Python that edgepack runs in. Raises UsageError: it runs no bundles of the target."""
        driver, _ = driver_of(self.profile, target)
        return (self._wheels(driver),) if driver.wheels else ()

    def backends(self, bundle: Bundle) -> tuple[str, ...]:
        self._command(bundle)
        return ("",)

    @contextmanager
    def open(self, bundle: Bundle, backend: str) -> Iterator[Player]:
        with driven(self._command(bundle), bundle.manifest) as driver:
            yield driver

    def _wheels(self, driver: DriverInfo) -> Wheels:
        return Wheels(driver.wheels, python=f"{sys.version_info.major}.{sys.version_info.minor}")

    def _command(self, bundle: Bundle) -> Command:
        """Raises UsageError: see ``parts``. Raises MissingToolError: the interpreter is not installed."""
        target = _target(bundle)
        _, program = driver_of(self.profile, target)
        remedy = f"edgepack devices install {self.profile.name} --target {target.name}"
        folders = [parts.require(part, remedy) for part in self.parts(target)]
        argv = (sys.executable, str(program), str(bundle.artifact.main), str(self.profile.arena))
        return Command(argv, python_environment(*folders))


def _target(bundle: Bundle) -> TargetInfo:
    return registry.target(bundle.manifest.target, bundle.manifest.runtime)
