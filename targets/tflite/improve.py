"""The methods of edgepack.precision.improve, for a float .tflite.

equalise   channels of activations share one step: quiet ones are made louder (equalise.py)
biases, rounding, centred rounding
           biases take up what the nearest codes are off; weights are rounded so that outputs change least (weights.py)
input      the first convolution takes up the input's normalisation (inputs.py)
ranges     the integers of a tensor cover less than all its values (narrow.py)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from edgepack.events import Step
from edgepack.precision import improve as methods
from edgepack.precision.improve import FIT, Method, Part
from edgepack.precision.notes import Note
from edgepack.precision.rounding import How
from edgepack.spec import Array, Precision
from edgepack.target import Artifact, Samples

from .calibrate import Ranges
from .equalise import equalised
from .flatbuffer import ModelView
from .inputs import folded
from .logits import with_logits
from .narrow import narrowed
from .runtime import LiteRTRunner
from .weights import Moments, Rounded, moments, passed_over, rounded


@dataclass(frozen=True)
class State:
    """All that integers are made from.

    Attributes:
        float32: the file.
        layers: weights with a rounding of their own, by name; and ``how`` they were rounded.
        scales: of channels, by tensor, where the file computes them scaled.
    """

    float32: bytes
    ranges: Ranges
    layers: Mapping[str, Rounded] = field(default_factory=dict)
    how: How = "biases"
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
    return methods.improve(
        start,
        _methods(workshop),
        workshop.samples,
        lambda: _open(with_logits(start.float32)),
        lambda candidate: _open(with_logits(workshop.emit(candidate))),
        passed_over(start.float32),
        step,
    )


def _methods(workshop: Workshop) -> dict[str, Method[State]]:
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

    def weights(how: How) -> Method[State]:
        def method(state: State, fit: Part, check: Part) -> tuple[State, list[Note]]:
            if state.float32 not in known:
                known[state.float32] = moments(state.float32, islice(fit, FIT))
            layers = rounded(state.float32, known[state.float32], how)
            return (replace(state, layers=layers, how=how), []) if layers else (state, [])

        return method

    def take_up(state: State, fit: Part, check: Part) -> tuple[State, list[Note]]:
        data, names = folded(state.float32)
        if not names:
            return state, []
        seen = moments(data, islice(fit, FIT), names)  # what all others read stays as it is
        return replace(state, float32=data, layers={**state.layers, **rounded(data, seen, state.how)}), []

    ways: tuple[How, ...] = ("biases", "rounding", "centred rounding")
    found: dict[str, Method[State]] = {way: weights(way) for way in ways}
    if workshop.precision == Precision.INT16X8:
        return found
    return {"equalise": equalise, **found, "input": take_up, "ranges": ranges}


def _open(data: bytes) -> LiteRTRunner:
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        (Path(folder) / "model.tflite").write_bytes(data)
        return LiteRTRunner(Artifact(Path(folder), ("model.tflite",)))
