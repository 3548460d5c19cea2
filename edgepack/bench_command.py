"""``edgepack bench``: what bundles cost on this machine, each beside its float sibling."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import click

from .bench.lineup import line_up, title
from .bench.measure import SEED, measure
from .bench.result import Result, results
from .console import Console, format_bytes, format_seconds
from .errors import UsageError

NOT_A_DEVICE = "These are times of this machine, not of a phone, a board or a browser."


def run(
    folders: tuple[Path, ...], rounds: int | None, threads: int, page: Path | None, as_json: bool, debug: bool
) -> None:
    """Measure and print.

    Raises:
        UsageError: no bundle, a changed one, one given twice, or a page that cannot be written.
        ModelError: one cannot run on this machine.
        MissingToolError: the runtime of one is not installed.
    """
    if page is not None:
        _check_place(page)
    entrants = line_up(folders)
    load = os.getloadavg()[0]
    console = Console()
    with console:
        console.heading(f"{title(entrants)} on {machine()}")
        found = results(entrants, measure(entrants, threads, rounds, console.lane(), debug))
    told = notes(found, threads, load)
    _show(console, found, told)
    if page is not None:
        from .bench.page import render

        _write(page, render(found, told, machine(), threads))
        console.line(f"page    {page}")
    if as_json:
        click.echo(json.dumps(_as_json(found, threads, load), indent=2))


def machine() -> str:
    """This machine, in words that say how fast it may be and not whose it is."""
    return f"this machine ({platform.system()} {platform.machine()}, {os.cpu_count()} processors)"


def _check_place(page: Path) -> None:
    """Refuse what could not be written, before anything is measured."""
    if page.is_dir() or not page.absolute().parent.is_dir():
        raise UsageError(
            f"{page} cannot be written: it is a folder, or in none.",
            "Give the path of a file: --html bench.html",
        )


def _write(page: Path, text: str) -> None:
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{page} cannot be written: {error.strerror or error}.", "Give another path to --html."
        ) from error


def _show(console: Console, found: tuple[Result, ...], told: list[str]) -> None:
    console.line("")
    console.table(
        ("latency", "first", "median", "p90", "to float", "in 8 of 10 rounds"),
        [_latency_row(each) for each in found],
        numbers=frozenset({1, 2, 3, 4}),
    )
    console.line("")
    console.table(
        ("cost", "load", "memory", "artifact", "to float", "bundle", "download"),
        [_cost_row(each) for each in found],
        numbers=frozenset({1, 2, 3, 4, 5, 6}),
    )
    console.line("")
    console.table(
        ("ops", "by precision", "computed by"),
        [(each.entrant.label, _ops(each), each.cost.runtime) for each in found],
    )
    console.line("")
    for line in told:
        console.line(line)


def notes(found: tuple[Result, ...], threads: int, load: float = 0.0) -> list[str]:
    """What must be known to read the figures: what is missing, and what says less than it seems.

    Args:
        load: how many processes wanted to compute before anything was measured.
    """
    lines = [NOT_A_DEVICE]
    processors = os.cpu_count() or 1
    if load > processors:
        lines.append(
            f"The machine was busy ({load:.1f} processes for {processors} processors): trust the ratios more "
            "than the times, and more than one thread not at all."
        )
    for each in found:
        entrant = each.entrant
        if entrant.alone:
            lines.append(
                f"{entrant.label} has no float sibling: {entrant.alone} This builds it:\n  {entrant.command}"
            )
        if each.ratio and not each.ratio.beyond_noise:
            lines.append(f"{entrant.label} and its float sibling differ by no more than the noise.")
    disobeyed = {each.cost.runtime: each.cost.threads for each in found if each.cost.threads != threads}
    for runtime, used in sorted(disobeyed.items()):
        lines.append(f"{runtime}, cannot obey --threads {threads}; its threads: {used}.")
    pages = [each.entrant.label for each in found if each.entrant.bundle.manifest.runtime]
    if pages:
        lines.append(f"{', '.join(pages)}: measured in the runtime of this machine, not in that of a page.")
    return lines


def _latency_row(each: Result) -> tuple[str, ...]:
    ratio = ("", "")
    if each.ratio:
        spread = each.ratio.latency
        ratio = (f"x {spread.median:.2f}", f"x {spread.p10:.2f} to {spread.p90:.2f}")
    elif each.entrant.alone:
        ratio = ("–", "no float sibling")
    seconds = (each.first, each.calls.median, each.calls.p90)
    return (each.entrant.label, *map(format_seconds, seconds), *ratio)


def _cost_row(each: Result) -> tuple[str, ...]:
    entrant = each.entrant
    return (
        entrant.label,
        format_seconds(each.load),
        "?" if each.cost.memory_bytes is None else format_bytes(each.cost.memory_bytes),
        format_bytes(entrant.bundle.artifact.bytes),
        f"x {each.ratio.size:.2f}" if each.ratio else "–" if entrant.alone else "",
        format_bytes(entrant.bundle_bytes),
        format_bytes(entrant.download_bytes),
    )


def _ops(each: Result) -> str:
    return ", ".join(f"{count} {name}" for name, count in each.cost.ops_by_precision.items())


def _as_json(found: tuple[Result, ...], threads: int, load: float) -> dict[str, Any]:
    return {
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "processors": os.cpu_count(),
            "load": round(load, 2),
        },
        "threads": threads,
        "rounds": len(found[0].round_medians),
        "seed": SEED,
        "bundles": [_entry(each, found) for each in found],
        "error": None,
    }


def _entry(each: Result, found: tuple[Result, ...]) -> dict[str, Any]:
    entrant, cost = each.entrant, each.cost
    manifest = entrant.bundle.manifest
    sibling = None if entrant.sibling is None else found[entrant.sibling].entrant
    return {
        "name": manifest.bundle_name,
        "path": str(entrant.bundle.folder),
        "target": manifest.target,
        "runtime": manifest.runtime,
        "precision": manifest.precision,
        "named": entrant.named,
        "computed_by": cost.runtime,
        "threads": cost.threads,
        "latency_ms": {
            "first": _ms(each.first),
            "median": _ms(each.calls.median),
            "p10": _ms(each.calls.p10),
            "p90": _ms(each.calls.p90),
            "calls": sum(map(len, cost.rounds)),
            "round_medians": [_ms(seconds) for seconds in each.round_medians],
        },
        "load_ms": _ms(each.load),
        "starts": [{"load_ms": _ms(start.load), "first_ms": _ms(start.first)} for start in cost.starts],
        "memory_bytes": cost.memory_bytes,
        "artifact_bytes": entrant.bundle.artifact.bytes,
        "bundle_bytes": entrant.bundle_bytes,
        "download_bytes": entrant.download_bytes,
        "ops_by_precision": dict(cost.ops_by_precision),
        "float_sibling": {
            "path": str(sibling.bundle.folder) if sibling else None,
            "missing": entrant.alone,
            "command": entrant.command,
        },
        "to_float": _ratio(each),
    }


def _ratio(each: Result) -> dict[str, Any] | None:
    if each.ratio is None:
        return None
    spread = each.ratio.latency
    return {
        "latency": round(spread.median, 4),
        "latency_p10": round(spread.p10, 4),
        "latency_p90": round(spread.p90, 4),
        "beyond_noise": each.ratio.beyond_noise,
        "size": round(each.ratio.size, 4),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 6)
