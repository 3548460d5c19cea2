"""What is tried before int8 is given up: each method stays only where it helps on calibration samples that it was not fitted to.

equalise   channels of activations share one step: quiet ones are made louder (equalise.py)
biases, rounding, centred rounding
           biases take up what the nearest codes are off; weights are rounded so that outputs change least (weights.py)
ranges     the integers of a tensor cover less than all its values (narrow.py)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import fmean

from edgepack import parity
from edgepack.events import Step
from edgepack.precision.notes import Note
from edgepack.spec import Array, Arrays, Precision
from edgepack.target import Artifact, Samples

from .calibrate import Ranges
from .equalise import equalised
from .flatbuffer import ModelView
from .logits import with_logits
from .narrow import narrowed
from .runtime import LiteRTRunner
from .weights import How, Moments, Rounded, moments, passed_over, rounded

FIT, CHECK = 48, 64
"""What takes long per sample is fitted to so many at most; so many measure what came of it."""

SHOWN = 3
"""So many layers that a method passed over are named."""

FEWEST = 8
CHECK_EVERY = 4
WORTH_DB = {"equalise": 0.1, "biases": 0.1, "rounding": 0.1, "centred rounding": 0.1, "ranges": 0.2}
"""What a method must gain on average over the outputs: cutting values off, more, as other samples have more to be cut."""

WORSE_DB, WORSE = 0.1, 1.25
"""What an output may lose by it, and by how much its greatest error may grow."""


@dataclass(frozen=True)
class State:
    """All that integers are made from.

    Attributes:
        float32: the file.
        layers: weights with a rounding of their own, by name.
        scales: of channels, by tensor, where the file computes them scaled.
    """

    float32: bytes
    ranges: Ranges
    layers: Mapping[str, Rounded] = field(default_factory=dict)
    scales: Mapping[str, Array] = field(default_factory=dict)

    @cached_property
    def view(self) -> ModelView:
        return ModelView(self.float32)


@dataclass(frozen=True)
class Workshop:
    """What the methods need.

    Attributes:
        emit: a state as a file of the precision that is to become better.
        measure: the ranges of a float file over all samples.
    """

    emit: Callable[[State], bytes]
    measure: Callable[[bytes], Ranges]
    precision: Precision
    samples: Samples


def improve(start: State, workshop: Workshop, step: Step) -> tuple[State, list[Note]]:
    """The best state that the methods lead to, and what each of them gave."""
    fit, check = _parts(workshop.samples)
    if (few := len(workshop.samples)) < FEWEST:
        step.detail = f"skipped: {few} calibration samples, {FEWEST} needed"
        return start, [Note("", "all", skipped=f"{few} calibration samples, {FEWEST} needed")]
    judge = _Judge(start, workshop, check)
    state, before, notes = start, judge.measure(start), list[Note]()
    first = before
    for name, method in _methods(workshop).items():
        step.tell(name, len(notes))
        candidate, found = method(state, fit, check)
        if candidate is state:
            continue
        after = judge.measure(candidate)
        helps = _helps(before, after, WORTH_DB[name])
        notes += [replace(note, kept=helps) for note in found]
        notes.append(Note("", name, _mean(before), _mean(after), kept=helps))
        if helps:
            state, before = candidate, after
    kept = [note.method for note in notes if not note.where and note.kept]
    step.detail = f"{_mean(first):.1f} to {_mean(before):.1f} dB" + (f" by {', '.join(kept)}" if kept else "")
    if unrounded := passed_over(start.float32):
        step.detail += f"; {len(unrounded)} layers are not for rounding"
    return state, [*notes, *_skipped(unrounded)]


def _skipped(unrounded: Mapping[str, str]) -> Iterator[Note]:
    """What rounding passed over: for every layer, and for each reason once."""
    for name, why in unrounded.items():
        yield Note(name, "rounding", skipped=why)
    for why in dict.fromkeys(unrounded.values()):
        names = [name for name, each in unrounded.items() if each == why]
        told = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        yield Note("", "rounding", skipped=f"{why}: {told}")


Method = Callable[[State, "Part", "Part"], tuple[State, list[Note]]]


def _methods(workshop: Workshop) -> dict[str, Method]:
    """In the order that they build on each other; activations of 16 bits need only the last."""

    def equalise(state: State, fit: Part, check: Part) -> tuple[State, list[Note]]:
        data, scales = equalised(state.float32, islice(fit, FIT))
        if not scales:
            return state, []
        return replace(state, float32=data, ranges=workshop.measure(data), scales=scales), []

    def ranges(state: State, fit: Part, check: Part) -> tuple[State, list[Note]]:
        narrow, notes = narrowed(state.float32, state.ranges, fit, check)
        return (replace(state, ranges=narrow), notes) if notes else (state, [])

    known: dict[bytes, Moments] = {}

    def weights(how: How) -> Method:
        def method(state: State, fit: Part, check: Part) -> tuple[State, list[Note]]:
            if state.float32 not in known:
                known[state.float32] = moments(state.float32, islice(fit, FIT))
            layers = rounded(state.float32, known[state.float32], how)
            return (replace(state, layers=layers), []) if layers else (state, [])

        return method

    ways: tuple[How, ...] = ("biases", "rounding", "centred rounding")
    found: dict[str, Method] = {way: weights(way) for way in ways}
    if workshop.precision == Precision.INT16X8:
        return found
    return {"equalise": equalise, **found, "ranges": ranges}


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


def _parts(samples: Samples) -> tuple[Part, Part]:
    """Those to fit to, and those to measure by: every fourth."""
    numbers = range(len(samples))
    check = [number for number in numbers if number % CHECK_EVERY == CHECK_EVERY - 1]
    fit = [number for number in numbers if number % CHECK_EVERY != CHECK_EVERY - 1]
    return Part(samples, fit), Part(samples, check[:CHECK])


@dataclass(frozen=True)
class Score:
    """How near an output is to the float file's.

    Attributes:
        mean_db: the SQNR of a sample, on average: no single sample decides what helps.
        whole_db, max_abs: over all samples, as parity has them.
    """

    mean_db: float
    whole_db: float
    max_abs: float


class _Judge:
    """Measures states against the float file's answers: at logits, where probabilities come of them.

    Where a class is certain, a softmax shows nothing of what went wrong before it.
    """

    def __init__(self, start: State, workshop: Workshop, check: Part) -> None:
        self._workshop, self._check = workshop, check
        runner = _open(with_logits(start.float32))
        self._golden = [runner(sample) for sample in check]

    def measure(self, state: State) -> dict[str, Score]:
        """How near the outputs are, by their names."""
        runner, whole = _open(with_logits(self._workshop.emit(state))), dict[str, parity.Meter]()
        each: dict[str, list[float]] = {}
        for sample, golden in zip(self._check, self._golden, strict=True):
            for name, answer in runner(sample).items():
                whole.setdefault(name, parity.Meter()).update(golden[name], answer)
                own = parity.Meter()
                own.update(golden[name], answer)
                each.setdefault(name, []).append(own.metrics.sqnr_db)
        return {
            name: Score(fmean(each[name]), meter.metrics.sqnr_db, meter.metrics.max_abs)
            for name, meter in whole.items()
        }


def _open(data: bytes) -> LiteRTRunner:
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        (Path(folder) / "model.tflite").write_bytes(data)
        return LiteRTRunner(Artifact(Path(folder), ("model.tflite",)))


def _mean(scores: Mapping[str, Score]) -> float:
    return fmean(score.mean_db for score in scores.values())


def _helps(before: Mapping[str, Score], after: Mapping[str, Score], worth: float) -> bool:
    pairs = [(before[name], after[name]) for name in before]
    sound = all(b.whole_db >= a.whole_db - WORSE_DB and b.max_abs <= WORSE * a.max_abs for a, b in pairs)
    return sound and _mean(after) - _mean(before) >= worth
