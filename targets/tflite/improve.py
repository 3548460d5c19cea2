"""What is tried before int8 is given up: each method stays only where it helps on calibration samples that it was not fitted to.

equalise   channels of activations share one step: quiet ones are made louder (equalise.py)
ranges     the integers of a tensor cover less than all its values (narrow.py)
rounding   weights are rounded so that outputs change least, biases take up the rest (weights.py)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from edgepack import parity
from edgepack.events import Step
from edgepack.precision.notes import Note
from edgepack.spec import Array, Arrays, Precision
from edgepack.target import Artifact, Samples

from .calibrate import Ranges
from .equalise import equalised
from .flatbuffer import ModelView
from .narrow import narrowed
from .runtime import LiteRTRunner
from .weights import Rounded, rounded

FIT, CHECK = 48, 64
"""What takes long per sample is fitted to so many at most; so many measure what came of it."""

FEWEST = 8
CHECK_EVERY = 4
WORTH_DB = {"equalise": 0.1, "ranges": 0.3, "rounding": 0.1}
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
    return state, notes


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

    def rounding(state: State, fit: Part, check: Part) -> tuple[State, list[Note]]:
        layers = rounded(state.float32, islice(fit, FIT))
        return (replace(state, layers=layers), []) if layers else (state, [])

    if workshop.precision == Precision.INT16X8:
        return {"rounding": rounding}
    return {"equalise": equalise, "ranges": ranges, "rounding": rounding}


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


class _Judge:
    """Measures states against the float file's answers."""

    def __init__(self, start: State, workshop: Workshop, check: Part) -> None:
        self._workshop, self._check = workshop, check
        runner = _open(start.float32)
        self._golden = [runner(sample) for sample in check]

    def measure(self, state: State) -> dict[str, parity.Metrics]:
        return parity.measure(_open(self._workshop.emit(state)), self._check, self._golden)


def _open(data: bytes) -> LiteRTRunner:
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        (Path(folder) / "model.tflite").write_bytes(data)
        return LiteRTRunner(Artifact(Path(folder), ("model.tflite",)))


def _mean(outputs: Mapping[str, parity.Metrics]) -> float:
    return sum(metrics.sqnr_db for metrics in outputs.values()) / len(outputs)


def _helps(before: Mapping[str, parity.Metrics], after: Mapping[str, parity.Metrics], worth: float) -> bool:
    pairs = [(before[name], after[name]) for name in before]
    sound = all(b.sqnr_db >= a.sqnr_db - WORSE_DB and b.max_abs <= WORSE * a.max_abs for a, b in pairs)
    return sound and _mean(after) - _mean(before) >= worth
