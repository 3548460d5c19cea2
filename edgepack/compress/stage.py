"""The stage of the flow: which layers, how much of each, closed form, then learning; kept in the cache folder.

What was found is found again without computing, for a second target and for the next build of the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from ..errors import ModelError, UsageError
from ..events import Step, step
from ..model import Model
from ..records import Records
from ..samples import SampleSet
from . import closed_form, cluster, distil, kept, sensitivity
from .closed_form import Amount
from .lesson import Lesson
from .student import Layer, Student, Teacher

MOMENT_SAMPLES = 256
"""At most so many calibration samples tell a layer's inputs; a convolution has many places in each."""

MANY = 512
"""Samples for layers that see one place of each."""

FEWEST = 16
"""Calibration samples to learn from."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        prune: the share of the layers' weights that go.
        cluster: how many values a layer's weights may have.
        recover_minutes: to learn from the original, after the closed form.
        keep: layers that are left as they are; the first one and depthwise convolutions always are.
    """

    prune: float | None = None
    cluster: int | None = None
    recover_minutes: float = 5.0
    keep: tuple[str, ...] = ()

    @property
    def is_any(self) -> bool:
        return self.prune is not None or self.cluster is not None


def compress(
    wanted: Wanted, model: Model, samples: SampleSet, golden: Records
) -> tuple[Model, dict[str, float]]:
    """The model made smaller, and what it came to, by name; the model itself where nothing is asked for.

    Recovery sees calibration samples alone. The held-back ones tell what it came to, and decide nothing.

    Raises:
        ModelError: the source has no layers.
        UsageError: a layer to keep that there is not, too few samples, or answers that tell nothing.
    """
    if not wanted.is_any:
        return model, {}
    with step("compress") as running:
        _check_samples(wanted, samples, golden)
        student = _student(model)
        chosen = layers(student, wanted.keep)
        lesson = Lesson(samples.calibration, model.signature)
        with kept.folder(kept.key(repr(wanted), student, samples.calibration)) as folder:
            found = kept.recall(student, folder)
            if not found:
                found = _made(wanted, student, chosen, lesson, samples.held_back, golden, folder, running)
                kept.keep(student, found, folder)
        found |= counts(student, chosen)
        if wanted.cluster:
            found["values a layer"] = max(cluster.distinct(student.weight(each.name)) for each in chosen)
        running.detail = summary(found)
    return student.model(), found


def layers(student: Student, keep: Sequence[str]) -> tuple[Layer, ...]:
    """Those that are made smaller. Raises UsageError, ModelError."""
    names = [layer.name for layer in student.layers]
    for name in keep:
        if name not in names:
            near = get_close_matches(name, names, 1, 0.3)
            raise UsageError(
                f"There is no layer '{name}' to keep." + (f" Did you mean '{near[0]}'?" if near else ""),
                f"Layers: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}.",
            )
    open_to = [layer for layer in student.layers if layer.kind != "depthwise" and layer.name not in keep]
    if len(open_to) > 1 and open_to[0].name == names[0] and open_to[0].has_inputs:
        open_to = open_to[1:]  # its inputs are the app's, and it has few weights
    if not open_to:
        raise ModelError(
            "No layer is left to make smaller.", "Keep fewer; depthwise convolutions are always kept."
        )
    return tuple(open_to)


def counts(student: Student, chosen: Sequence[Layer]) -> dict[str, float]:
    """What is in the student now: the layers chosen, and weights and zeros of all."""
    weights = {layer.name: student.weight(layer.name) for layer in student.layers}
    return {
        "layers": len(chosen),
        "weights": sum(weight.size for weight in weights.values()),
        "zeros": sum(int((weight == 0).sum()) for weight in weights.values()),
    }


def summary(found: Mapping[str, float]) -> str:
    """A line for people."""
    zeros = 100 * found["zeros"] / found["weights"]
    agreement = 100 * found["agreement"]
    return f"{found['layers']} layers, {zeros:.0f} % of all weights zero, {agreement:.1f} % agree with the original"


def _check_samples(wanted: Wanted, samples: SampleSet, golden: Records) -> None:
    few = len(samples.calibration)
    if wanted.recover_minutes and few < FEWEST:
        raise UsageError(
            f"{few} calibration samples are too few to recover from; {FEWEST} are the least.",
            "Give more, 100 or so; or --recover-minutes 0 for the closed form alone.",
        )
    first = golden[0]
    if len(golden) > 1 and all(np.array_equal(each[name], first[name]) for each in golden for name in first):
        raise UsageError(
            "The original gives the same answers to all held-back samples, so nothing can be told from them.",
            "Give samples that differ as they do in real use.",
        )


def _student(model: Model) -> Student:
    if not isinstance(model, Teacher):
        raise ModelError(
            "This kind of source cannot be compressed yet: its layers are not seen.",
            "Give a torch.nn.Module by a file.py:factory, or build without --prune and --cluster.",
        )
    return model.student()


def _made(
    wanted: Wanted,
    student: Student,
    chosen: Sequence[Layer],
    lesson: Lesson,
    held_back: Records,
    golden: Records,
    folder: Path,
    running: Step,
) -> dict[str, float]:
    """Shrink the student and let it recover; what that came to."""
    amounts = _shrunk(wanted, student, chosen, lesson, folder, running)
    once = distil.agreement(map(student, held_back), golden)
    progress = distil.Progress()
    if wanted.recover_minutes:
        holds = {layer.name: closed_form.held(student.weight(layer.name), amounts[layer]) for layer in chosen}
        student.hold(holds)
        progress = distil.distil(student, lesson, 60 * wanted.recover_minutes, folder, running)
        student.release()
        closed_form.reach(student, holds)
    return {
        **({} if wanted.prune is None else {"prune": wanted.prune}),
        **({} if wanted.cluster is None else {"cluster": wanted.cluster}),
        "agreement before learning": once,
        "agreement": distil.agreement(map(student, held_back), golden),
        "steps": progress.steps,
        "minutes": round(progress.seconds / 60, 2),
    }


def _shrunk(
    wanted: Wanted, student: Student, chosen: Sequence[Layer], lesson: Lesson, folder: Path, running: Step
) -> dict[Layer, Amount]:
    """By closed form; found again where a run was killed behind it."""
    noted, state = folder / "amounts.json", folder / "shrunk.state"
    if noted.is_file():
        amounts = [Amount(**each) for each in json.loads(noted.read_text())]
        student.restore(state)
        return dict(zip(chosen, amounts, strict=True))
    some = lesson.some(MOMENT_SAMPLES)
    ratios = dict.fromkeys((layer.name for layer in chosen), 0.0)
    if wanted.prune:
        moments = student.moments([layer.name for layer in chosen if layer.has_inputs], some)
        ratios = sensitivity.ratios(student, chosen, moments, wanted.prune, lesson.looks)
    found = {layer: Amount(ratios[layer.name], wanted.cluster or 0) for layer in chosen}
    closed_form.shrink(student, found, some, running, lambda: lesson.many(MANY))
    student.save(state)
    noted.write_text(json.dumps([asdict(each) for each in found.values()]))
    return found
