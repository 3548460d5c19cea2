"""Fill a bundle's folder: artifact, labels, golden vectors, kit, report; and say it all in the manifest."""

from __future__ import annotations

import platform
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__, frameworks, sources
from ..compress.sizes import zipped
from ..errors import UsageError
from ..metrics.evaluation import Score
from ..model import Model
from ..parity import Metrics, agreement
from ..project import Project
from ..registry import TargetInfo
from ..spec import TensorSpec
from ..target import Audit, AuditOp, Target
from . import explain, findings, front, kit, layers
from .command import command_line
from .manifest import (
    AudioEntry,
    AuditEntry,
    GateEntry,
    GoldenEntry,
    ImageEntry,
    IslandEntry,
    Manifest,
    MetricsEntry,
    ParityEntry,
    ProcessingEntry,
    ScoreEntry,
    SourceEntry,
    TensorEntry,
)
from .report import Report, render

if TYPE_CHECKING:
    from ..judge import Judged, Reference, Row

REPORT = "report.html"

GOLDEN_SAMPLES = 32
GOLDEN_BYTES = 8_000_000
"""How many golden vectors travel: enough to prove a device, not so many that a bundle weighs more than its model."""


def fill(
    project: Project,
    info: TargetInfo,
    target: Target,
    reference: Reference,
    judged: Judged,
    out: Path,
) -> Report:
    """Write everything but the manifest into ``out``; return the report, which has it, its list of files still empty."""
    for name in judged.artifact.files:
        shutil.copyfile(judged.artifact.folder / name, out / name)
    labels = read_labels(project)
    if labels:
        (out / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    shipped = _write_golden(reference, out / "golden")
    layers.write(judged.runner, next(iter(reference.samples.held_back)), out)
    errors = explain.layers(target, judged, reference.samples.held_back)
    manifest = _manifest(project, info, reference, judged, labels, shipped).model_copy(
        update={"layers": explain.entries(errors), "remedies": explain.remedies(judged)}
    )
    manifest = manifest.model_copy(update={"download": kit.write(target, manifest, out)})
    told = findings.gather(project, manifest, reference, judged, errors)
    rewrite(out, told, manifest)
    return told


def rewrite(folder: Path, told: Report, manifest: Manifest) -> None:
    """Write the report anew, with what the manifest has come to tell; the folder must be sealed again."""
    (folder / REPORT).write_text(render(replace(told, manifest=manifest)), encoding="utf-8")


def metrics_entry(metrics: Metrics) -> MetricsEntry:
    """Metrics as a manifest holds them; JSON has no infinity."""
    return MetricsEntry(
        sqnr_db=round(metrics.sqnr_db, 3),
        max_abs=metrics.max_abs if metrics.finite else 1e308,
        cosine=metrics.cosine,
        argmax_agreement=metrics.argmax_agreement,
    )


def read_labels(project: Project) -> tuple[str, ...]:
    """The lines of the labels file; empty without one. Raises UsageError."""
    if not project.model.labels:
        return ()
    try:
        return tuple(Path(project.model.labels).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The labels {project.model.labels} cannot be read: {error}.", "One label a line, UTF-8."
        ) from error


def check_labels(project: Project, model: Model) -> None:
    """Refuse labels that no output has classes for. Raises UsageError."""
    labels = read_labels(project)
    classes = {spec.name: spec.static_shape[-1] for spec in model.signature.outputs if spec.shape}
    if labels and len(labels) not in classes.values():
        raise UsageError(
            f"{project.model.labels} has {len(labels)} labels; the outputs have "
            f"{', '.join(f'{count} ({name})' for name, count in classes.items())} values.",
            "Give one label a line, in the order of the output.",
        )


def _write_golden(reference: Reference, folder: Path) -> int:
    """The first held-back samples and the answers to them, as .npz without pickles; returns how many."""
    held_back, golden = reference.samples.held_back, reference.golden
    record = sum(field.bytes for records in (held_back, golden) for field in records.fields)
    count = max(1, min(len(held_back), GOLDEN_SAMPLES, GOLDEN_BYTES // max(1, record)))
    folder.mkdir()
    np.savez_compressed(folder / "inputs.npz", **held_back.stacked(count))  # type: ignore[arg-type]
    np.savez_compressed(folder / "outputs.npz", **golden.stacked(count))  # type: ignore[arg-type]
    return count


def _manifest(
    project: Project,
    info: TargetInfo,
    reference: Reference,
    judged: Judged,
    labels: tuple[str, ...],
    shipped: int,
) -> Manifest:
    signature = judged.runner.signature
    measured = len(reference.samples.held_back)
    return Manifest(
        name=project.name,
        version=project.model.version,
        target=info.name,
        runtime=info.runtime,
        precision=project.build.precision,
        artifact=judged.artifact.files,
        source=SourceEntry(name=Path(project.model.source).name, sha256=sources.sha256(project.model.source)),
        inputs=tuple(_input(project, reference.model, spec) for spec in signature.inputs),
        outputs=tuple(_output(project, spec, labels) for spec in signature.outputs),
        labels=labels,
        processing=tuple(_processing(project, reference.model)),
        compression=_compression(reference, judged),
        search=front.entry(judged.search, judged.plan),
        audit=_audit(judged.audit),
        gate=GateEntry(
            expression=project.gate_expression,
            passed=not judged.failures,
            failures=judged.failures,
            asked=project.parity_gate.asked(judged.outputs) if project.tensors_decide else {},
        ),
        parity=_parity(judged.rows),
        metrics={name: _score(each) for name, each in judged.scores.by_metric.items()},
        backends=dict(judged.backends),
        golden=GoldenEntry(measured=measured, shipped=shipped),
        notes=(*reference.model.notes, *judged.cautions),
        command=command_line(project, info.name, info.runtime),
        toolchain=_toolchain(info, reference),
    )


def _compression(reference: Reference, judged: Judged) -> dict[str, float]:
    """What making the model smaller came to; nothing where that was not asked for."""
    if not reference.compression:
        return {}
    return {
        **reference.compression,
        "bytes": judged.artifact.bytes,
        "zipped": zipped(judged.artifact),
        "artifact agreement": agreement(judged.outputs),
    }


def _score(score: Score) -> ScoreEntry:
    return ScoreEntry(
        original=score.original,
        artifact=score.artifact,
        samples=score.samples,
        against=score.against,
        unit=score.unit,
        asked=tuple(map(str, score.asked)),
        passed=not score.missed,
    )


def _parity(rows: tuple[Row, ...]) -> dict[str, ParityEntry]:
    """A row for every backend of this machine; the one that decided has its name alone."""
    return {
        "host" if index == 0 else f"host/{row.backend}": ParityEntry(
            passed=not row.failures and not row.error,
            samples=row.samples,
            outputs={name: metrics_entry(metrics) for name, metrics in row.outputs.items()},
            backend=row.backend,
            error=row.error,
        )
        for index, row in enumerate(rows)
    }


def _input(project: Project, model: Model, spec: TensorSpec) -> TensorEntry:
    wrap = project.wrap.input(spec.name)
    image = None
    meaning = "token ids or counts" if spec.dtype == "int32" else "values as the original takes them"
    if wrap is not None and wrap.kind == "image":
        image = ImageEntry(channels="grey" if spec.static_shape[-1] == 1 else "rgb")
        meaning = "pixels"
    audio = None
    if wrap is not None and wrap.kind == "audio" and wrap.rate:
        audio = AudioEntry(rate=wrap.rate)
        meaning = "sound, one channel"
    return TensorEntry.of(spec).model_copy(
        update={
            "image": image,
            "audio": audio,
            "meaning": meaning,
            "range": model.signature.input(spec.name).range,
        }
    )


def _output(project: Project, spec: TensorSpec, labels: tuple[str, ...]) -> TensorEntry:
    wrap = project.wrap.output(spec.name)
    labelled = bool(labels) and spec.static_shape[-1:] == (len(labels),)
    meaning = "a score for each label" if labelled else ""
    if wrap is not None and wrap.activation != "none":
        meaning = f"{wrap.activation} probabilities" + (", one for each label" if labelled else "")
    top_k = wrap.top_k if wrap is not None else None
    return TensorEntry.of(spec).model_copy(
        update={"meaning": meaning, "top_k": top_k or (min(5, len(labels)) if labelled else None)}
    )


def _processing(project: Project, model: Model) -> list[ProcessingEntry]:
    steps = [ProcessingEntry(tensor=name, step=text, where=where) for name, text, where in model.processing]
    for name, wrap in project.wrap.outputs:
        if wrap.top_k:
            steps.append(ProcessingEntry(tensor=name, step=f"top {wrap.top_k}", where="kit"))
    return steps


def _audit(audit: Audit) -> AuditEntry:
    return AuditEntry(
        ops_total=len(audit.ops),
        ops_by_precision=audit.ops_by_precision,
        tensors_by_dtype=dict(sorted(audit.tensors_by_dtype.items())),
        bytes_by_dtype=dict(sorted(audit.bytes_by_dtype.items())),
        float_islands=_entries(audit.float_islands),
        exceptions=_entries(audit.exceptions),
        full_int8=audit.full_int8,
        requires=dict(audit.requires),
    )


def _entries(ops: tuple[AuditOp, ...]) -> tuple[IslandEntry, ...]:
    return tuple(IslandEntry(op=op.name, kind=op.kind, reason=op.reason) for op in ops)


def _toolchain(info: TargetInfo, reference: Reference) -> dict[str, str]:
    """The versions of all that had a part in the bundle."""
    forms = reference.model.forms & set(info.forms)
    packages = {*info.packages, *(package for form in forms for package in info.form_packages.get(form, ()))}
    for framework in frameworks.every():
        stands_in = framework.stands_in_for == reference.origin and framework.form in forms
        if stands_in or (not framework.stands_in_for and framework.form in {*forms, reference.origin}):
            packages |= set(framework.packages)
    return {
        "edgepack": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{package: version(package) for package in sorted(packages)},
    }
