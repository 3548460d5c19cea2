"""``edgepack verify``: is a bundle whole, and does it still compute what the original computes, on each device?"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from . import devices, junit, worker
from .bundle import reader
from .bundle.reader import Bundle
from .console import Console
from .devices.device import Device
from .devices.replay import BackendResult, DeviceResult, decibels, replay
from .devices.twin import Beside
from .errors import GateError
from .events import Listener
from .parity import Metrics

COLUMNS = ("device", "backend", "samples", "SQNR", "same best", "beside here", "")
NUMBERS = frozenset({"samples", "SQNR", "same best"})


@dataclass(frozen=True)
class Request:
    """What is asked of a verification.

    Attributes:
        path: a bundle's folder or .zip.
        devices: their names; none is this machine.
        traced: where a device fails, look for the first layer that differs.
        junit: where to write the results as JUnit XML besides.
    """

    path: Path
    devices: tuple[str, ...] = ()
    traced: bool = False
    as_json: bool = False
    junit: Path | None = None


def run(request: Request) -> int:
    """Replay and print; returns 0, or 1 where a device did not pass.

    Raises:
        UsageError: no such device, no bundle or a changed one, or one that a device is not for.
        MissingToolError: a device needs what is not installed; then nothing is verified.
    """
    if request.junit:
        junit.remove(request.junit)
    chosen = [devices.find(name) for name in dict.fromkeys(request.devices or ("host",))]
    with reader.opened(request.path) as bundle:
        results = _replayed(bundle, chosen, request.traced)
        if request.junit:
            junit.write(request.junit, bundle, results)
    passed = all(result.passed for result in results)
    if request.as_json:
        click.echo(json.dumps(_as_json(bundle, results, passed), indent=2))
    return 0 if passed else GateError.exit_code


def _replayed(bundle: Bundle, chosen: list[Device], traced: bool) -> list[DeviceResult]:
    """What came of it, device by device; people have seen it."""
    for device in chosen:
        device.backends(bundle)
        for tool in device.tools():
            tool.verify()
    console = Console()
    with console:
        console.heading(f"{bundle.manifest.bundle_name}: every file as built")
        results = [_replay(device, bundle, traced, console.lane()) for device in chosen]
    _show(console, bundle, chosen, results)
    return results


def _replay(device: Device, bundle: Bundle, traced: bool, listener: Listener) -> DeviceResult:
    # runtimes and browsers are noisy, may crash, and leave files behind when they are killed
    with tempfile.TemporaryDirectory(prefix="edgepack-", ignore_cleanup_errors=True) as scratch:
        return worker.run(
            replay,
            device,
            bundle,
            traced,
            env={"TMPDIR": scratch},
            listener=listener,
            scratch=(Path(scratch),),
        )


def _show(console: Console, bundle: Bundle, chosen: list[Device], results: list[DeviceResult]) -> None:
    rows = [_row(result.device, each) for result in results for each in result.backends]
    told = [n for n, column in enumerate(COLUMNS) if not column or any(row[n] for row in rows)]
    console.table(
        tuple(COLUMNS[n] for n in told),
        [tuple(row[n] for n in told) for row in rows],
        numbers=frozenset(place for place, n in enumerate(told) if COLUMNS[n] in NUMBERS),
        names=frozenset({0}),
    )
    for result in results:
        for each in result.backends:
            _explain(console, f"{result.device} {each.backend}".rstrip(), bundle, each)
    for device in chosen:
        if device.profile.kind != "host":
            console.line(f"{device.profile.name} is not {device.profile.is_not}.")
    for result in results:
        console.line(
            f"{bundle.manifest.bundle_name} {'passed' if result.passed else 'did NOT pass'} on {result.device}"
        )


def _explain(console: Console, where: str, bundle: Bundle, result: BackendResult) -> None:
    """What the table cannot hold."""
    if result.failures:
        console.line(f"{where} misses the gate ({bundle.manifest.gate.expression}) or its twin here:")
        console.line("\n".join(f"  {failure}" for failure in result.failures))
    if result.error:
        console.line(f"{where} cannot run this bundle: {result.error} {result.hint}".rstrip())
    if result.details:
        console.line(result.details)
    if result.trace:
        console.line(result.trace.words)
    for name, value in result.facts.items():
        console.line(f"{where}: {name} {value}")


def _row(device: str, result: BackendResult) -> tuple[str, ...]:
    outputs = result.outputs.values()
    worst = min(outputs, key=lambda each: each.sqnr_db, default=None)
    same = [each.argmax_agreement for each in outputs if each.argmax_agreement is not None]
    return (
        device,
        result.backend,
        str(result.samples) if result.samples else "",
        decibels(worst) if worst else "",
        f"{100 * min(same):.4g} %" if same else "",
        _beside(result),
        "– cannot run" if result.error else "✗ failed" if result.failures else "✓ passed",
    )


def _beside(result: BackendResult) -> str:
    """How the answers are beside those of this machine's kernels, in a word or two."""
    if not result.beside:
        return ""
    if not all(each.passed for each in result.beside.values()):
        return "differs"
    largest = max(each.max_abs for each in result.beside.values())
    return f"within {largest:.0e}" if largest else "same bits"


def _as_json(bundle: Bundle, results: list[DeviceResult], passed: bool) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "bundle": {
            "name": manifest.bundle_name,
            "target": manifest.target,
            "precision": manifest.precision,
            "path": str(bundle.given),
            "gate": manifest.gate.expression,
        },
        "passed": passed,
        "devices": {
            result.device: {
                "passed": result.passed,
                "backends": {each.backend: _backend(each) for each in result.backends},
            }
            for result in results
        },
        "error": None,
    }


def _backend(result: BackendResult) -> dict[str, Any]:
    return {
        "passed": result.passed,
        "error": result.error,
        "hint": result.hint,
        "samples": result.samples,
        "failures": list(result.failures),
        "outputs": {name: _metrics(each) for name, each in result.outputs.items()},
        "beside_host": {name: _beside_json(each) for name, each in result.beside.items()},
        "facts": dict(result.facts),
        "trace": {"layer": result.trace.layer, "words": result.trace.words} if result.trace else None,
    }


def _metrics(metrics: Metrics) -> dict[str, float | None]:
    return {
        "sqnr_db": round(metrics.sqnr_db, 3),
        "max_abs": metrics.max_abs if metrics.finite else None,  # JSON has no infinity
        "cosine": metrics.cosine,
        "argmax_agreement": metrics.argmax_agreement,
    }


def _beside_json(beside: Beside) -> dict[str, Any]:
    return {
        "passed": beside.passed,
        "bound": beside.bound.words,
        "max_abs": _finite(beside.max_abs),
        "first": None
        if beside.passed
        else {
            "sample": beside.sample,
            "index": list(beside.index),
            "device": _finite(beside.device),
            "host": _finite(beside.twin),
        },
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no infinity
