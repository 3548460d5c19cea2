"""``edgepack doctor``: is this machine ready for each target, and if not, what to install."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, requires, version

import click
from packaging.requirements import Requirement

from . import registry
from .console import Console
from .errors import MissingToolError
from .target import Tool


def run(as_json: bool) -> int:
    """Print a row for everything a target needs; returns 4 when something is missing, else 0."""
    rows = [row for info in registry.targets().values() for row in _rows(info)]
    if as_json:
        keys = ("target", "needs", "state", "remedy", "ok")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
    else:
        shown = [
            ("✓" if ok else "✗", target, needs, state, remedy) for target, needs, state, remedy, ok in rows
        ]
        Console().table(("", "target", "needs", "found", "to mend it"), shown)
    return 0 if all(row[-1] for row in rows) else MissingToolError.exit_code


def _rows(info: registry.TargetInfo) -> list[tuple[str, str, str, str, bool]]:
    wanted = _requirements()
    rows = []
    for package in info.packages:
        requirement = wanted.get(package)
        asked = f"{package} {requirement.specifier}" if requirement and requirement.specifier else package
        remedy = f"pip install 'edgepack[{info.extra}]'" if info.extra else f"pip install {package}"
        try:
            found = version(package)
            ok = requirement is None or requirement.specifier.contains(found, prereleases=True)
        except PackageNotFoundError:
            found, ok = "missing", False
        rows.append((info.name, asked, found, "" if ok else remedy, ok))
    if all(row[-1] for row in rows):
        rows += [_tool_row(info.name, tool) for tool in registry.load_target(info).tools()]
    return rows


def _tool_row(target: str, tool: Tool) -> tuple[str, str, str, str, bool]:
    try:
        return target, tool.name, tool.verify(), "", True
    except MissingToolError as error:
        return target, tool.name, "missing", error.hint, False


def _requirements() -> dict[str, Requirement]:
    """What this edgepack was tried with, by package."""
    parsed = (Requirement(line) for line in requires("edgepack") or ())
    return {each.name: each for each in parsed if each.name != "edgepack"}
