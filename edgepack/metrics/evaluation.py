"""Task metrics of the original and of an artifact, on the same samples: those of a labelled set, else the held-back ones."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ..errors import GateError, UsageError
from ..events import Step, step, warn
from ..layout import seen_by
from ..model import Model
from ..records import Records, RecordWriter
from ..samples import SampleSet, fit
from ..spec import Arrays, Signature
from ..target import Runner
from ..usercode import user_frames
from ..wrap import Wrap
from .labelled import NONE, Form, read
from .metric import Asked, Better, Metric
from .output import Answers
from .request import Bound, Request

RANGE_SAMPLES = 20
RANGE_RATIO = 20
"""So many samples tell whether a labelled set is scaled as the others are; pixels in 0..1 and in 0..255 are not."""

Against = Literal["labels", "original"]


class Labels(Protocol):
    """Pairs (sample, label), one for each input; can be iterated again and again."""

    def __iter__(self) -> Iterator[tuple[str, Any]]: ...


@dataclass(frozen=True)
class Written:
    """Labels in a scratch file of ours, so that many masks take no memory."""

    path: Path
    count: int

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        with self.path.open("rb") as file:
            for _ in range(self.count):
                yield pickle.load(file)


@dataclass(frozen=True)
class Answered:
    """The original's answers, in place of labels."""

    answers: Records

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for number, outputs in enumerate(self.answers):
            yield f"sample {number}", Answers(outputs)


@dataclass(frozen=True)
class Evaluation:
    """What every artifact of a build is evaluated by.

    Attributes:
        inputs: of the labelled set; ``None`` for the held-back samples.
        original: the original's metrics.
    """

    request: Request
    labels: Labels
    against: Against
    count: int
    inputs: Records | None
    original: Mapping[str, float]


@dataclass(frozen=True)
class Score:
    """One metric of the original and of an artifact.

    Attributes:
        against: what both are held against: labels, or the original's own answers.
    """

    original: float
    artifact: float
    samples: int
    against: Against
    unit: str = ""
    better: Better = ""
    asked: tuple[Bound, ...] = ()

    @property
    def missed(self) -> tuple[Bound, ...]:
        return tuple(bound for bound in self.asked if not bound.is_met(self.original, self.artifact))


@dataclass(frozen=True)
class Scores:
    """By metric; empty where none was asked for."""

    by_metric: Mapping[str, Score] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for every bound that is not met."""
        return tuple(
            f"{bound} is not met: {name} is {score.artifact:.4g}, the original's {score.original:.4g}"
            for name, score in self.by_metric.items()
            for bound in score.missed
        )


def original(
    request: Request,
    names: tuple[str, ...],
    wrap: Wrap,
    model: Model,
    samples: SampleSet,
    golden: Records,
    workdir: Path,
) -> Evaluation | None:
    """Read the labelled set and ask the original; ``None`` where no metric was asked for.

    Args:
        names: of the model's classes, if they are known.

    Raises:
        UsageError: the set does not fit the model or the metrics.
        GateError: the original itself does not meet the gate.
    """
    if not request.asked:
        return None
    with step("evaluate original") as evaluating:
        if request.source:
            form = Form(model.signature, wrap, names, any(each.kind.of_classes for each in request.asked))
            found = _set(request, form, model, workdir, evaluating)
        else:
            values = measure(request.asked, golden, Answered(golden), "the original")
            found = Evaluation(request, Answered(golden), "original", len(golden), None, values)
        evaluating.detail = ", ".join(f"{name} {value:.4g}" for name, value in found.original.items())
    if found.inputs is not None:
        _compare_ranges(samples.calibration, found.inputs)
    if found.against == "labels":
        _check_plausible(found, model.signature)
    _check_reachable(found)
    return found


def artifact(evaluation: Evaluation | None, runner: Runner, model: Model, answers: Records) -> Scores:
    """An artifact's metrics beside the original's.

    Args:
        model: the original as the target sees it (see edgepack.layout).
        answers: of the artifact, to the held-back samples.
    """
    if evaluation is None:
        return Scores()
    asked = evaluation.request.asked
    with step("evaluate") as evaluating:
        outputs: Iterable[Arrays] = answers
        if evaluation.inputs is not None:
            outputs = map(runner, evaluating.track(seen_by(model, evaluation.inputs), evaluation.count))
        values = measure(asked, outputs, evaluation.labels, "the artifact")
        evaluating.detail = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return Scores({each.name: _score(evaluation, each, values[each.name]) for each in asked})


def _score(evaluation: Evaluation, asked: Asked, value: float) -> Score:
    bounds = tuple(bound for bound in evaluation.request.bounds if bound.metric == asked.name)
    kind = asked.kind
    return Score(
        evaluation.original[asked.name],
        value,
        evaluation.count,
        evaluation.against,
        kind.unit,
        kind.better,
        bounds,
    )


def measure(
    asked: Sequence[Asked], outputs: Iterable[Arrays], labels: Iterable[tuple[str, Any]], whose: str
) -> dict[str, float]:
    """The metrics over all samples. Raises UsageError, ModelError that name the metric and the sample."""
    metrics: list[tuple[Asked, Metric]] = [(each, each.make()) for each in asked]
    for number, (found, (sample, label)) in enumerate(zip(outputs, labels, strict=True)):
        for each, metric in metrics:
            with _said(f"The metric {each}, {whose} on sample {number} ({sample})", each):
                metric.update(found, label)
    values = {}
    for each, metric in metrics:
        with _said(f"The metric {each}, {whose} over all samples", each):
            values[each.name] = metric.value()
            if not math.isfinite(values[each.name]):
                raise UsageError(f"it is {values[each.name]}.", "Look for NaN in the outputs or the labels.")
    return values


@contextmanager
def _said(doing: str, asked: Asked) -> Iterator[None]:
    """An error with the metric and the sample in front; what the user's code raises, with their traceback."""
    try:
        with user_frames(doing) if asked.reference else nullcontext():
            yield
    except UsageError as error:
        raise UsageError(f"{doing}: {error.message}", error.hint) from error


