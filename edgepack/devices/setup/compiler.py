"""Drivers in C, compiled on the machine that they are for: by tcc, in its userland, on the emulated processor.

tcc is small and compiles a driver in a moment; so no cross compiler is asked for, and every host makes the same driver.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import errand, parts, qemu
from .machines import Machine
from .parts import Part
from .qemu import Qemu
from .userland import Userland

COMPILER = ("tcc", "libc6-dev")
"""The packages that a userland has besides, where drivers are compiled."""

FLAGS = ("-Wall", "-Werror")
PROGRAM = "driver"


@dataclass(frozen=True)
class Compiled:
    """A driver (see edgepack.devices.setup.parts.Part); its one file is called PROGRAM.

    Attributes:
        userland: one with COMPILER.
    """

    source: Path
    machine: Machine
    userland: Userland

    @property
    def name(self) -> str:
        return f"{self.source.name} for {self.machine.name}"

    @property
    def recipe(self) -> Sequence[str]:
        digest = hashlib.sha256(self.source.read_bytes()).hexdigest()
        return (f"{self.source.stem.replace('_', '-')}-{self.machine.name}", digest, *FLAGS)

    @property
    def needs(self) -> Sequence[Part]:
        return Qemu(), self.userland

    def make(self, folder: Path, downloads: Path) -> Sequence[str]:
        hint = "Install the device again."
        files = parts.require(self.userland, hint)
        emulator = qemu.command(parts.require(Qemu(), hint), self.machine, files, self.machine.baseline)
        tcc = (*emulator, str(files / "usr" / "bin" / "tcc"))
        what = f"{self.source.name} could not be compiled for {self.machine.name}"
        errand.run((*tcc, *FLAGS, "-o", folder / PROGRAM, self.source, "-ldl"), what, hint)
        return (errand.run((*tcc, "-v"), what, hint).strip(),)
