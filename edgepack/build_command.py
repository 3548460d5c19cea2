"""``edgepack build``: flags to a project, jobs, and what is printed of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from . import compression_summary, jobs, registry
from .bundle.manifest import AgreementEntry
from .cli import as_table
from .console import Console, format_bytes
from .errors import GateError, UsageError
from .jobs import Job
from .parity import METRICS, read_thresholds
from .project import FILE, Project, load


def run(options: dict[str, Any]) -> int:
    """Build and print; returns the exit code, the gravest of all targets'."""
    project = read_project(options)
    console = Console()
    with console:
        console.heading(f"{project.name} {project.model.version}: {project.model.source}")
        outcome = jobs.run(project, console.lane, options["force"], options["debug"], options["at_once"])
    for job in outcome.jobs:
        if job.error is not None:
            console.error(job.error, options["debug"])
    _print_summary(console, outcome.jobs)
    _print_metrics(console, outcome.jobs)
    _print_agreements(console, outcome.agreements)
    if options["as_json"]:
        document: dict[str, Any] = {"bundles": [_as_json(job) for job in outcome.jobs]}
        if outcome.agreements:
            document["agreements"] = [each.model_dump(mode="json") for each in outcome.agreements]
        click.echo(json.dumps(document, indent=2))
    return max((job.error.exit_code for job in outcome.jobs if job.error is not None), default=0)


def read_project(options: dict[str, Any]) -> Project:
    """The project that the file and the flags describe. Raises UsageError."""
    file = options["config"]
    if file is None and options["source"] is None:
        file = Path(FILE)
        if not file.is_file():
            raise UsageError(
                f"There is no SOURCE, and no {FILE} in this folder.",
                "Name one: edgepack build model.keras --data samples.npz; or start with edgepack init.",
            )
    return load(file, flags(options))


def flags(options: dict[str, Any]) -> dict[str, Any]:
    """The given flags, nested as in edgepack.toml."""
    table: dict[str, Any] = {
        "model": {
            "source": options["source"],
            "name": options["name"],
            "version": options["model_version"],
            "signature": options["signature"],
            "labels": options["labels"],
            "allow_code": options["allow_code"],
        },
        "data": {
            "representative": options["data"],
            "samples": options["samples"],
            "calibration": options["calibration"],
            "held_back": options["held_back"],
            "evaluation": options["evaluation"],
            "metrics": tuple(dict.fromkeys(options["metrics"])) or None,
        },
        "build": {
            "targets": _targets(options["targets"]),
            "precision": options["precision"],
            "take": options["take"],
            "runtime": options["runtime"],
            "io": options["io"],
            "layout": options["layout"],
            "out": options["out"],
            "zip": options["zip_"],
            "devices": tuple(dict.fromkeys(options["devices"])) or None,
        },
        "compress": {
            "prune": options["prune"],
            "prune_channels": options["prune_channels"],
            "low_rank": options["low_rank"],
            "cluster": options["cluster"],
            "recover_minutes": options["recover_minutes"],
            "augment": options["augment"],
            "keep": tuple(dict.fromkeys(options["keep"])) or None,
        },
    }
    table = {section: {k: v for k, v in values.items() if v is not None} for section, values in table.items()}
    if options["shapes"]:
        table["model"]["shapes"] = dict(
            _split(text, "=", "--shape", "image=1x224x224x3") for text in options["shapes"]
        )
    for section in ("input", "output"):
        if options[f"{section}s"]:
            table[section] = dict(_settings(text, f"--{section}") for text in options[f"{section}s"])
    if options["gate"] is not None:
        table["gate"] = _gate(options["gate"])
    return table


def _targets(names: tuple[str, ...]) -> tuple[str, ...] | None:
    if "all" in names:
        return tuple(registry.targets())
    return tuple(dict.fromkeys(registry.target(name).name for name in names)) or None


def _gate(text: str) -> dict[str, float | str]:
    table: dict[str, float | str] = {}
    for threshold in read_thresholds(text):
        name, sign = threshold.metric, threshold.comparison
        if name in table:
            raise UsageError(f"The gate '{text}' names {name} twice.", "Give it one bound.")
        wanted = "<=" if name == "max_abs" else ">="
        if name in METRICS and sign != wanted:
            raise UsageError(f"The gate '{threshold}' is not understood.", f"{name} takes {wanted}.")
        table[name] = threshold.value if name in METRICS else f"{sign}{threshold.value!r}"
    return table


def _split(text: str, sign: str, flag: str, example: str) -> tuple[str, str]:
    name, found, value = text.partition(sign)
    if not (name and found and value):
        raise UsageError(f"{flag} {text} is not understood.", f"Write it as {flag} {example}.")
    return name, value


