"""The flow, written once: source -> samples -> golden -> compress -> lower -> plan -> emit -> audit -> parity -> bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import allowance, auto, frameworks, latency, parity, registry, sources
from .allowance import Allowance
from .bundle import compose
from .bundle.manifest import Manifest
from .bundle.report import Report
from .bundle.writer import seal
from .compress.sizes import LayerSize, zipped
from .compress.stage import check
from .elsewhere import Elsewhere
from .errors import GateError, ModelError
from .events import step, warn
from .judge import Judged, Trial
from .metrics import evaluation as evaluate
from .metrics.evaluation import Evaluation
from .model import Model, Origin
from .project import Project
from .records import Records, RecordWriter
from .samples import SampleSet, collect
from .spec import Arrays, Signature
from .workbench import Workbench


@dataclass(frozen=True)
class Recorded:
    """What every target of a build shares, on disk: the samples, the original's answers to the held-back ones, and what it
    makes of the labelled ones.
    """

    samples: SampleSet
    golden: Records
    origin: Origin
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class Built:
    """A sealed folder, ready to be published if it passed.

    Attributes:
        report: to be written again when more is known.
        answers: the bundle's, to all held-back samples.
        race: what makes known how fast it is beside the artifact of the original; None without compression.
        allowed: how much compression the gate allows, where it is missed for compression alone.
    """

    manifest: Manifest
    report: Report
    answers: Records
    worst: tuple[parity.LayerParity, ...]
    race: latency.Race | None = None
    allowed: Allowance | None = None


def build(
    project: Project, target_name: str, workdir: Path, out: Path, recorded: Recorded | None = None
) -> Built:
    """Make the bundle of one target in the empty folder ``out``. Runs in a process of its own.

    Args:
        recorded: by ``record``, where there are several targets, or the original is asked in another framework.

    Raises:
        EdgepackError: the source cannot be loaded or lowered, or the samples do not fit.
    """
    bench, model = workbench(project, target_name, workdir, recorded)
    wanted, plain = project.compression, None
    if wanted.is_any or project.compress.is_auto:
        check(wanted, model, bench.samples, bench.golden)
        plain = bench.plain(model)
    if plain is not None and project.compress.is_auto:
        judge, judged = auto.judged(bench, model, plain)
    else:
        judge = bench.lowered(wanted, model, plain)
        try:
            judged = judge.judge(project.build.precision, bench.info.io(project.build.io), project.build.take)
        except GateError as error:
            if plain is None:
                raise
            raise allowance.refusal(error, bench, judge.reference) from None
    with step("write bundle"):
        report = compose.fill(project, bench.info, bench.target, judge.reference, judged, out)
        manifest = seal(out, report.manifest)
    worst = sorted(judged.layers, key=lambda layer: layer.sqnr_db)[:5]
    race = None
    if plain is not None and judge.reference.compression:
        _warn_if_larger(plain, judged)
        race = latency.Race.of(bench.info, plain, judged, judge.reference.samples)
    too_much = manifest.gate.failures and manifest.compression.get("passed before")
    allowed = allowance.look(bench, judge.reference) if too_much else None
    return Built(manifest, report, judged.answers, tuple(worst), race, allowed)


def _warn_if_larger(plain: Trial, judged: Judged) -> None:
    """Compression that brings no smaller download has only a price."""
    was, now = zipped(plain.artifact), zipped(judged.artifact)
    if now >= was:
        warn(
            f"The model was made smaller, but not its artifact: {now:,} bytes zipped, {was:,} without compression. Where the "
            "audit says that weights are stored in more bits, the gate asked for these: ask for less compression."
        )


def compressed(
    project: Project, target_name: str, workdir: Path, recorded: Recorded | None = None
) -> tuple[dict[str, float], tuple[LayerSize, ...], tuple[LayerSize, ...]]:
    """Make the model smaller, and no more: what that came to, and the sizes of its layers before and after. See ``build``."""
    bench, model = workbench(project, target_name, workdir, recorded)
    smaller = bench.smaller(project.compression, model)
    return smaller.found, smaller.before, smaller.after


def workbench(
    project: Project, target_name: str, workdir: Path, recorded: Recorded | None = None
) -> tuple[Workbench, Model]:
    """All that a target's artifacts are made with, and the original, loaded. See ``build``."""
    info = registry.target(target_name, project.build.runtime)
    origin = recorded.origin if recorded else None

    def source() -> Model:
        frameworks.forget_names()
        return sources.load(project, info, origin)

    if recorded is None:
        model = _load(project, source)
        samples, golden, evaluation = ask(project, model, workdir)
        form = next(iter(model.forms))
    else:
        stand_in = frameworks.stand_in(recorded.origin.form, info.forms)
        by = f", by {stand_in.title}" if stand_in else ""
        model = _load(project, source, quiet=True, by=by)
        samples, golden, form = recorded.samples, recorded.golden, recorded.origin.form
        evaluation = recorded.evaluation
        _check_same(recorded.origin.signature, model)
    target = registry.load_target(info)
    elsewhere = None
    if recorded and model.forms != {recorded.origin.form}:
        elsewhere = Elsewhere(project, info, samples, golden, recorded.origin, workdir)
    told = (samples, golden, form, workdir, evaluation, elsewhere)
    return Workbench(project, info, target, source, *told), model


