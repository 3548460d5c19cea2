"""Whole channels go: which ones, by how much the layers that read them mind, until enough multiplications are gone.

A layer that reads channels is a least squares problem (see recover); the error when a channel's columns go and the others
make up for them is that of Hassibi and Stork, Optimal Brain Surgeon, 1993, for several columns at once as in Frantar, Singh
and Alistarh, Optimal Brain Compression, 2022. That the layers which read a channel tell its worth is of Luo et al., ThiNet,
2017. How much of which group goes: see multiplications.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from ..errors import InternalError, ModelError
from ..events import warn
from ..spec import Array, Arrays
from . import multiplications, sensitivity
from .closed_form import Amount, seen
from .recover import Moments, Problem
from .student import Group, Layer, Student

WIDEST = 4608
"""Inputs of a layer (512 channels, 3x3), beyond which its problem takes too long; the channels that it reads stay."""

NAMED = 5
"""Of the layers that keep all their channels, so many are named."""

ROUNDS = 64
"""In so many rounds, at most, the channels of a group are put in order."""

CLOSE = 1e-4
"""How near the slim student's answers are to those before, relative to the largest."""


def open_to(student: Student, chosen: Iterable[Layer], keep: Sequence[str]) -> tuple[Group, ...]:
    """The groups that may lose channels: they run through no layer that is kept, and those that read them may change.

    Raises:
        ModelError: there are none.
    """
    names, widths = {layer.name for layer in chosen}, {layer.name: layer.shape[1] for layer in student.layers}
    found = tuple(
        group
        for group in student.groups()
        if group.columns.keys() <= names
        and not {*group.rows} & {*keep}
        and max(widths[name] for name in group.columns) <= WIDEST
    )
    if not found:
        raise ModelError(
            "No channels can be removed from this model: each runs into an operation that needs it, or into an output.",
            "Keep fewer layers; or make weights fewer in place of channels, with --prune or --cluster.",
        )
    losing = {name for group in found for name in group.rows}
    if stay := [layer.name for layer in student.layers if layer.name not in losing]:
        some = ", ".join(stay[:NAMED]) + (f" and {len(stay) - NAMED} more" if len(stay) > NAMED else "")
        warn(
            f"{len(stay)} of {len(student.layers)} layers keep all their channels, as an output or an operation needs them, "
            f"or a layer that is kept: {some}."
        )
    return found


def choose(
    student: Student,
    groups: Sequence[Group],
    share: float,
    samples: Sequence[Arrays],
    looks: Sequence[Arrays],
    more: Callable[[], Iterable[Arrays]],
) -> dict[Group, Array]:
    """The channels that go, by group: with them ``share`` of all multiplications, and as little else as can be.

    Args:
        groups: those that may lose channels.
        samples: some, to tell the moments of layers' inputs, and ``more`` as in closed_form.shrink.
        looks: to see how far the outputs move.

    Raises:
        GateError: not enough of them can go.
    """
    multiplications.check(student.layers, groups, share)
    reading = [layer for layer in student.layers if any(layer.name in each.columns for each in groups)]
    moments = seen(student, reading, samples, more)
    problems = {
        layer.name: sensitivity.problem(layer, student.weight(layer.name), moments[layer.name], whole=True)
        for layer in reading
    }
    taught = [student(inputs) for inputs in looks]
    orders, costs = [], []
    for group in groups:
        order, errors = in_order(group, problems)
        probe = max(1, round(share * group.size))
        with _without(student, group, order[:probe], problems, moments):
            moved = sensitivity.distance((student(inputs) for inputs in looks), taught)
        orders.append(order)
        costs.append(errors * moved / max(errors[probe], 1e-12))
    counts = multiplications.spend(student.layers, groups, costs, share)
    return {group: np.sort(order[:count]) for group, order, count in zip(groups, orders, counts, strict=True)}


