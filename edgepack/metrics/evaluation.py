"""Task metrics of the original and of an artifact, on the same samples: those of a labelled set, else the held-back ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import GateError, ModelError, UsageError
from ..events import Step, step
from ..layout import seen_by
from ..model import Model
from ..records import Records, RecordWriter
from ..samples import SampleSet
from ..spec import Arrays
from ..target import Runner
from ..wrap import Wrap
from . import labelled
from .doubts import compare_ranges, compare_with_chance
from .labelled import Form
from .measure import finite, measure
from .metric import Asked
from .request import Bound, Request
from .stored import Answered, Labels, write

Against = Literal["labels", "original"]


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
            values = measure(request.asked, golden, Answered(golden), "the original")
            found = Evaluation(request, Answered(golden), "original", len(golden), None, values)
        evaluating.detail = ", ".join(f"{name} {value:.4g}" for name, value in found.original.items())
    if found.inputs is not None:
        compare_ranges(samples.calibration, found.inputs)
    if found.against == "labels":
        compare_with_chance(request.asked, found.original, model.signature)
    _check_reachable(found)
    return found


def artifact(
    evaluation: Evaluation | None, runner: Runner, model: Model, answers: Records, doing: str = "evaluate"
) -> Scores:
    """An artifact's metrics beside the original's.

    Args:
        model: the original as the target sees it (see edgepack.layout).
        answers: of the artifact, to the held-back samples.
        doing: what the step is called.
    """
    if evaluation is None:
        return Scores()
    asked = evaluation.request.asked
    with step(doing) as evaluating:
        outputs: Iterable[Arrays] = answers
        if evaluation.inputs is not None:
            outputs = finite(
                map(runner, evaluating.track(seen_by(model, evaluation.inputs), evaluation.count)),
                "The artifact",
                GateError,
            )
        values = measure(asked, outputs, evaluation.labels, "the artifact")
        evaluating.detail = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return Scores({each.name: _score(evaluation, each, values[each.name]) for each in asked})


def _score(evaluation: Evaluation, asked: Asked, value: float) -> Score:
    bounds = tuple(bound for bound in evaluation.request.bounds if bound.metric == asked.name)
    return Score(
        evaluation.original[asked.name],
        value,
        evaluation.count,
        evaluation.against,
        asked.kind.unit,
        bounds,
    )


def _set(request: Request, form: Form, model: Model, workdir: Path, evaluating: Step) -> Evaluation:
    """The set, written to disk sample by sample, and what the original makes of it."""
    inputs, labels = write(request.source, form, workdir)
    outputs = finite(map(model, evaluating.track(inputs, len(inputs))), "The original itself", ModelError)
    if labels is not None:
        values = measure(request.asked, outputs, labels, "the original")
        return Evaluation(request, labels, "labels", len(inputs), inputs, values)
    writer = RecordWriter(workdir / "evaluated.records")
    with writer:
        for answers in outputs:
            writer.write(answers)
    answered = Answered(writer.records)
    values = measure(request.asked, answered.answers, answered, "the original")
    return Evaluation(request, answered, "original", len(inputs), inputs, values)


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
