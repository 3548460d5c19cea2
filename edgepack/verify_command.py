"""``edgepack verify``: is a bundle whole, and does it still compute what the original computes, on each device?"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from . import devices, junit, worker
from .bundle import reader
from .bundle.reader import Bundle
from .console import Console
from .devices.device import Device
from .devices.replay import BackendResult, DeviceResult, decibels, replay
from .errors import GateError
from .events import Listener
from .parity import Metrics

COLUMNS = ("device", "backend", "samples", "SQNR", "max abs", "same best", "")


def run(path: Path, names: tuple[str, ...], as_json: bool, junit_file: Path | None = None) -> int:
    """Replay and print; returns 0, or 1 where a device did not pass.

    Args:
        path: a bundle's folder or .zip.
        junit_file: where to write the results as JUnit XML besides.

    Raises:
        UsageError: no such device, no bundle or a changed one, or one that a device is not for.
        MissingToolError: a device needs what is not installed; then nothing is verified.
    """
    chosen = [devices.find(name) for name in dict.fromkeys(names or ("host",))]
    if junit_file:
        junit.remove(junit_file)
    with reader.opened(path) as bundle:
        return _run(bundle, chosen, as_json, junit_file)


def _run(bundle: Bundle, chosen: list[Device], as_json: bool, junit_file: Path | None) -> int:
    for device in chosen:
        device.backends(bundle)
        for tool in device.tools():
            tool.verify()
    console = Console()
    with console:
        console.heading(f"{bundle.manifest.bundle_name}: every file as built")
        results = [_replay(device, bundle, console.lane()) for device in chosen]
    _show(console, bundle, chosen, results)
    passed = all(result.passed for result in results)
    if junit_file:
        junit.write(junit_file, bundle, results)
    if as_json:
        click.echo(json.dumps(_as_json(bundle, results, passed), indent=2))
    return 0 if passed else GateError.exit_code


def _replay(device: Device, bundle: Bundle, listener: Listener) -> DeviceResult:
    # runtimes and browsers are noisy, may crash, and leave files behind when they are killed
    with tempfile.TemporaryDirectory(prefix="edgepack-", ignore_cleanup_errors=True) as scratch:
        return worker.run(
            replay,
            device,
            bundle,
            env={"TMPDIR": scratch},
            listener=listener,
            scratch=(Path(scratch),),
        )


def _show(console: Console, bundle: Bundle, chosen: list[Device], results: list[DeviceResult]) -> None:
    rows = [_row(result.device, each) for result in results for each in result.backends]
    console.table(COLUMNS, rows, numbers=frozenset({2, 3, 4, 5}))
    for result in results:
        for each in result.backends:
            where = f"{result.device} {each.backend}".rstrip()
            if each.failures:
                console.line(f"{where} misses the gate ({bundle.manifest.gate.expression}):")
                console.line("\n".join(f"  {failure}" for failure in each.failures))
            if each.error:
                console.line(f"{where} cannot run this bundle: {each.error}")
            if each.details:
                console.line(each.details)
    for device in chosen:
        if device.profile.kind != "host":
            console.line(f"{device.profile.name} is not {device.profile.is_not}.")
    for result in results:
        console.line(
            f"{bundle.manifest.bundle_name} {'passed' if result.passed else 'did NOT pass'} on {result.device}"
        )


def _row(device: str, result: BackendResult) -> tuple[str, ...]:
    outputs = result.outputs.values()
    worst = min(outputs, key=lambda each: each.sqnr_db, default=None)
    same = [each.argmax_agreement for each in outputs if each.argmax_agreement is not None]
    return (
        device,
        result.backend,
        str(result.samples) if result.samples else "",
        decibels(worst) if worst else "",
        f"{max(each.max_abs for each in outputs):.2g}" if outputs else "",
        f"{100 * min(same):.4g} %" if same else "",
        "– cannot run" if result.error else "✗ failed" if result.failures else "✓ passed",
    )


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
        "samples": result.samples,
        "failures": list(result.failures),
        "outputs": {name: _metrics(each) for name, each in result.outputs.items()},
    }


def _metrics(metrics: Metrics) -> dict[str, float | None]:
    return {
        "sqnr_db": round(metrics.sqnr_db, 3),
        "max_abs": metrics.max_abs if metrics.finite else None,  # JSON has no infinity
        "cosine": metrics.cosine,
        "argmax_agreement": metrics.argmax_agreement,
    }
