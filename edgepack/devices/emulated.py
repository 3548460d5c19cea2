"""A board or a phone's processor as a device: the target's real runtime, run by QEMU as a process of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import registry
from ..bundle.reader import Bundle
from ..registry import DriverInfo, TargetInfo
from ..target import Tool
from .child import Command
from .device import Player
from .drivers import driver_of
from .profiles import Profile
from .setup import parts, qemu, userland
from .setup.compiler import COMPILER, PROGRAM, Compiled
from .setup.machines import MACHINES, Machine
from .setup.parts import Part
from .setup.qemu import Qemu
from .setup.userland import PYTHON, PYTHON_VERSION, Userland
from .setup.wheels import Wheels
from .wire import driven, python_environment


@dataclass(frozen=True)
class Emulated:
    """See edgepack.devices.device.Device and edgepack.devices.setup.installation.Installable."""

    profile: Profile

    def tools(self) -> Sequence[Tool]:
        """None of the system's: what edgepack installs for it depends on the bundle."""
        return ()

    def parts(self, target: TargetInfo) -> Sequence[Part]:
        """What it needs for bundles of a target. Raises UsageError: there is no driver of the target for its machine."""
        return self._setup(target).parts

    def backends(self, bundle: Bundle) -> tuple[str, ...]:
        self._command(bundle)
        return ("",)

    @contextmanager
    def open(self, bundle: Bundle, backend: str) -> Iterator[Player]:
        with driven(self._command(bundle), bundle.manifest) as driver:
            yield driver

    def _setup(self, target: TargetInfo) -> Setup:
        driver, program = driver_of(self.profile, target)
        return Setup(MACHINES[self.profile.machine], driver, program)

    def _command(self, bundle: Bundle) -> Command:
        """Raises UsageError: see ``parts``. Raises MissingToolError: a part is not installed."""
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
