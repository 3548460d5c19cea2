"""``edgepack doctor``: is this machine ready for each target and device, and if not, what to install."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version

import click
from packaging.requirements import Requirement

from . import devices, frameworks, registry
from .console import Console
from .errors import MissingToolError
from .frameworks import FrameworkInfo
from .target import Tool

Row = tuple[str, str, str, str, bool]
"""Who needs it, what, its state, how to mend that, whether it is fine."""


def run(as_json: bool) -> int:
    """Print what targets and devices need; returns 4 when a target lacks something, else 0.

    A device is a choice, and so is a framework: one that cannot be used is shown, and is no failure.
    """
    needed = [row for info in registry.targets().values() for row in _of_target(info)]
    wished = [row for framework in frameworks.every() for row in _of_framework(framework)]
    wished += [_tool_row(device.profile.name, tool) for device in devices.every() for tool in device.tools()]
    if as_json:
        keys = ("target", "needs", "state", "remedy", "ok")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in needed + wished], indent=2))
    else:
        shown = _shown(needed, "✗") + _shown(wished, "–")
        Console().table(("", "for", "needs", "found", "to mend it"), shown)
    return 0 if all(row[-1] for row in needed) else MissingToolError.exit_code


def _shown(rows: list[Row], missing: str) -> list[tuple[str, ...]]:
    """One line for what several need alike."""
    sharing: dict[tuple[str, str, str, bool], list[str]] = {}
    for name, needs, state, remedy, ok in rows:
        sharing.setdefault((needs, state, remedy, ok), []).append(name)
    return [
        ("✓" if ok else missing, ", ".join(names), needs, state, remedy)
        for (needs, state, remedy, ok), names in sharing.items()
    ]


def _of_target(info: registry.TargetInfo) -> list[Row]:
    """What it needs whatever the source, and one framework that it takes models of."""
    rows = [_package_row(info.name, package, info.extra) for package in info.packages]
    taken = [each for each in frameworks.every() if each.form in info.forms and not each.stands_in_for]
    if taken and not any(each.is_installed for each in taken):
        titles = " or ".join(each.title for each in taken)
        rows.append((info.name, titles, "missing", _install(info.extra), False))
    if all(row[-1] for row in rows):
        rows += [_tool_row(info.name, tool) for tool in registry.load_target(info).tools()]
    return rows


def _of_framework(framework: FrameworkInfo) -> list[Row]:
    """What its sources need; and what a target needs for them besides."""
    rows = [
        _package_row(f"{framework.title} sources", package, framework.extra) for package in framework.packages
    ]
    if framework.stands_in_for:
        return rows
    return rows + [
        _package_row(f"{framework.title} to {info.name}", package, info.form_extras[framework.form])
        for info in registry.targets().values()
        for package in info.form_packages.get(framework.form, ())
    ]


def _package_row(name: str, package: str, extra: str) -> Row:
    requirement = _requirements().get(package)
    asked = f"{package} {requirement.specifier}" if requirement and requirement.specifier else package
    remedy = _install(extra) if extra else f"pip install {package}"
    try:
        found = version(package)
        ok = requirement is None or requirement.specifier.contains(found, prereleases=True)
    except PackageNotFoundError:
        found, ok = "missing", False
    return name, asked, found, "" if ok else remedy, ok


def _install(extra: str) -> str:
    return f"pip install 'edgepack[{extra}]'"


def _tool_row(name: str, tool: Tool) -> Row:
    try:
        return name, tool.name, tool.verify(), "", True
    except MissingToolError as error:
        return name, tool.name, "missing", error.hint, False


@cache
def _requirements() -> dict[str, Requirement]:
    """What this edgepack was tried with, by package."""
    parsed = (Requirement(line) for line in requires("edgepack") or ())
    return {each.name: each for each in parsed if each.name != "edgepack"}
