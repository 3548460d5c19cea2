"""``edgepack inspect``: what is truly in a bundle or a bare artifact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from . import inspect_layers, registry
from .bundle import reader
from .bundle.manifest import Manifest
from .console import Console, format_bytes
from .errors import UsageError
from .spec import TensorSpec, format_shape
from .target import Artifact, Audit, AuditOp

ISLANDS = 20


def run(path: Path, show_ops: bool, show_layers: bool, as_json: bool) -> None:
    """Print the audit. Raises UsageError for what is neither bundle nor artifact, and for the layers of a bare artifact."""
    with _opened(path) as (artifact, target, manifest):
        recorded = inspect_layers.of(manifest, path) if show_layers else None
        audit = _with_reasons(registry.load_target(target).audit(artifact), manifest)
        if as_json:
            click.echo(json.dumps(_as_json(path, target.name, audit, manifest, artifact), indent=2))
        else:
            console = Console()
            _show(console, path, audit, manifest, artifact, show_ops)
            if recorded is not None:
                inspect_layers.show(console, recorded)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Artifact, registry.TargetInfo, Manifest | None]]:
    if path.is_dir() or path.suffix.lower() == ".zip":
        with reader.opened(path) as bundle:
            manifest = bundle.manifest
            yield bundle.artifact, registry.target(manifest.target, manifest.runtime), manifest
        return
    if not path.exists():
        raise UsageError(
            f"There is no {path}.",
            "Give the folder or the .zip of a bundle, or an artifact such as model.tflite.",
        )
    target = registry.target_of_artifact(path)
    if target is None:
        raise UsageError(
            f"{path} is no artifact that edgepack knows.",
            "Give the folder or the .zip of a bundle, or a .tflite file.",
        )
    yield Artifact(path.parent, (path.name,)), target, None


def _with_reasons(audit: Audit, manifest: Manifest | None) -> Audit:
    """The audit as read from the file, with the reasons that were known when it was built."""
    told = (*manifest.audit.float_islands, *manifest.audit.exceptions) if manifest else ()
    known = {entry.op: entry.reason for entry in told}
    return replace(audit, ops=tuple(replace(op, reason=known.get(op.name, op.reason)) for op in audit.ops))


def _show(
    console: Console, path: Path, audit: Audit, manifest: Manifest | None, artifact: Artifact, show_ops: bool
) -> None:
    console.heading(str(path))
    if manifest is not None:
        gate = "passed" if manifest.gate.passed else "NOT PASSED"
        console.line(f"{manifest.bundle_name}, gate {manifest.gate.expression}: {gate}; all hashes as built")
        for name, score in manifest.metrics.items():
            unit = f" {score.unit}" if score.unit else ""
            console.line(
                f"{name}: {score.artifact:.4g}{unit}, the original's {score.original:.4g}{unit}, against "
                f"{score.samples} {'labels' if score.against == 'labels' else 'of its own answers'}"
            )
    console.line(f"{artifact.files[0]}: {format_bytes(artifact.bytes)}, {len(audit.ops)} ops")
    console.line(f"full int8: {'yes' if audit.full_int8 else 'no'}")
    if audit.requires:
        console.line(f"requires: {', '.join(f'{name} {value}' for name, value in audit.requires.items())}")
    console.line("")
    console.table(
        ("", "name", "type", "shape", "scale", "zero point"),
        [_tensor_row("in", spec) for spec in audit.signature.inputs]
        + [_tensor_row("out", spec) for spec in audit.signature.outputs],
        numbers=frozenset({4, 5}),
    )
    console.line("")
    console.table(
        ("ops", "precision"), [(str(n), name) for name, n in audit.ops_by_precision.items()], frozenset({0})
    )
    console.line("")
    console.table(
        ("bytes", "stored as", "tensors"),
        [
            (format_bytes(audit.bytes_by_dtype.get(dtype, 0)), dtype, str(count))
            for dtype, count in audit.tensors_by_dtype.items()
        ],
        frozenset({0, 2}),
    )
    console.line("")
    console.table(
        ("bytes", "largest layers", "kind", "precision"),
        [(format_bytes(op.bytes), op.name, op.kind, op.precision) for op in audit.largest()],
        frozenset({0}),
    )
    _show_reasons(console, "float islands", audit.float_islands)
    if islands := audit.float_islands:
        held, whole = (format_bytes(sum(op.bytes for op in ops)) for ops in (islands, audit.ops))
        console.line(
            f"they are {len(islands)} of {len(audit.ops)} ops, and hold {held} of {whole} of constants"
        )
    _show_reasons(console, "weights stored better", audit.exceptions)
    if show_ops:
        console.line("")
        rows = [
            (str(i), op.name, op.kind, op.precision, format_bytes(op.bytes)) for i, op in enumerate(audit.ops)
        ]
        console.table(("", "op", "kind", "precision", "bytes"), rows, frozenset({0, 4}))


def _show_reasons(console: Console, title: str, ops: tuple[AuditOp, ...]) -> None:
    if ops:
        console.line("")
        rows = [(op.kind, op.name, op.reason) for op in ops[:ISLANDS]]
        console.table((title, "name", "why"), rows)
        if len(ops) > ISLANDS:
            console.line(f"and {len(ops) - ISLANDS} more (--json lists all)")


def _tensor_row(way: str, spec: TensorSpec) -> tuple[str, ...]:
    quantization = spec.quantization
    scale, zero = (f"{quantization.scale:.6g}", str(quantization.zero_point)) if quantization else ("", "")
    return way, spec.name, spec.dtype, format_shape(spec.shape), scale, zero


def _as_json(
    path: Path, target: str, audit: Audit, manifest: Manifest | None, artifact: Artifact
) -> dict[str, Any]:
    def tensor(spec: TensorSpec) -> dict[str, Any]:
        quantization = spec.quantization
        return {
            "name": spec.name,
            "shape": list(spec.shape),
            "dtype": spec.dtype,
            "scale": quantization.scale if quantization else None,
            "zero_point": quantization.zero_point if quantization else None,
        }

    return {
        "path": str(path),
        "target": target,
        "bytes": artifact.bytes,
        "manifest": manifest.model_dump(mode="json") if manifest else None,
        "inputs": [tensor(spec) for spec in audit.signature.inputs],
        "outputs": [tensor(spec) for spec in audit.signature.outputs],
        "audit": {
            "ops_total": len(audit.ops),
            "ops_by_precision": audit.ops_by_precision,
            "tensors_by_dtype": dict(audit.tensors_by_dtype),
            "bytes_by_dtype": dict(audit.bytes_by_dtype),
            "float_islands": _with_reason(audit.float_islands),
            "exceptions": _with_reason(audit.exceptions),
            "full_int8": audit.full_int8,
            "requires": dict(audit.requires),
            "largest": [{"op": op.name, "kind": op.kind, "bytes": op.bytes} for op in audit.largest()],
        },
        "ops": [
            {"name": op.name, "kind": op.kind, "precision": op.precision, "bytes": op.bytes}
            for op in audit.ops
        ],
    }


def _with_reason(ops: tuple[AuditOp, ...]) -> list[dict[str, str]]:
    return [{"op": op.name, "kind": op.kind, "reason": op.reason} for op in ops]
