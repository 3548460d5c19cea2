"""Layer by layer, from the inputs to the outputs: each is pruned or given codes, and makes up for those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..events import Step
from ..spec import Array, Arrays
from . import alone, cluster, recover
from .sensitivity import change, problem
from .student import Hold, Layer, Student

PLACES = 4
"""So many places for every input of a layer tell its second moments well enough."""


@dataclass(frozen=True)
class Amount:
    """What becomes of a layer.

    Attributes:
        ratio: of its weights that go.
        codes: how many values those left may have; 0 for any.
    """

    ratio: float = 0.0
    codes: int = 0


def shrink(
    student: Student,
    amounts: Mapping[Layer, Amount],
    samples: Sequence[Arrays],
    step: Step,
    more: Callable[[], Iterable[Arrays]] | None = None,
) -> dict[str, Hold]:
    """Give the layers their amounts; what training must hold from now on.

    Args:
        amounts: in the order of the student's layers.
        more: many samples, for layers that see few places of each: behind a global pooling, one.
    """
    originals = {layer.name: student.weight(layer.name) for layer in amounts}
    holds = {}
    for layer, amount in step.track(amounts.items(), len(amounts)):
        if not layer.has_inputs:
            student.change(layer.name, _alone(originals[layer.name], amount))
            holds[layer.name] = held(student.weight(layer.name), amount)
            continue
        moments = student.moments([layer.name], samples)[layer.name]
        if more is not None and moments.count < PLACES * layer.shape[1]:
            moments = student.moments([layer.name], more())[layer.name]
        weight = _settled(problem(layer, originals[layer.name], moments), amount)
        change(student, layer, originals[layer.name], weight, moments)
        holds[layer.name] = held(weight, amount)
    return holds


def _settled(found: recover.Problem, amount: Amount) -> Array:
    weight = recover.pruned(found, amount.ratio) if amount.ratio else found.target
    if amount.codes:
        weight = recover.clustered(found, amount.codes, weight != 0 if amount.ratio else None)
    return weight


def _alone(weight: Array, amount: Amount) -> Array:
    if amount.ratio:
        weight = alone.pruned(weight, amount.ratio)
    if amount.codes:
        weight = alone.clustered(weight, amount.codes, weight != 0 if amount.ratio else None)
    return weight.astype(np.float32)


def held(weight: Array, amount: Amount) -> Hold:
    """The zeros of a weight, and its codes."""
    mask = weight != 0 if amount.ratio else None
    if not amount.codes:
        return Hold(mask)
    scales = cluster.channel_scales(weight)
    codes = np.unique(np.rint(weight / scales * cluster.STEPS)) / cluster.STEPS
    return Hold(mask, codes, scales)


def reach(student: Student, holds: Mapping[str, Hold]) -> None:
    """See that after learning every channel still has a code that int8 takes its scale from."""
    for name, hold in holds.items():
        if hold.codes is not None and hold.scales is not None:
            units = student.weight(name) / hold.scales
            student.change(name, (recover.reaching(units, units) * hold.scales).astype(np.float32))