def record(project: Project, workdir: Path) -> Recorded:
    """Load the source in its own framework and ask it, once for all targets. Runs in a process of its own."""
    origins: list[Origin] = []

    def original() -> Model:
        model, origin = sources.original(project, workdir)
        origins.append(origin)
        return model

    model = _load(project, original)
    samples, golden, evaluation = ask(project, model, workdir)
    (origin,) = origins
    return Recorded(samples, golden, origin, evaluation)


def _load(project: Project, source: Callable[[], Model], quiet: bool = False, by: str = "") -> Model:
    """The original; ``quiet`` where its notes have been told, ``by`` what runs it in place of its own framework."""
    with step("load") as loading:
        model = source()
        compose.check_labels(project, model)
        loading.detail = ", ".join(map(str, model.signature.inputs)) + by
    for note in () if quiet else model.notes:
        warn(note)
    return model


def ask(project: Project, model: Model, workdir: Path) -> tuple[SampleSet, Records, Evaluation | None]:
    """Read the samples, record the original's answers to the held-back ones, and measure it on the labelled ones."""
    with step("samples") as reading:
        samples = collect(project.data_request, model, project.wrap, workdir, reading)
    with step("golden") as running:
        writer = RecordWriter(workdir / "golden.records")
        with writer:
            for inputs in running.track(samples.held_back, len(samples.held_back)):
                answers = model(inputs)
                _check_finite(answers, writer.count)
                writer.write(answers)
    golden, names = writer.records, compose.read_labels(project)
    evaluation = evaluate.original(project.evaluation, names, project.wrap, model, samples, golden, workdir)
    return samples, golden, evaluation


def _check_same(original: Signature, model: Model) -> None:
    """Refuse a source that has other inputs or outputs now than when the original was asked. Raises ModelError."""
    for was, now in (
        (original.inputs, model.signature.inputs),
        (original.outputs, model.signature.outputs),
    ):
        if [(spec.name, spec.shape) for spec in was] != [(spec.name, spec.shape) for spec in now]:
            raise ModelError(
                f"The original has {', '.join(map(str, was))}; "
                f"loaded for this target, it has {', '.join(map(str, now))}.",
                "Name the inputs and outputs in the model, and let it not depend on where it is loaded.",
            )


def _check_finite(answers: Arrays, number: int) -> None:
    for name, values in answers.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelError(
                f"The original itself answers NaN or infinity in '{name}' to held-back sample {number}.",
                "Run it on your samples in Python; are they scaled as it was trained?",
            )
