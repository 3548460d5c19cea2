"""QEMU's user emulators: programs of another processor, run as processes of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import MissingToolError
from . import debian, debs
from .machines import MACHINES, Machine
from .mirrors import mirror

PACKAGE = "qemu-user"
OLDEST = 10
"""Before it there is no /proc/cpuinfo of the emulated processor, on which a runtime stumbles, and some answers are wrong."""

SUITES = {
    "bullseye": "bookworm-backports",
    "bookworm": "bookworm-backports",
    "oldstable": "bookworm-backports",
}
"""Where a release too old for it finds a new one: it is linked statically, and asks nothing of the machine."""


@dataclass(frozen=True)
class Qemu:
    """See edgepack.devices.setup.parts.Part. Both machines' emulators come in one package."""

    name = "QEMU"
    recipe = ("qemu", PACKAGE, str(OLDEST))
    needs = ()

    def make(self, folder: Path, downloads: Path) -> Sequence[str]:
        release = mirror().release
        (deb,) = debian.download((PACKAGE,), SUITES.get(release, release), "", downloads)
        found = debian.version(deb)
        if int(found.split()[1].split(":")[-1].split(".")[0]) < OLDEST:
            raise MissingToolError(
                f"The Debian of this machine has {found}; emulated devices need version {OLDEST}.",
                "Use Debian 12 or newer.",
            )
        programs = {f"usr/bin/{machine.emulator}" for machine in MACHINES.values()}
        debs.unpack(deb, folder, programs.__contains__, len(programs))
        return (found,)


def command(qemu: Path, machine: Machine, files: Path, cpu: str) -> tuple[str, ...]:
    """What to put before a program of the machine, and its arguments.

    Args:
        qemu: where the part lies.
        files: a userland; what is asked for by an absolute path is looked for there first, then on this machine.
        cpu: by QEMU's name. ``max`` goes without SME unless it is asked for: emulated, that has computed wrong int8 (QEMU 7.2).
    """
    if cpu.split(",")[0] == "max" and "sme=" not in cpu:
        cpu += ",sme=off"
    return str(qemu / "usr" / "bin" / machine.emulator), "-L", str(files), "-cpu", cpu
