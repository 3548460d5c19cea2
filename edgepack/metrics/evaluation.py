"""Task metrics of the original and of an artifact, on the same samples: those of a labelled set, else the held-back ones.

Where metrics choose a plan, they do so on other samples than those that judge it: on a part of the labelled set, else on
calibration samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np

from ..errors import GateError, ModelError, UsageError
from ..events import Step, step
from ..layout import seen_by
from ..model import Model
from ..records import PickedRecords, Records, RecordWriter
from ..samples import SampleSet
from ..spec import Arrays
from ..target import Runner
from ..wrap import Wrap
from . import labelled
from .doubts import compare_ranges, compare_with_chance, compare_with_count
from .labelled import Form
from .measure import finite, measure
from .metric import Asked
from .request import Bound, Request
from .stored import Against, Answered, Labels, Picked, write

CHOOSING = 500
"""At most so many samples choose; each plan that is tried has to answer them all."""

FEWEST = 20
"""So many labelled samples, half of which choose."""


@dataclass(frozen=True)
class Evaluation:
    """What every artifact of a build is evaluated by.

    Attributes:
        inputs: of the labelled set; ``None`` for the held-back samples.
        original: the original's metrics.
        choosing: what plans are chosen by, on samples that do not judge; ``None`` where metrics choose nothing.
    """

    request: Request
    inputs: Records | None
    labels: Labels
    original: Mapping[str, float]
    choosing: Evaluation | None = None

    def chosen_by(self, other: Evaluation) -> Evaluation:
        """This one, with another to choose by: bounds on values leave as much room on its samples as they do on these."""
        off = {name: value - self.original[name] for name, value in other.original.items()}
        bounds = tuple(
            bound if bound.change else replace(bound, value=bound.value + off[bound.metric])
            for bound in self.request.bounds
        )
        return replace(self, choosing=replace(other, request=replace(self.request, bounds=bounds)))


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
    asked: tuple[Bound, ...] = ()

    @property
    def missed(self) -> tuple[Bound, ...]:
        return tuple(bound for bound in self.asked if not bound.is_met(self.original, self.artifact))


@dataclass(frozen=True)
class Scores:
    """By metric; empty where none was asked for.

    Attributes:
        error: why they cannot be told; then there are none.
    """

    by_metric: Mapping[str, Score] = field(default_factory=dict)
    error: str = ""

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for every bound that is not met."""
        if self.error:
            return (self.error,)
        return tuple(
            f"{bound} is not met: {name} is {score.artifact:.4g}, the original's {score.original:.4g}"
            for name, score in self.by_metric.items()
            for bound in score.missed
        )