def _set(request: Request, form: Form, model: Model, workdir: Path, evaluating: Step) -> Evaluation:
    """The set, written to disk sample by sample, and what the original makes of it."""
    inputs, labels = _written(request.source, form, workdir)
    track = partial(evaluating.track, total=len(inputs))
    if labels is not None:
        values = measure(request.asked, map(model, track(inputs)), labels, "the original")
        return Evaluation(request, labels, "labels", len(inputs), inputs, values)
    writer = RecordWriter(workdir / "evaluated.records")
    with writer:
        for arrays in track(inputs):
            writer.write(model(arrays))
    answered = Answered(writer.records)
    values = measure(request.asked, answered.answers, answered, "the original")
    return Evaluation(request, answered, "original", len(inputs), inputs, values)


def _written(source: str, form: Form, workdir: Path) -> tuple[Records, Written | None]:
    """Inputs and labels on disk; no labels where the set has none."""
    writer = RecordWriter(workdir / "evaluation.records", {spec.name: spec.dtype for spec in form.inputs})
    path, labelled = workdir / "evaluation.labels", False
    with writer, path.open("wb") as file:
        for sample, arrays, label in read(source, form):
            try:
                writer.write(fit(arrays, form.inputs, sample))
            except ValueError as error:
                raise UsageError(
                    f"{sample} has other types than the samples before it.", str(error)
                ) from error
            labelled = label is not NONE
            if labelled:
                pickle.dump((sample, label), file)
    if not writer.count:
        raise UsageError(f"The evaluation set {source} is empty.", "Give 100 labelled samples or more.")
    return writer.records, Written(path, writer.count) if labelled else None


def _check_reachable(found: Evaluation) -> None:
    """Refuse bounds that the original itself does not meet. Raises GateError."""
    missed = [
        f"{bound} ({bound.metric} is {value:.4g})"
        for bound in found.request.bounds
        if not bound.is_met(value := found.original[bound.metric], value)
    ]
    if missed:
        raise GateError(
            f"The original itself does not meet the gate: {', '.join(missed)}.",
            "Look whether labels and inputs are as the model wants them; or ask for less, as top1_drop<=0.5 does.",
        )


def _compare_ranges(usual: Records, own: Records) -> None:
    """Warn of inputs that are not scaled as the samples are."""
    for name in (each.name for each in own.fields):
        largest = [
            max(float(np.abs(arrays[name]).max(initial=0)) for arrays in islice(records, RANGE_SAMPLES))
            for records in (usual, own)
        ]
        if 0 < RANGE_RATIO * min(largest) < max(largest):
            warn(
                f"In the input '{name}' values of the evaluation set reach {largest[1]:g}, those of the samples "
                f"{largest[0]:g}: are both prepared as the model wants them?"
            )


def _check_plausible(found: Evaluation, signature: Signature) -> None:
    """Warn where labels look as if they were in another order than the outputs."""
    for each in found.request.asked:
        sizes = [
            spec.static_shape[-1]
            for spec in signature.outputs
            if spec.shape and each.output in ("", spec.name)
        ]
        if each.name == "top1" and sizes and sizes[0] > 1 and found.original["top1"] < 200 / sizes[0]:
            warn(
                f"The original is hardly better than chance, top1 {found.original['top1']:.4g}: are the labels in the "
                "order of its output, and the inputs prepared as it wants them?"
            )