def _settings(text: str, flag: str) -> tuple[str, dict[str, Any]]:
    """``image:kind=image,mean=0.485/0.456/0.406`` as (name, table)."""
    name, _, pairs = text.rpartition(":")
    table: dict[str, Any] = {}
    for pair in pairs.split(","):
        key, value = _split(pair, "=", flag, "image:kind=image,scale=0.00784,offset=-1")
        parts = value.split("/")
        table[key] = parts if len(parts) > 1 else value
    if not name:
        raise UsageError(f"{flag} {text} names no tensor.", f"Write it as {flag} NAME:key=value,key=value.")
    return name, table


def _print_summary(console: Console, done: list[Job]) -> None:
    rows = []
    for job in done:
        manifest = job.manifest
        size = _artifact_bytes(job)
        rows.append(
            (
                "passed"
                if job.error is None
                else "REJECTED"
                if isinstance(job.error, GateError)
                else "FAILED",
                job.target,
                job.precision,
                format_bytes(size) if size else "",
                _worst_sqnr(job),
                "" if manifest is None else "yes" if manifest.audit.full_int8 else "no",
                f"{job.total_seconds:.1f} s",
            )
        )
    console.table(
        ("", "target", "precision", "model", "SQNR", "full int8", "time"), rows, numbers=frozenset({3, 4, 6})
    )
    for job in done:
        if job.path is not None:
            console.line(f"bundle  {job.path}{'' if job.error is None else '  (rejected, kept aside)'}")
            console.line(f"report  {job.path / 'report.html'}")
            if checked := _devices(job):
                console.line(f"devices {checked}")
    for job in done:
        if sizes := compression_summary.rows(job):
            console.line(f"\n{job.target}:" if len(done) > 1 else "")
            console.table(compression_summary.COLUMNS, sizes, compression_summary.NUMBERS)


def _print_metrics(console: Console, done: list[Job]) -> None:
    """A row for every target and metric of the task; nothing where none was asked for."""
    rows = [
        (
            name,
            job.target,
            f"{score.original:.4g}{score.unit and f' {score.unit}'}",
            f"{score.artifact:.4g}{score.unit and f' {score.unit}'}",
            f"{score.artifact - score.original:+.2g}",
            str(score.samples),
            score.against,
            ("passed" if score.passed else "FAILED") if score.asked else "",
        )
        for job in done
        if job.manifest is not None
        for name, score in job.manifest.metrics.items()
    ]
    if rows:
        console.line("")
        titles = ("metric", "target", "original", "artifact", "change", "samples", "against", "gate")
        console.table(titles, rows, frozenset({2, 3, 4, 5}))


def _print_agreements(console: Console, agreements: tuple[AgreementEntry, ...]) -> None:
    """A row for every pair of targets, each output's; nothing where there is one target."""
    rows = [
        (
            " and ".join(each.targets),
            name,
            f"{metrics.sqnr_db:.1f} dB",
            f"{metrics.max_abs:.2g}",
            "" if metrics.argmax_agreement is None else f"{100 * metrics.argmax_agreement:.4g} %",
        )
        for each in agreements
        for name, metrics in each.outputs.items()
    ]
    if rows:
        console.line("")
        console.table(
            ("targets beside each other", "output", "SQNR", "max abs", "same best"),
            rows,
            frozenset({2, 3, 4}),
        )


def _artifact_bytes(job: Job) -> int:
    names = job.manifest.artifact if job.manifest else ()
    return sum(file.bytes for file in job.manifest.files if file.path in names) if job.manifest else 0


def _worst_sqnr(job: Job) -> str:
    if job.manifest is None:
        return ""
    return f"{min(m.sqnr_db for p in job.manifest.parity.values() for m in p.outputs.values()):.1f} dB"


def _devices(job: Job) -> str:
    """How it went on the devices that were asked for, in words."""
    rows = job.manifest.parity.items() if job.manifest else ()
    return ", ".join(
        f"{name} {'passed' if row.passed else 'cannot run it' if row.error else 'FAILED'}"
        for name, row in rows
        if name.partition("/")[0] != "host"
    )


def _as_json(job: Job) -> dict[str, Any]:
    manifest, error = job.manifest, job.error
    table: dict[str, Any] = {
        "target": job.target,
        "precision": job.precision,
        "path": str(job.path) if job.path is not None else None,
        "bytes": job.bytes,
        "zip_bytes": job.zip_bytes,
        "gate": None,
        "parity": {},
        "metrics": {},
        "audit": None,
        "compression": compression_summary.figures(job) or None,
        "seconds": job.seconds,
        "error": None if error is None else as_table(error),
    }
    if manifest is not None:
        audit = manifest.audit
        table["gate"] = manifest.gate.model_dump()
        table["parity"] = {device: entry.model_dump() for device, entry in manifest.parity.items()}
        table["metrics"] = {name: entry.model_dump(mode="json") for name, entry in manifest.metrics.items()}
        table["audit"] = {
            "ops_total": audit.ops_total,
            "ops_by_precision": audit.ops_by_precision,
            "float_islands": [island.model_dump() for island in audit.float_islands],
            "exceptions": [entry.model_dump() for entry in audit.exceptions],
            "full_int8": audit.full_int8,
        }
        if manifest.search is not None:
            table["search"] = manifest.search.model_dump()
    return table
