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
        rows: its outputs that nobody reads any more.
        columns: its inputs that it may not read any more.
    """

    ratio: float = 0.0
    codes: int = 0
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    def stays(self, layer: Layer) -> tuple[Array, Array]:
        """The rows and columns that are left, as indices."""
        rows, columns = (np.arange(size) for size in layer.shape)
        return np.setdiff1d(rows, self.rows), np.setdiff1d(columns, self.columns)


def shrink(
    student: Student,
    amounts: Mapping[Layer, Amount],
    samples: Sequence[Arrays],
    step: Step,
    more: Callable[[], Iterable[Arrays]] | None = None,
    settled: Callable[[int], object] = bool,
) -> dict[str, Hold]:
    """Give the layers their amounts; what training must hold from now on.

    Args:
        amounts: in the order of the student's layers, which are as the teacher's.
        more: many samples, for layers that see few places of each: behind a global pooling, one.
        settled: is told after each layer how many have their amount.
    """
    layers = {layer.name: layer for layer in amounts}
    originals = {name: student.weight(name) for name in layers}
    holds = {}
    for layer, amount in amounts.items():
        if not layer.has_inputs:
            student.change(layer.name, _alone(originals[layer.name], amount))
            holds[layer.name] = held(student.weight(layer.name), amount)
    walked = [layer.name for layer in amounts if layer.has_inputs]
    found = student.walk(walked, samples) if walked else ()
    for name, moments in step.track(found, len(walked)):
        layer, amount = layers[name], amounts[layers[name]]
        if more is not None and _sees_few(layer, moments):
            moments = student.moments([name], more())[name]
        whole = bool(amount.columns)
        weight = _settled(layer, problem(layer, originals[name], moments, whole), amount)
        change(student, layer, originals[name], weight, moments)
        holds[name] = held(weight, amount)
        settled(len(holds))
    return holds


def seen(
    student: Student,
    layers: Sequence[Layer],
    samples: Sequence[Arrays],
    more: Callable[[], Iterable[Arrays]] | None = None,
) -> dict[str, recover.Moments]:
    """The moments of layers' inputs; of ``more`` samples for those that see few places in ``samples``."""
    moments = student.moments([layer.name for layer in layers], samples)
    few = [layer.name for layer in layers if _sees_few(layer, moments[layer.name])]
    return moments | student.moments(few, more()) if few and more is not None else moments


def _sees_few(layer: Layer, moments: recover.Moments) -> bool:
    return moments.count < PLACES * layer.shape[1]


def _settled(layer: Layer, found: recover.Problem, amount: Amount) -> Array:
    rows, columns = amount.stays(layer)
    found = found.restricted(rows, columns)
    settled = recover.pruned(found, amount.ratio) if amount.ratio else found.target
    if amount.codes:
        settled = recover.clustered(found, amount.codes, settled != 0 if _has_zeros(amount) else None)
    weight = np.zeros(layer.shape)
    weight[np.ix_(rows, columns)] = settled
    return weight


def _alone(weight: Array, amount: Amount) -> Array:
    if amount.ratio:
        weight = alone.pruned(weight, amount.ratio)
    if amount.codes:
        weight = alone.clustered(weight, amount.codes, weight != 0 if amount.ratio else None)
    return weight.astype(np.float32)


def _has_zeros(amount: Amount) -> bool:
    return bool(amount.ratio or amount.rows or amount.columns)


def held(weight: Array, amount: Amount) -> Hold:
    """The zeros of a weight, and its codes."""
    mask = weight != 0 if _has_zeros(amount) else None
    if not amount.codes or (mask is not None and not mask.any()):
        return Hold(mask)  # what is all zeros has no values to hold to
    scales = cluster.channel_scales(weight)
    codes = np.unique(np.rint(weight / scales * cluster.STEPS)) / cluster.STEPS
    return Hold(mask, codes, scales)


def reach(student: Student, holds: Mapping[str, Hold]) -> None:
    """See that after learning every channel still has a code that int8 takes its scale from."""
    for name, hold in holds.items():
        if hold.codes is not None and hold.scales is not None:
            units = student.weight(name) / hold.scales
            student.change(name, (recover.reaching(units, units) * hold.scales).astype(np.float32))