def amounts(layers: Sequence[Layer], gone: Mapping[Group, Array]) -> dict[str, Amount]:
    """What of the layers goes with the channels."""

    def indices(parts: Iterable[tuple[Mapping[str, Array], Array]], name: str) -> tuple[int, ...]:
        return tuple(
            index for own, channels in parts if name in own for index in own[name][channels].ravel().tolist()
        )

    rows = [(group.rows, channels) for group, channels in gone.items()]
    columns = [(group.columns, channels) for group, channels in gone.items()]
    return {
        layer.name: Amount(rows=indices(rows, layer.name), columns=indices(columns, layer.name))
        for layer in layers
    }


def slim(student: Student, gone: Mapping[Group, Array], looks: Sequence[Arrays]) -> None:
    """Remove channels that no layer reads any more. Raises InternalError where the answers tell that one did."""
    before = [student(inputs) for inputs in looks]
    student.slim(gone)
    for wanted, own in zip(before, (student(inputs) for inputs in looks), strict=True):
        for name, value in wanted.items():
            off = np.abs(own[name].astype(float) - value).max(initial=0)
            if not off <= CLOSE * max(np.abs(value.astype(float)).max(initial=0), 1e-6):
                raise InternalError(
                    f"Without channels that nothing should read, the output '{name}' is another by {off:.2g}.",
                    "Please report this model; it can be built with --prune in place of --prune-channels.",
                )


def in_order(group: Group, problems: Mapping[str, Problem]) -> tuple[Array, Array]:
    """(the channels, those that are missed least first; the error when so many of them are gone, [channels + 1]).

    The error is relative to the outputs of the layers that read the group, and summed over these.
    """
    readers = [_Reader(problems[name], columns) for name, columns in group.columns.items()]
    left, order, errors = np.arange(group.size), [], [0.0]
    at_once = -(-group.size // ROUNDS)
    while len(left):
        scores = sum(reader.scores(left) for reader in readers)
        chosen = left[np.argsort(scores, kind="stable")[:at_once]]
        errors.append(errors[-1] + sum(reader.remove(chosen) for reader in readers))
        order.extend(chosen.tolist())
        left = np.setdiff1d(left, chosen)
    counts = np.minimum(np.arange(len(errors)) * at_once, group.size)
    return np.array(order), np.interp(np.arange(group.size + 1), counts, errors)


class _Reader:
    """A layer that loses channels one after the other.

    Args:
        columns: of every channel, [channels, n].
    """

    def __init__(self, problem: Problem, columns: Array) -> None:
        self._weight, self._inverse = problem.target.copy(), problem.inverse.copy()
        self._energy, self._columns = problem.energy, columns

    def scores(self, channels: Array) -> Array:
        """By how much the error grows when one of these goes, [channels]."""
        columns = self._columns[channels]
        pivots = self._inverse[columns[:, :, None], columns[:, None, :]]
        weights = self._weight[:, columns].transpose(1, 2, 0)
        found: Array = np.sum(weights * np.linalg.solve(pivots, weights), axis=(1, 2)) / self._energy
        return found

    def remove(self, channels: Array) -> float:
        """Together; by how much the error grows."""
        columns = self._columns[channels].ravel()
        weights, rows = self._weight[:, columns], self._inverse[columns]
        solved = np.linalg.solve(rows[:, columns], np.concatenate([weights.T, rows], axis=1))
        error = float(np.sum(weights.T * solved[:, : len(weights)])) / self._energy
        self._weight -= weights @ solved[:, len(weights) :]
        self._inverse -= rows.T @ solved[:, len(weights) :]
        return error


@contextmanager
def _without(
    student: Student,
    group: Group,
    channels: Array,
    problems: Mapping[str, Problem],
    moments: Mapping[str, Moments],
) -> Iterator[None]:
    """Meanwhile no layer reads these channels, and each does as well without as it can."""
    layers = {layer.name: layer for layer in student.layers}
    originals = {name: student.weight(name) for name in group.columns}
    changed = {}
    for name, columns in group.columns.items():
        rows, own = Amount(columns=tuple(columns[channels].ravel())).stays(layers[name])
        changed[name] = np.zeros(layers[name].shape)
        changed[name][:, own] = problems[name].restricted(rows, own).target
        sensitivity.change(student, layers[name], originals[name], changed[name], moments[name])
    try:
        yield
    finally:
        for name, original in originals.items():
            sensitivity.change(student, layers[name], changed[name], original, moments[name])
