"""``edgepack targets``: the targets there are, and their further runtimes."""

from __future__ import annotations

import json

import click

from . import registry
from .console import Console


def run(as_json: bool) -> None:
    """Print them."""
    rows = []
    for info in registry.targets().values():
        rows.append((info.name, "", info.summary, info.precisions))
        rows += [(info.name, name, each.summary, each.precisions) for name, each in info.runtimes.items()]
    if as_json:
        keys = ("name", "runtime", "summary", "precisions")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    shown = [
        (f"{name} --runtime {runtime}" if runtime else name, summary, ", ".join(precisions))
        for name, runtime, summary, precisions in rows
    ]
    Console().table(("target", "runs on", "precisions"), shown)
