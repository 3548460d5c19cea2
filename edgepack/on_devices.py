"""Parity on devices as a part of the gate: a sealed bundle, before it is published, where it will run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import devices, worker
from .bundle import compose
from .bundle.manifest import Manifest, ParityEntry
from .bundle.reader import Bundle
from .devices.device import Device
from .devices.replay import BackendResult, DeviceResult, replay
from .devices.setup import installation
from .errors import UsageError
from .events import Listener
from .registry import TargetInfo


@dataclass(frozen=True)
class OnDevices:
    """What came of it.

    Attributes:
        parity: for the manifest; a device with several backends has a row for each, ``DEVICE/BACKEND``.
        failures: why the bundle must not ship.
    """

    parity: Mapping[str, ParityEntry]
    failures: tuple[str, ...]


def chosen(names: Sequence[str], infos: Sequence[TargetInfo]) -> tuple[Device, ...]:
    """The devices of these names.

    Raises:
        UsageError: there is no such device, or it runs none of the targets.
        MissingToolError: what it needs is missing; better now than after the build.
    """
    found = tuple(map(devices.find, names))
    for device in found:
        if not any(devices.takes(device.profile, info) for info in infos):
            raise UsageError(
                f"{device.profile.name} runs none of {', '.join(info.label for info in infos)}.",
                "See edgepack devices, or leave out --device.",
            )
        for tool in device.tools():
            tool.verify()
        for info in infos:
            if devices.takes(device.profile, info):
                installation.require(device, info)
    return found


def check(
    asked: Sequence[Device], info: TargetInfo, folder: Path, manifest: Manifest, listener: Listener
) -> OnDevices:
    """Replay the golden vectors of the bundle in ``folder`` on those of the devices that run its target.

    Raises:
        MissingToolError: a device is not installed.
    """
    bundle = Bundle(folder, manifest)
    results = [
        worker.run(replay, device, bundle, env={}, listener=listener)
        for device in asked
        if devices.takes(device.profile, info)
    ]
    rows = {
        f"{result.device}/{each.backend}".rstrip("/"): each for result in results for each in result.backends
    }
    return OnDevices(
        {name: _entry(each) for name, each in rows.items()},
        tuple(failure for result in results for failure in _failures(result)),
    )


def _entry(result: BackendResult) -> ParityEntry:
    beside = [str(each) for each in result.beside.values()]
    return ParityEntry(
        passed=result.passed,
        samples=result.samples,
        outputs={name: compose.metrics_entry(metrics) for name, metrics in result.outputs.items()},
        backend=result.backend,
        error=result.error,
        beside="; ".join(beside),
    )


def _failures(result: DeviceResult) -> list[str]:
    """A sentence for everything that keeps a device from passing."""
    missed = [
        f"{result.device}{f' {each.backend}' if each.backend else ''}: {failure}"
        for each in result.backends
        for failure in each.failures
    ]
    cannot = [
        f"{result.device} cannot run this bundle: {each.error} {each.hint}".rstrip()
        for each in result.backends
    ]
    return missed if missed or result.passed else cannot
