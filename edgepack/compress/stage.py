"""The stage of the flow: which layers, how much of each, closed form, then learning; kept in the cache folder.

What was found is found again without computing, for a second target and for the next build of the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import numpy as np

from .. import parity
from ..errors import ModelError, UsageError
from ..events import Step, step
from ..model import Model
from ..records import Records
from ..samples import SampleSet
from ..spec import Arrays
from . import channels, closed_form, distil, imagined, kept, low_rank, sensitivity, sizes
from .closed_form import Amount
from .enough import is_enough
from .lesson import Lesson
from .sizes import LayerSize
from .student import Group, Layer, Student, Teacher
from .wanted import Wanted

MOMENT_SAMPLES = 256
"""At most so many calibration samples tell a layer's inputs; a convolution has many places in each."""

MANY = 512
"""Samples for layers that see one place of each."""

PROOFS = 4
"""So many samples must be answered the same by the student without the channels that it does not use."""

MINUTES = 5.0
"""How long a model may learn, where the gate asks for more than the closed form gives."""

FEWEST = 16
"""Calibration samples to learn from."""


@dataclass(frozen=True)
class Compressed:
    """A model made smaller.

    Attributes:
        found: what it came to, by name; empty where nothing was asked for.
        before: the sizes of its layers, and those ``after``.
        seconds: that the closed form took, when it was made.
    """

    model: Model
    found: dict[str, float] = field(default_factory=dict)
    before: tuple[LayerSize, ...] = ()
    after: tuple[LayerSize, ...] = ()
    seconds: float = 0.0


def compress(wanted: Wanted, model: Model, samples: SampleSet, golden: Records) -> Compressed:
    """The model made smaller; the model itself where nothing is asked for.

    Recovery sees calibration samples alone. The held-back ones tell what it came to, and decide nothing.

    Raises:
        ModelError: the source has no layers.
        UsageError: a layer to keep that there is not, too few samples, or answers that tell nothing.
    """
    if not wanted.is_any:
        return Compressed(model)
    began = time.monotonic()
    with step("compress") as running:
        student = check(wanted, model, samples, golden).student()
        chosen = layers(student, wanted.keep)
        imagine = partial(_imagined, student, kept.key("imagined", student, samples.calibration), running)
        lesson = Lesson(samples.calibration, model.signature, wanted.augment, imagine)
        before = sizes.layer_sizes(student)
        with kept.folder(kept.key(repr(wanted), student, samples.calibration)) as folder:
            if wanted.low_rank:
                student = _split(wanted.low_rank, student, chosen, lesson, folder)
                chosen = layers(student, wanted.keep)
            groups = channels.open_to(student, chosen, wanted.keep) if wanted.prune_channels else ()
            found = kept.recall(student, folder)
            if not found:
                found = _made(
                    wanted, student, chosen, groups, lesson, samples.held_back, golden, folder, running
                )
                found["seconds"] = time.monotonic() - began - 60 * found["minutes"]
                kept.keep(student, found, folder)
            if groups:
                channels.slim(student, kept.noted_gone(groups, folder), lesson.looks[:PROOFS])
        seconds = found.pop("seconds")
        after = sizes.layer_sizes(student)
        was = sizes.total(before)
        found |= {"layers": len(chosen), **sizes.total(after)}
        found |= {"weights before": was["weights"], "macs before": was["macs"]}
        if wanted.codes:
            names = {layer.name for layer in chosen}
            found["values a layer"] = max(each.values for each in after if each.name in names)
        running.detail = summary(found)
    return Compressed(student.model(), found, before, after, seconds)


def _imagined(student: Student, name: str, running: Step, lesson: Lesson) -> list[Arrays]:
    """Pictures that stand for what the samples do not show; the same for every budget."""
    with kept.folder(name) as folder:
        return imagined.pictures(student, folder, running, lesson)


def _split(ratio: float, student: Student, chosen: Sequence[Layer], lesson: Lesson, folder: Path) -> Student:
    """With two layers in the place of some; of the ranks that were found before, where they were."""
    ranks = kept.noted_ranks(folder)
    if ranks is not None:  # the weights are in the state
        shapes = {layer.name: layer.shape for layer in chosen}
        sizes_of = {name: (rank, *shapes[name]) for name, rank in ranks.items()}
        return student.split(
            {
                name: (np.zeros((rank, inputs)), np.zeros((out, rank)))
                for name, (rank, out, inputs) in sizes_of.items()
            }
        )
    factors = low_rank.split(student, chosen, ratio, lesson.some(MOMENT_SAMPLES), lesson.trials)
    kept.note_ranks({name: len(first) for name, (first, _) in factors.items()}, folder)
    return student.split(factors)


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