def check(request: Request) -> None:
    """Refuse a set or code that is not there, before anything heavy starts. Raises UsageError."""
    labelled.check(request.source)
    for each in request.asked:
        file = each.reference.rpartition(":")[0]
        if file.endswith(".py") and not Path(file).is_file():
            raise UsageError(
                f"There is no file {file}, which --metric names.", "Write it as file.py:function."
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
            found = _measured(request, None, Answered(golden), golden)
            if request.chooses:
                few = _evenly(samples.calibration)
                answers = _answers(model, few, workdir / "choosing.records")
                found = found.chosen_by(_measured(request, few, Answered(answers), answers))
        evaluating.detail = ", ".join(f"{name} {value:.4g}" for name, value in found.original.items())
        if found.choosing:
            evaluating.detail += (
                f", on {len(found.labels)} samples; {len(found.choosing.labels)} others choose"
            )
    if found.inputs is not None:
        compare_ranges(samples.calibration, found.inputs)
    if found.labels.against == "labels":
        compare_with_chance(request.asked, found.original, model.signature)
    _check_reachable(found)
    fewest = min(len(each.labels) for each in (found, found.choosing) if each)
    compare_with_count(request.bounds, fewest, model.signature)
    return found


def artifact(evaluation: Evaluation | None, runner: Runner, model: Model, answers: Records) -> Scores:
    """An artifact's metrics beside the original's.

    Args:
        model: the original as the target sees it (see edgepack.layout).
        answers: of the artifact, to the held-back samples.
    """
    if evaluation is None:
        return Scores()
    with step("evaluate") as evaluating:
        outputs: Iterable[Arrays] = answers
        if evaluation.inputs is not None:
            inputs = seen_by(model, evaluation.inputs)
            outputs = map(runner, evaluating.track(inputs, len(inputs)))
        scores = _scores(evaluation, outputs)
        evaluating.detail = scores.error or ", ".join(
            f"{name} {score.artifact:.4g}" for name, score in scores.by_metric.items()
        )
    return scores


def candidate(evaluation: Evaluation, runner: Runner, model: Model) -> Scores:
    """The metrics of one of many artifacts, which need not be one that a metric can make anything of."""
    assert evaluation.inputs is not None
    try:
        return _scores(evaluation, map(runner, seen_by(model, evaluation.inputs)))
    except (ModelError, UsageError) as error:  # of garbage, F1 may be 0 by 0
        return Scores(error=error.message)


def _scores(evaluation: Evaluation, outputs: Iterable[Arrays]) -> Scores:
    asked = evaluation.request.asked
    try:
        found = finite(outputs, _names(evaluation.labels), "The artifact", GateError)
        values = measure(asked, found, evaluation.labels, "the artifact")
    except GateError as error:
        return Scores(error=error.message)
    return Scores({each.name: _score(evaluation, each, values[each.name]) for each in asked})


def _score(evaluation: Evaluation, asked: Asked, value: float) -> Score:
    bounds = tuple(bound for bound in evaluation.request.bounds if bound.metric == asked.name)
    return Score(
        evaluation.original[asked.name],
        value,
        len(evaluation.labels),
        evaluation.labels.against,
        asked.kind.unit,
        bounds,
    )


def _set(request: Request, form: Form, model: Model, workdir: Path, evaluating: Step) -> Evaluation:
    """The set, written to disk sample by sample, and what the original makes of it."""
    inputs, given = write(request.source, form, workdir)
    if request.chooses and len(inputs) < FEWEST:
        raise UsageError(
            f"{request.source} has {len(inputs)} samples; half of them choose a plan and half judge it, which takes {FEWEST}.",
            "Give more; or name a precision in place of auto, which all of them judge.",
        )
    labels: Labels | None = given
    if labels is None:
        asked = evaluating.track(inputs, len(inputs))
        labels = Answered(_answers(model, asked, workdir / "evaluated.records"))

    def part(places: Sequence[int]) -> Evaluation:
        own, picked = PickedRecords.of(inputs, tuple(places)), Picked(labels, frozenset(places))
        outputs: Iterable[Arrays]
        if isinstance(labels, Answered):
            outputs = PickedRecords.of(labels.answers, own.places)
        else:
            answers = map(model, evaluating.track(own, len(own)))
            outputs = finite(answers, _names(picked), "The original itself", ModelError)
        return _measured(request, own, picked, outputs)

    if not request.chooses:
        return part(range(len(inputs)))
    order = (
        np.random.default_rng(0).permutation(len(inputs)).tolist()
    )  # sets often lie in the order of their labels
    share = min(len(inputs) // 2, CHOOSING)
    return part(sorted(order[share:])).chosen_by(part(sorted(order[:share])))


def _measured(
    request: Request, inputs: Records | None, labels: Labels, outputs: Iterable[Arrays]
) -> Evaluation:
    """What the original's outputs come to."""
    values = measure(request.asked, outputs, labels, "the original")
    return Evaluation(request, inputs, labels, values)


def _answers(model: Model, inputs: Iterable[Arrays], path: Path) -> Records:
    """The original's, on disk. Raises ModelError where they are no numbers."""
    writer, names = RecordWriter(path), map("sample {}".format, count())
    with writer:
        for answers in finite(map(model, inputs), names, "The original itself", ModelError):
            writer.write(answers)
    return writer.records


def _names(labels: Labels) -> Iterator[str]:
    return (sample for sample, _ in labels)


def _evenly(samples: Records) -> Records:
    every = -(-len(samples) // CHOOSING)
    return PickedRecords.of(samples, tuple(range(0, len(samples), every)))


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
