"""A board or a phone's processor as a device: the target's real runtime, run by QEMU as a process of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import registry
from ..bundle.reader import Bundle
from ..registry import DriverInfo, TargetInfo
from .child import Command
from .drivers import Driven, driver_of
from .setup import parts, qemu, userland
from .setup.compiler import COMPILER, PROGRAM, Compiled
from .setup.machines import MACHINES, Machine
from .setup.parts import Part
from .setup.qemu import Qemu
from .setup.userland import PYTHON, PYTHON_VERSION, Userland
from .setup.wheels import Wheels
from .wire import python_environment


class Emulated(Driven):
    """A machine that QEMU emulates, one process at a time."""

    def parts(self, target: TargetInfo) -> Sequence[Part]:
        return self._setup(target).parts

    def _setup(self, target: TargetInfo) -> Setup:
        driver, program = driver_of(self.profile, target)
        return Setup(MACHINES[self.profile.machine], driver, program)

    def command(self, bundle: Bundle) -> Command:
        manifest, profile = bundle.manifest, self.profile
        setup = self._setup(registry.target(manifest.target, manifest.runtime))
        remedy = f"edgepack devices install {profile.name} --target {manifest.target}"
        emulator, files, wheels, *compiled = (parts.require(part, remedy) for part in setup.parts)
        artifact = str(bundle.artifact.main.resolve())
        if compiled:
            argv = (str(compiled[0] / PROGRAM), str(wheels / setup.driver.library), artifact)
            env: dict[str, str] = {}
        else:
            argv = (str(userland.python(files)), str(setup.program), artifact)
            env = python_environment(wheels, userland.packages(files))
        prefix = qemu.command(emulator, setup.machine, files, profile.cpu)
        return Command((*prefix, *argv), env, f"a {profile.cpu}")


@dataclass(frozen=True)
class Setup:
    """What a driver takes on a machine."""

    machine: Machine
    driver: DriverInfo
    program: Path

    @property
    def parts(self) -> tuple[Part, ...]:
        """The emulator, its userland, the runtime, and the driver where it must be compiled."""
        wheels = Wheels(self.driver.wheels, self.machine.wheel, PYTHON_VERSION, self.driver.library)
        if self.program.suffix == ".c":
            files = Userland(self.machine, (*COMPILER, *self.driver.debian))
            return Qemu(), files, wheels, Compiled(self.program, self.machine, files)
        return Qemu(), Userland(self.machine, (*PYTHON, *self.driver.debian)), wheels