def summary(found: Mapping[str, float]) -> str:
    """A line for people."""
    zeros = 100 * found["zeros"] / found["weights"]
    macs = 100 * (1 - found["macs"] / found["macs before"])
    agreement = 100 * found["agreement"]
    fewer = f"{macs:.0f} % fewer multiplications, " if macs else ""
    return f"{found['layers']} layers, {fewer}{zeros:.0f} % of all weights zero, {agreement:.1f} % agree with the original"


def check(wanted: Wanted, model: Model, samples: SampleSet, golden: Records) -> Teacher:
    """The model as a teacher; what cannot come to anything is refused, before minutes are spent. Raises ModelError, UsageError."""
    if not isinstance(model, Teacher):
        raise ModelError(
            "This kind of source cannot be compressed yet: its layers are not seen.",
            "Give a torch.nn.Module by a file.py:factory, or build without compression.",
        )
    few = len(samples.calibration)
    if wanted.recover_minutes != 0 and few < FEWEST:
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
    return model


def _made(
    wanted: Wanted,
    student: Student,
    chosen: Sequence[Layer],
    groups: Sequence[Group],
    lesson: Lesson,
    held_back: Records,
    golden: Records,
    folder: Path,
    running: Step,
) -> dict[str, float]:
    """Shrink the student and let it recover; what that came to."""
    amounts = _shrunk(wanted, student, chosen, groups, lesson, folder, running)
    once = distil.agreement(map(student, held_back), golden)
    progress = distil.Progress()
    if minutes := _minutes(wanted, student, lesson):
        holds = {layer.name: closed_form.held(student.weight(layer.name), amounts[layer]) for layer in chosen}
        student.hold(holds)
        progress = distil.distil(student, lesson, 60 * minutes, folder, running)
        student.release()
        closed_form.reach(student, holds)
    return {
        **({} if wanted.prune is None else {"prune": wanted.prune}),
        **({} if wanted.prune_channels is None else {"prune channels": wanted.prune_channels}),
        **({} if wanted.low_rank is None else {"low rank": wanted.low_rank}),
        **({} if wanted.cluster is None else {"cluster": wanted.cluster}),
        "agreement before learning": once,
        "agreement": distil.agreement(map(student, held_back), golden),
        "steps": progress.steps,
        "minutes": round(progress.seconds / 60, 2),
    }


def _minutes(wanted: Wanted, student: Student, lesson: Lesson) -> float:
    """How long to learn: as is wanted, or not at all where the gate is met with half of the error that it allows."""
    if wanted.recover_minutes is not None:
        return wanted.recover_minutes
    if wanted.gate is None:
        return MINUTES
    outputs = parity.measure(student, lesson.looks, map(student.teach, lesson.looks))
    return 0.0 if is_enough(wanted.gate, outputs) else MINUTES


def _shrunk(
    wanted: Wanted,
    student: Student,
    chosen: Sequence[Layer],
    groups: Sequence[Group],
    lesson: Lesson,
    folder: Path,
    running: Step,
) -> dict[Layer, Amount]:
    """By closed form; a run that was killed goes on."""
    noted = folder / "amounts.json"
    if noted.is_file():
        amounts = [Amount(**each) for each in json.loads(noted.read_text())]
    else:
        amounts = _amounts(wanted, student, chosen, groups, lesson, folder)
        partial = noted.with_suffix(".partial")
        partial.write_text(json.dumps([asdict(each) for each in amounts]))
        partial.replace(noted)
    found = dict(zip(chosen, amounts, strict=True))
    settling = kept.Settling(student, len(chosen), folder)
    rest = {layer: found[layer] for layer in chosen[settling.first :]}
    if rest:
        some = lesson.some(MOMENT_SAMPLES)
        closed_form.shrink(student, rest, some, running, lambda: lesson.many(MANY), settling)
    return found


def _amounts(
    wanted: Wanted,
    student: Student,
    chosen: Sequence[Layer],
    groups: Sequence[Group],
    lesson: Lesson,
    folder: Path,
) -> list[Amount]:
    """What becomes of each layer."""
    some, gone = lesson.some(MOMENT_SAMPLES), {}
    if wanted.prune_channels:
        gone = channels.choose(
            student, groups, wanted.prune_channels, some, lesson.trials, lambda: lesson.many(MANY)
        )
        kept.note_gone(gone, folder)
    found = channels.amounts(chosen, gone)
    if wanted.prune:
        moments = student.moments([layer.name for layer in chosen if layer.has_inputs], some)
        stays = {layer.name: found[layer.name].stays(layer) for layer in chosen}
        ratios = sensitivity.ratios(student, chosen, moments, wanted.prune, lesson.trials, stays)
        found = {name: replace(each, ratio=ratios[name]) for name, each in found.items()}
    return [replace(found[layer.name], codes=wanted.codes) for layer in chosen]
