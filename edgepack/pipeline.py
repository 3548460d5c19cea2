"""The flow, written once: source -> samples -> golden -> lower -> plan -> emit -> audit -> parity -> bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from . import parity, registry, sources
from .bundle import compose
from .bundle.manifest import Manifest
from .bundle.writer import seal
from .errors import ModelError
from .events import step, warn
from .model import Model
from .plan import uniform_plan
from .project import Project
from .records import Records, RecordWriter
from .samples import SampleSet, collect
from .spec import Arrays, Precision
from .target import Artifact, Audit, Lowering, Plan, Runner, Target

LAYER_SAMPLES = 4
"""How many held-back samples the layer-by-layer comparison takes; it keeps every intermediate tensor."""


@dataclass(frozen=True)
class Reference:
    """The original: the loaded model, its samples, and its answers to the held-back ones."""

    model: Model
    samples: SampleSet
    golden: Records


@dataclass(frozen=True)
class Judged:
    """An artifact, what is in it, and how it compares.

    Attributes:
        layers: per op, against the float32 artifact; empty for a float32 artifact.
        failures: why the gate is not met; empty when it is.
        cautions: what the metrics do not show by themselves.
    """

    artifact: Artifact
    float32: Artifact
    runner: Runner
    audit: Audit
    outputs: dict[str, parity.Metrics]
    layers: tuple[parity.LayerParity, ...]
    failures: tuple[str, ...]
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class Built:
    """A sealed folder, ready to be published if it passed."""

    manifest: Manifest
    failures: tuple[str, ...]
    worst: tuple[parity.LayerParity, ...]


def build(project: Project, target_name: str, workdir: Path, out: Path) -> Built:
    """Make the bundle of one target in the empty folder ``out``. Runs in a process of its own.

    Raises:
        EdgepackError: the source cannot be loaded or lowered, or the samples do not fit.
    """
    info = registry.target(target_name)
    reference = prepare(project, workdir)
    if not reference.model.forms & set(info.forms):
        raise ModelError(
            f"The target '{info.name}' takes {' or '.join(info.forms)} models; "
            f"this one is {' or '.join(sorted(reference.model.forms))}.",
            "Choose another --target: edgepack targets lists them.",
        )
    target = registry.load_target(info)
    with step("lower"):
        lowering = target.lower(reference.model, reference.samples.calibration, workdir)
    judged = judge(project, target, lowering, reference, workdir)
    with step("write bundle"):
        manifest = compose.fill(project, info, target, reference, judged, out)
        manifest = seal(out, manifest)
    worst = sorted(judged.layers, key=lambda layer: layer.sqnr_db)[:5]
    return Built(manifest, judged.failures, tuple(worst))


def prepare(project: Project, workdir: Path) -> Reference:
    """Load the source, read the samples, and record the original's answers to the held-back ones."""
    with step("load") as loading:
        model = sources.load(project)
        compose.check_labels(project, model)
        loading.detail = ", ".join(map(str, model.signature.inputs))
    for note in model.notes:
        warn(note)
    with step("samples") as reading:
        samples = collect(project.data_request, model, project.wrap, workdir, reading)
    with step("golden") as running:
        writer = RecordWriter(workdir / "golden.records")
        with writer:
            for inputs in running.track(samples.held_back, len(samples.held_back)):
                answers = model(inputs)
                _check_finite(answers, writer.count)
                writer.write(answers)
    return Reference(model, samples, writer.records)


def _check_finite(answers: Arrays, number: int) -> None:
    for name, values in answers.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelError(
                f"The original itself answers NaN or infinity in '{name}' to held-back sample {number}.",
                "Run it on your samples in Python; are they scaled as it was trained?",
            )


def judge(
    project: Project, target: Target, lowering: Lowering, reference: Reference, workdir: Path
) -> Judged:
    """Emit what the project asks for, look into it, and hold it against the original."""
    plan = uniform_plan(lowering, project.build.precision, project.build.io)
    with step("emit"):
        float32 = lowering.emit(Plan(Precision.FLOAT32), _fresh(workdir / "float32"))
        is_float = plan.default == Precision.FLOAT32
        artifact = float32 if is_float else lowering.emit(plan, _fresh(workdir / "artifact"))
    with step("audit") as auditing:
        audit = _explained(target.audit(artifact), lowering, plan)
        auditing.detail = ", ".join(f"{count} {name}" for name, count in audit.ops_by_precision.items())
    with step("parity") as measuring:
        runner = target.open(artifact)
        held_back = measuring.track(reference.samples.held_back, len(reference.samples.held_back))
        outputs = parity.measure(runner, held_back, reference.golden)
        gate = project.parity_gate
        failures, cautions = tuple(gate.failures(outputs)), tuple(parity.cautions(outputs))
        measuring.detail = "; ".join(f"{name} {metrics.sqnr_db:.1f} dB" for name, metrics in outputs.items())
    for caution in cautions:
        warn(caution)
    layers: tuple[parity.LayerParity, ...] = ()
    if not is_float:
        with step("compare layers"):
            few = islice(iter(reference.samples.held_back), LAYER_SAMPLES)
            layers = tuple(parity.layer_parity(target.open(float32), runner, few))
    return Judged(artifact, float32, runner, audit, outputs, layers, failures, cautions)


def _explained(audit: Audit, lowering: Lowering, plan: Plan) -> Audit:
    """The audit, with the reasons that only the plan knows for the ops that it left in another precision."""
    if not plan.ops:
        return audit
    reasons = {op.name: op.limits.get(plan.default, "") for op in lowering.ops if op.name in plan.ops}
    return replace(
        audit,
        ops=tuple(
            replace(op, reason=reasons[op.name] if reasons.get(op.name) else op.reason) for op in audit.ops
        ),
    )


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder
