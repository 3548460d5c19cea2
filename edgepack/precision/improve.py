"""What is tried before int8 is given up: a method stays only where it helps on calibration samples that it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean
from typing import TypeVar

from .. import parity
from ..events import Step
from ..spec import Arrays
from ..target import Samples
from .notes import Note

FIT, CHECK = 48, 64
"""What takes long per sample is fitted to so many at most; so many measure what came of it."""

FEWEST = 8
CHECK_EVERY = 4
WORTH_DB = {
    "equalise": 0.1,
    "biases": 0.1,
    "rounding": 0.1,
    "centred rounding": 0.1,
    "input": 0.0,
    "ranges": 0.2,
}
"""What a method must gain on average over the outputs: cutting values off, more, as other samples have more to be cut;
what saves ops, nothing."""

WORSE_DB, WORSE = 0.1, 1.25
"""What an output may lose by it, and by how much its greatest error may grow."""

SHOWN = 3
"""So many layers that a method passed over are named."""

State = TypeVar("State")
"""All that a target makes integers from."""

Answers = Callable[[Arrays], Arrays]
Method = Callable[[State, "Part", "Part"], tuple[State, list[Note]]]
"""A state, samples to fit to and samples to measure by: a better state, or the same where there is nothing to do; and what
it did to single tensors."""


class Part:
    """Some of the samples, read from where they lie whenever they are asked for: one in memory at a time."""

    def __init__(self, samples: Samples, numbers: Sequence[int]) -> None:
        self._samples, self._numbers = samples, frozenset(numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Arrays]:
        last = max(self._numbers, default=-1)
        for number, sample in enumerate(islice(self._samples, last + 1)):
            if number in self._numbers:
                yield sample


@dataclass(frozen=True)
class Score:
    """How near an output is to the float one's.

    Attributes:
        mean_db: the SQNR of a sample, on average: no single sample decides what helps.
        whole_db, max_abs: over all samples, as parity has them.
    """

    mean_db: float
    whole_db: float
    max_abs: float


def improve(
    start: State,
    methods: Mapping[str, Method[State]],
    samples: Samples,
    original: Callable[[], Answers],
    made: Callable[[State], Answers],
    unrounded: Mapping[str, str],
    step: Step,
) -> tuple[State, list[Note]]:
    """The best state that the methods lead to, tried in their order, and what each of them gave.

    Args:
        original: what gives the float answers; and ``made`` those of a state. Where probabilities come of logits, these:
            where a class is certain, a softmax shows nothing of what went wrong before it.
        unrounded: layers that rounding passes over, and why.
    """
    fit, check = _parts(samples)
    if (few := len(samples)) < FEWEST:
        step.detail = f"skipped: {few} calibration samples, {FEWEST} needed"
        return start, [Note("", "all", skipped=f"{few} calibration samples, {FEWEST} needed")]
    golden = list(map(original(), check))
    state, before, notes = start, _measured(made(start), check, golden), list[Note]()
    first = before
    for name, method in methods.items():
        step.tell(name, len(notes))
        candidate, found = method(state, fit, check)
        if candidate is state:
            continue
        after = _measured(made(candidate), check, golden)
        helps = _helps(before, after, WORTH_DB[name])
        notes += [replace(note, kept=helps) for note in found]
        notes.append(Note("", name, _mean(before), _mean(after), kept=helps))
        if helps:
            state, before = candidate, after
    kept = [note.method for note in notes if not note.where and note.kept]
    step.detail = f"{_mean(first):.1f} to {_mean(before):.1f} dB" + (f" by {', '.join(kept)}" if kept else "")
    return state, [*notes, *_skipped(unrounded, step)]


def _skipped(unrounded: Mapping[str, str], step: Step) -> Iterator[Note]:
    """What rounding passed over, layers and why: for every layer, and for each reason once."""
    if unrounded:
        step.detail += f"; {len(unrounded)} layers are not for rounding"
    for name, why in unrounded.items():
        yield Note(name, "rounding", skipped=why)
    for why in dict.fromkeys(unrounded.values()):
        names = [name for name, each in unrounded.items() if each == why]
        told = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        yield Note("", "rounding", skipped=f"{why}: {told}")


def _parts(samples: Samples) -> tuple[Part, Part]:
    """Those to fit to, and those to measure by: every fourth."""
    numbers = range(len(samples))
    check = [number for number in numbers if number % CHECK_EVERY == CHECK_EVERY - 1]
    fit = [number for number in numbers if number % CHECK_EVERY != CHECK_EVERY - 1]
    return Part(samples, fit), Part(samples, check[:CHECK])


def _measured(answers: Answers, samples: Iterable[Arrays], golden: Sequence[Arrays]) -> dict[str, Score]:
    """How near the outputs are, by their names."""
    whole, each = dict[str, parity.Meter](), dict[str, list[float]]()
    for sample, expected in zip(samples, golden, strict=True):
        for name, answer in answers(sample).items():
            whole.setdefault(name, parity.Meter()).update(expected[name], answer)
            own = parity.Meter()
            own.update(expected[name], answer)
            each.setdefault(name, []).append(own.metrics.sqnr_db)
    return {
        name: Score(fmean(each[name]), meter.metrics.sqnr_db, meter.metrics.max_abs)
        for name, meter in whole.items()
    }


def _mean(scores: Mapping[str, Score]) -> float:
    return fmean(score.mean_db for score in scores.values())


def _helps(before: Mapping[str, Score], after: Mapping[str, Score], worth: float) -> bool:
    pairs = [(before[name], after[name]) for name in before]
    sound = all(b.whole_db >= a.whole_db - WORSE_DB and b.max_abs <= WORSE * a.max_abs for a, b in pairs)
    return sound and _mean(after) - _mean(before) >= worth
