"""A microcontroller's interpreter as a device: TensorFlow Lite Micro, with its own kernels, in a process of this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .. import registry
from ..bundle.reader import Bundle
from ..registry import DriverInfo, TargetInfo
from .child import Command
from .drivers import Driven, driver_of
from .setup import parts
from .setup.parts import Part
from .setup.wheels import Wheels
from .wire import python_environment


class Microcontroller(Driven):
    """The interpreter for microcontrollers in a process of this machine.

    What it plays tells two facts: ``arena``, the bytes of working memory that the model takes at least, and ``ops``, the
    kinds of ops that an app has to register.
    """

    def parts(self, target: TargetInfo) -> Sequence[Part]:
        driver, _ = driver_of(self.profile, target)
        return (self._wheels(driver),) if driver.wheels else ()

    def _wheels(self, driver: DriverInfo) -> Wheels:
        return Wheels(driver.wheels, python=f"{sys.version_info.major}.{sys.version_info.minor}")

    def command(self, bundle: Bundle) -> Command:
        target = _target(bundle)
        _, program = driver_of(self.profile, target)
        remedy = f"edgepack devices install {self.profile.name} --target {target.name}"
        folders = [parts.require(part, remedy) for part in self.parts(target)]
        argv = (sys.executable, str(program), str(bundle.artifact.main), str(self.profile.arena))
        return Command(argv, python_environment(*folders))


def _target(bundle: Bundle) -> TargetInfo:
    return registry.target(bundle.manifest.target, bundle.manifest.runtime)
