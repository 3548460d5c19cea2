"""``edgepack tune``: what a model can be had for, as a table; ``--take`` builds one of its rows."""

from __future__ import annotations

import json
from typing import Any

import click

from . import build_command, tune
from .cli import as_table
from .console import Console, format_bytes, format_seconds
from .spec import AUTO
from .tune import Tuned, Tuning


def run(options: dict[str, Any]) -> int:
    """Tune and print, or build the point to take; returns the exit code, the gravest of all targets'."""
    options = {**options, "precision": AUTO}
    if options["take"] is not None:
        return build_command.run(options)
    project = build_command.read_project(options)
    console = Console()
    with console:
        console.heading(f"{project.name} {project.model.version}: {project.model.source}")
        found = tune.run(project, console.lane, options["debug"])
    for tuning in found:
        if tuning.error is not None:
            console.error(tuning.error, options["debug"])
        else:
            _show(console, tuning)
    if any(tuning.points for tuning in found):
        console.line(
            f"gate    {project.gate_expression}, on samples that judge no bundle; * is what --precision auto builds"
        )
        console.line("next    the same command with --take N builds the plan of that number")
    if options["as_json"]:
        click.echo(json.dumps({"targets": [_as_json(tuning) for tuning in found]}, indent=2))
    return max((tuning.error.exit_code for tuning in found if tuning.error is not None), default=0)


def _show(console: Console, tuning: Tuning) -> None:
    last = tuning.points[-1]
    metrics = list(last.metrics)
    rows = [
        (
            f"{number}{'*' if point.best else ''}",
            point.name,
            format_bytes(point.bytes),
            f"{point.bytes / last.bytes:.2f}",
            f"{point.sqnr_db:.1f} dB",
            *(f"{point.metrics[name]:.4g}" if name in point.metrics else "" for name in metrics),
            format_seconds(point.seconds),
            f"{point.to_float:.2f}",
            "met" if point.passed else "missed",
        )
        for number, point in enumerate(tuning.points, 1)
    ]
    console.line("")
    console.line(f"{tuning.target}: {tuning.tried} plans tried; ratios are to the last row")
    columns = ("", "plan", "model", "ratio", "SQNR", *metrics, "a call", "ratio", "gate")
    console.table(columns, rows, numbers=frozenset(range(2, len(columns) - 1)))


def _as_json(tuning: Tuning) -> dict[str, Any]:
    return {
        "target": tuning.target,
        "tried": tuning.tried,
        "points": [_point(number, point) for number, point in enumerate(tuning.points, 1)],
        "error": None if tuning.error is None else as_table(tuning.error),
    }


def _point(number: int, point: Tuned) -> dict[str, Any]:
    return {
        "number": number,
        "name": point.name,
        "default": point.plan.default,
        "ops": dict(point.plan.ops),
        "bytes": point.bytes,
        "sqnr_db": round(point.sqnr_db, 3),
        "metrics": dict(point.metrics),
        "passed": point.passed,
        "best": point.best,
        "seconds": point.seconds,
        "to_float": round(point.to_float, 4),
    }
