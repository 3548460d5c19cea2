"""``edgepack devices``: where bundles can be verified, what that proves and what it does not."""

from __future__ import annotations

import json

import click

from . import devices
from .console import Console
from .devices.device import Device
from .errors import MissingToolError


def run(as_json: bool) -> int:
    """Print a row for every device; what is missing is no failure. Returns 0."""
    found = [(device.profile, *_state(device)) for device in devices.every()]
    if as_json:
        rows = [
            {
                "name": profile.name,
                "kind": profile.kind,
                "is": profile.summary,
                "is_not": profile.is_not,
                "backends": list(profile.backends),
                "state": state,
                "ok": ok,
            }
            for profile, state, ok in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    Console().table(
        ("", "device", "what it is", "what it is not", "state"),
        [
            ("✓" if ok else "✗", profile.name, profile.summary, profile.is_not, state)
            for profile, state, ok in found
        ],
    )
    return 0


def _state(device: Device) -> tuple[str, bool]:
    """What is installed of what it needs, or what to do."""
    try:
        found = [f"{tool.name} {tool.verify()}" for tool in device.tools()]
    except MissingToolError as error:
        return f"{error.message} {error.hint}", False
    return ", ".join(found) or "ready", True
