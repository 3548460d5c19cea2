"""``edgepack devices``: where bundles can be verified, what that proves and what it does not; what is installed for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import click

from . import devices, registry
from .console import Console, format_bytes
from .devices.device import Device
from .devices.setup import installation
from .devices.setup.installation import Installable
from .errors import MissingToolError
from .events import listening


@dataclass(frozen=True)
class State:
    """What there is of what a device needs.

    Attributes:
        text: that, or what to do.
        installed: by target, the bytes of what edgepack installed for it.
    """

    text: str
    ok: bool
    installed: dict[str, int]


def run(as_json: bool) -> int:
    """Print a row for every device; what is missing is no failure. Returns 0."""
    found = [(device.profile, _state(device)) for device in devices.every()]
    if as_json:
        rows = [
            {
                "name": profile.name,
                "kind": profile.kind,
                "is": profile.summary,
                "is_not": profile.is_not,
                "backends": list(profile.backends),
                "state": state.text,
                "ok": state.ok,
                "installed": state.installed,
            }
            for profile, state in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    Console().table(
        ("", "device", "what it is, what it is not, and what is installed"),
        [
            (
                "✓" if state.ok else "✗",
                profile.name,
                f"{profile.summary};\nnot {profile.is_not}\n{state.text}\n",
            )
            for profile, state in found
        ],
        names=frozenset({1}),
    )
    return 0


def install(names: Sequence[str], targets: Sequence[str], as_json: bool) -> int:
    """Every device for every target; returns 0.

    Raises:
        UsageError: no such device or target, or a device that runs no bundles of a target.
        MissingToolError: what is needed for it is missing; what was installed before stays.
    """
    pairs = [
        (device, info)
        for device in map(devices.find, dict.fromkeys(names))
        for info in map(registry.target, dict.fromkeys(targets))
    ]
    for device, info in pairs:
        installation.check(device, info)
    console, rows = Console(), []
    with console, listening(console.lane()):
        for device, info in pairs:
            found = installation.install(device, info).values()
            total = sum(each.bytes for each in found)
            rows.append({"name": device.profile.name, "target": info.name, "bytes": total})
            for_target = f" for {info.name} ({format_bytes(total)})" if found else ""
            console.line(f"{device.profile.name} is ready{for_target}")
    if as_json:
        click.echo(json.dumps({"devices": rows, "error": None}, indent=2))
    return 0


def remove(names: Sequence[str], as_json: bool) -> int:
    """What only these devices need; returns 0. Raises UsageError: no such device."""
    console, freed = Console(), 0
    others: tuple[str, ...] = ()
    for device in map(devices.find, dict.fromkeys(names)):
        bytes_freed, others = installation.remove(device)
        freed += bytes_freed
    console.line(f"removed {format_bytes(freed)}")
    if others:
        console.line(f"what {', '.join(others)} needs stays")
    if as_json:
        click.echo(json.dumps({"bytes": freed, "stay": list(others), "error": None}, indent=2))
    return 0


def _state(device: Device) -> State:
    if isinstance(device, Installable):
        return _installed(device)
    try:
        found = [f"{tool.name} {tool.verify()}" for tool in device.tools()]
    except MissingToolError as error:
        return State(f"{error.message} {error.hint}", False, {})
    return State(", ".join(found) or "ready", True, {})


def _installed(device: Installable) -> State:
    sizes = {info.name: installation.size(device, info) for info in installation.targets(device)}
    there = {name: size for name, size in sizes.items() if size is not None}
    if not there:
        return State(f"not installed: edgepack devices install {device.profile.name}", False, {})
    return State(", ".join(f"{name}: {format_bytes(size)}" for name, size in there.items()), True, there)
