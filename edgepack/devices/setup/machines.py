"""The machines that QEMU stands in for, by the names that profiles.toml and target.toml use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """A machine, in the words of each tool.

    Attributes:
        debian: as Debian calls it.
        emulator: the program of QEMU.
        triplet: where Debian puts its libraries, and what its compiler is called by.
        wheel: as the names of Python's wheels have it.
        baseline: the least of its processors, by QEMU's name.
    """

    name: str
    debian: str
    emulator: str
    triplet: str
    wheel: str
    baseline: str


MACHINES = {
    each.name: each
    for each in (
        Machine("arm64", "arm64", "qemu-aarch64", "aarch64-linux-gnu", "aarch64", "cortex-a53"),
        Machine("armv7", "armhf", "qemu-arm", "arm-linux-gnueabihf", "armv7l", "cortex-a7"),
    )
}
