"""The methods of edgepack.precision.improve, for a graph.

equalise   channels of activations share one step: quiet ones are made louder (equalise.py)
biases, rounding, centred rounding
           biases take up what the nearest codes are off; weights are rounded so that outputs change least (rounding.py)
ranges     the integers of a tensor cover less than all its values (ranges.py)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from torch.fx import GraphModule

from edgepack.events import Step
from edgepack.precision import improve as methods
from edgepack.precision.improve import FIT, Method, Part
from edgepack.precision.notes import Note
from edgepack.precision.rounding import How, Inputs
from edgepack.spec import Signature
from edgepack.target import Samples

from .equalise import equalised
from .kernels import Limits
from .logits import computed, logits
from .ranges import Ranges, narrowed
from .rounding import Rounded, moments, passed_over, rounded
from .runtime import LiteRunner
from .scaled import Scaled
from .scales import fit as fit_scales
from .writer import write


@dataclass(frozen=True)
class State:
    """All that integers are made from.

    Attributes:
        layers: weights with a rounding of their own, by the node's name.
        scaled: where the graph computes with scaled channels.
    """

    module: GraphModule
    ranges: Ranges
    layers: Mapping[str, Rounded] = field(default_factory=dict)
    scaled: tuple[Scaled, ...] = ()


@dataclass(frozen=True)
class Workshop:
    """What the methods need.

    Attributes:
        emit: a state as a file that gives logits.
        measure: the ranges of a graph over all samples.
    """

    emit: Callable[[State], bytes]
    measure: Callable[[GraphModule], Ranges]
    signature: Signature
    limits: Limits
    samples: Samples


def improve(start: State, workshop: Workshop, step: Step) -> tuple[State, list[Note]]:
    """The best state that the methods lead to, and what each of them gave."""
    return methods.improve(
        start,
        _methods(workshop),
        workshop.samples,
        lambda: computed(start.module, workshop.signature, logits(start.module)),
        lambda candidate: _open(workshop.emit(candidate)),
        passed_over(start.module, workshop.limits),
        step,
    )


def _methods(workshop: Workshop) -> dict[str, Method[State]]:
    """In the order that they build on each other."""
    signature, limits = workshop.signature, workshop.limits

    def equalise(state: State, fit: Part, check: Part) -> tuple[State, list[Note]]:
        module, scaled = equalised(state.module, signature, islice(fit, FIT))
        if not scaled:
            return state, []
        return replace(state, module=module, ranges=workshop.measure(module), scaled=scaled), []

    def ranges(state: State, fit: Part, check: Part) -> tuple[State, list[Note]]:
        narrow, notes = narrowed(state.module, signature, state.ranges, fit, check)
        fit_scales(state.module, limits, narrow)
        return (replace(state, ranges=narrow), notes) if notes else (state, [])

    known: dict[GraphModule, dict[str, Inputs]] = {}

    def weights(how: How) -> Method[State]:
        def method(state: State, fit: Part, check: Part) -> tuple[State, list[Note]]:
            if state.module not in known:
                known[state.module] = moments(state.module, signature, limits, islice(fit, FIT))
            layers = rounded(state.module, known[state.module], how)
            return (replace(state, layers=layers), []) if layers else (state, [])

        return method

    ways: tuple[How, ...] = ("biases", "rounding", "centred rounding")
    return {"equalise": equalise, **{way: weights(way) for way in ways}, "ranges": ranges}


def _open(data: bytes) -> LiteRunner:
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        return LiteRunner(write(data, Path(folder)))
