"""The flow, written once: source -> samples -> golden -> lower -> plan -> emit -> audit -> parity -> bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import parity, registry, sources
from .bundle import compose
from .bundle.manifest import Manifest
from .bundle.writer import seal
from .errors import ModelError
from .events import step, warn
from .judge import Judge, Reference
from .layout import channels_last
from .model import Model
from .project import Project
from .records import Records, RecordWriter
from .samples import SampleSet, collect
from .spec import Arrays


@dataclass(frozen=True)
class Recorded:
    """What every target of a build shares, on disk: the samples, and the original's answers to the held-back ones."""

    samples: SampleSet
    golden: Records


@dataclass(frozen=True)
class Built:
    """A sealed folder, ready to be published if it passed.

    Attributes:
        answers: the bundle's, to all held-back samples.
    """

    manifest: Manifest
    answers: Records
    failures: tuple[str, ...]
    worst: tuple[parity.LayerParity, ...]


def build(
    project: Project, target_name: str, workdir: Path, out: Path, recorded: Recorded | None = None
) -> Built:
    """Make the bundle of one target in the empty folder ``out``. Runs in a process of its own.

    Args:
        recorded: by ``record``, where there are several targets.

    Raises:
        EdgepackError: the source cannot be loaded or lowered, or the samples do not fit.
    """
    info = registry.target(target_name, project.build.runtime)
    model = load(project, quiet=recorded is not None)
    if not model.forms & set(info.forms):
        raise ModelError(
            f"The target '{info.name}' takes {' or '.join(info.forms)} models; "
            f"this one is {' or '.join(sorted(model.forms))}.",
            "Choose another --target: edgepack targets lists them.",
        )
    recorded = recorded or ask(project, model, workdir)
    samples = recorded.samples
    if info.layout == "NHWC" and project.build.layout == "auto":
        model, samples = channels_last(model, samples)
    reference = Reference(model, samples, recorded.golden)
    target = registry.load_target(info)
    with step("lower"):
        lowering = target.lower(model, samples.calibration, workdir)
    judge = Judge(target, lowering, reference, project.parity_gate, workdir)
    judged = judge.judge(project.build.precision, info.io(project.build.io))
    with step("write bundle"):
        manifest = compose.fill(project, info, target, reference, judged, out)
        manifest = seal(out, manifest)
    worst = sorted(judged.layers, key=lambda layer: layer.sqnr_db)[:5]
    return Built(manifest, judged.answers, judged.failures, tuple(worst))


def record(project: Project, workdir: Path) -> Recorded:
    """Load the source and ask it, once for all targets. Runs in a process of its own."""
    return ask(project, load(project), workdir)


def load(project: Project, quiet: bool = False) -> Model:
    """The original; ``quiet`` where its notes have been told."""
    with step("load") as loading:
        model = sources.load(project)
        compose.check_labels(project, model)
        loading.detail = ", ".join(map(str, model.signature.inputs))
    for note in () if quiet else model.notes:
        warn(note)
    return model


def ask(project: Project, model: Model, workdir: Path) -> Recorded:
    """Read the samples, and record the original's answers to the held-back ones."""
    with step("samples") as reading:
        samples = collect(project.data_request, model, project.wrap, workdir, reading)
    with step("golden") as running:
        writer = RecordWriter(workdir / "golden.records")
        with writer:
            for inputs in running.track(samples.held_back, len(samples.held_back)):
                answers = model(inputs)
                _check_finite(answers, writer.count)
                writer.write(answers)
    return Recorded(samples, writer.records)


def _check_finite(answers: Arrays, number: int) -> None:
    for name, values in answers.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelError(
                f"The original itself answers NaN or infinity in '{name}' to held-back sample {number}.",
                "Run it on your samples in Python; are they scaled as it was trained?",
            )
