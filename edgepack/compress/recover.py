"""What is left of a layer makes up for what went: closed form, from second moments of its inputs.

A layer is to give the teacher's outputs ``W x_t`` on the student's own inputs ``x``. With ``H = E[x x'] + r I`` and
``T = (W E[x_t x'] + r W) / H``, the squared error of weights V, kept near W by the ridge r, is ``(V - T) H (V - T)'`` and a
constant: all that is done to the layer is done to T, under the metric H.

    masked     the best weights on a given support: least squares
    in_columns one column after the other is settled, and those to come make up for its error:
               Frantar and Alistarh, SparseGPT, 2023 (zeros), and Frantar et al., GPTQ, 2023 (codes)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..spec import Array
from . import cluster, prune

BLOCK = 16
"""Columns that choose their zeros together. Fewer choose better, as weights have taken up the errors of the columns before."""

EXACT = 1e-5
"""Of its gradient's norm at zero, what is left in a row that counts as solved."""


@dataclass(frozen=True)
class Moments:
    """Means over positions of a layer's inputs: x those of the student, t those of the teacher.

    Attributes:
        gram: E[x x'], [in, in].
        cross: E[t x'], [in, in].
        mean: E[x], [in].
        target: E[t], [in].
        count: of positions.
    """

    gram: Array
    cross: Array
    mean: Array
    target: Array
    count: int


class Sums:
    """Adds up moments, stack by stack."""

    def __init__(self) -> None:
        self._sums: tuple[Array, ...] = ()
        self._count = 0

    def add(self, own: Array, taught: Array) -> None:
        """Inputs of the student and of the teacher at the same places, [places, in]."""
        parts = (own.T @ own, taught.T @ own, own.sum(0), taught.sum(0))
        terms = tuple(part.astype(np.float64) for part in parts)
        self._sums = tuple(a + b for a, b in zip(self._sums, terms, strict=True)) if self._sums else terms
        self._count += len(own)

    def moments(self) -> Moments:
        gram, cross, mean, target = (each / self._count for each in self._sums)
        return Moments(gram, cross, mean, target, self._count)


@dataclass(frozen=True)
class Problem:
    """A layer's weights as a least squares problem.

    Attributes:
        target: T, [out, in].
        hessian: H, [in, in], positive definite.
    """

    target: Array
    hessian: Array

    @classmethod
    def of(cls, weight: Array, moments: Moments, ridge: float, has_bias: bool) -> Problem:
        """Of the original weights [out, in]; with a bias that takes up the mean (see ``shift``), where the layer has one.

        Args:
            ridge: relative to the mean square of an input.
        """
        gram, cross = moments.gram.astype(np.float64), moments.cross.astype(np.float64)
        if has_bias:
            gram = gram - np.outer(moments.mean, moments.mean)
            cross = cross - np.outer(moments.target, moments.mean)
        strength = max(ridge * float(np.mean(np.diag(gram))), 1e-12)
        hessian = gram + strength * np.eye(len(gram))
        wanted = weight.astype(np.float64) @ (cross + strength * np.eye(len(gram)))
        return cls(np.linalg.solve(hessian, wanted.T).T, hessian)

    @cached_property
    def inverse(self) -> Array:
        """Of H."""
        found: Array = np.linalg.inv(self.hessian)
        return found

    def restricted(self, rows: Array, columns: Array) -> Problem:
        """The best weights of some outputs, on some of the inputs alone: indices."""
        if len(columns) == len(self.hessian):
            return Problem(self.target[rows], self.hessian)
        hessian = self.hessian[np.ix_(columns, columns)]
        wanted = self.target[rows] @ self.hessian[:, columns]
        return Problem(np.linalg.solve(hessian, wanted.T).T, hessian)

    def error(self, weight: Array) -> float:
        """The squared error of the layer's output that weights add to the best possible."""
        off = weight - self.target
        return float(np.sum((off @ self.hessian) * off))

    @property
    def energy(self) -> float:
        """The squared output of the best weights, to hold errors against."""
        return max(float(np.sum((self.target @ self.hessian) * self.target)), 1e-30)


def shift(original: Array, weight: Array, moments: Moments) -> Array:
    """What to add to the bias so that the mean output is the teacher's, [out]: Nagel et al., Data-Free Quantization, 2019."""
    moved: Array = original @ moments.target - weight @ moments.mean
    return moved


def masked(problem: Problem, mask: Array, start: Array | None = None) -> Array:
    """The best weights that are zero where the mask, [out, in], is False.

    All rows at once, by conjugate gradients: Hestenes and Stiefel, 1952. A row's own matrix is that of its support; the
    inverse of H, cut to it, is so near to its inverse that some ten rounds do where a solution costs ``in`` cubed a row.

    Args:
        start: some weights, the nearer the better.
    """
    keep = mask.astype(np.float64)
    found = np.zeros_like(problem.target) if start is None else start * keep
    rest = ((problem.target - found) @ problem.hessian) * keep
    enough = EXACT * np.linalg.norm((problem.target @ problem.hessian) * keep, axis=1, keepdims=True)
    downhill = direction = (rest @ problem.inverse) * keep
    slope = _dots(rest, downhill)
    for _ in range(4 * mask.shape[1]):
        going = (np.linalg.norm(rest, axis=1, keepdims=True) > enough) & (slope > 0)
        if not going.any():
            break
        along = (direction @ problem.hessian) * keep
        step = np.divide(slope, _dots(direction, along), out=np.zeros_like(slope), where=going)
        found += step * direction
        rest -= step * along
        downhill = (rest @ problem.inverse) * keep
        before, slope = slope, _dots(rest, downhill)
        direction = downhill + direction * np.divide(slope, before, out=np.zeros_like(slope), where=going)
    return found


def _dots(some: Array, other: Array) -> Array:
    """Row by row, [out, 1]."""
    return np.asarray(np.sum(some * other, axis=1, keepdims=True))


def pruned(problem: Problem, ratio: float) -> Array:
    """The best weights with the share ``ratio`` of them zero; which ones is decided while the columns are settled."""
    chosen = prune.mask(prune.saliency(problem.target, problem.inverse), ratio)

    def settle(block: Array, first: int, pivots: Array) -> Callable[[Array, int], Array]:
        own = chosen[
            :, first : first + block.shape[1]
        ]  # how many go is known by now, which ones is decided anew
        own[:] = prune.mask((block / pivots) ** 2, 1 - float(own.mean()))
        return lambda column, index: column * chosen[:, first + index]

    settled = in_columns(problem.target, problem.inverse, settle)
    return masked(problem, chosen, settled)


def clustered(problem: Problem, count: int, mask: Array | None = None) -> Array:
    """Weights of at most ``count`` codes times a scale a channel (see cluster); zero where the mask is False."""
    start = problem.target if mask is None else masked(problem, mask)
    scales = cluster.channel_scales(start)
    importance = scales**2 * (1 / np.diag(problem.inverse))
    codes = cluster.codebook(start / scales, max(count, 4), np.broadcast_to(importance, start.shape))
    nonzero = codes[codes != 0] if mask is not None else codes

    def settle(block: Array, first: int, pivots: Array) -> Callable[[Array, int], Array]:
        def code(column: Array, index: int) -> Array:
            units = np.clip(column / scales[:, 0], -1, 1)
            settled: Array = nonzero[cluster.nearest(units, nonzero)] * scales[:, 0]
            return settled if mask is None else settled * mask[:, first + index]

        return code

    found = in_columns(start, problem.inverse, settle)
    return reaching(found / scales, start / scales) * scales


def reaching(units: Array, start: Array) -> Array:
    """With -1 or 1 in every channel, where its largest weight was: int8 takes the channel's scale from it."""
    units = units.copy()
    largest = np.abs(start).argmax(axis=1)
    rows = np.flatnonzero(np.abs(units).max(axis=1) < 1)
    rows = rows[start[rows, largest[rows]] != 0]
    units[rows, largest[rows]] = np.sign(start[rows, largest[rows]])
    return units


def in_columns(
    start: Array,
    inverse: Array,
    settle: Callable[[Array, int, Array], Callable[[Array, int], Array]],
    block: int = BLOCK,
) -> Array:
    """Settle the columns of weights [out, in] one by one, and let those to come make up for the error.

    Args:
        inverse: of the metric H, [in, in].
        settle: of the present weights of some columns [out, n], the first one's index, and their pivots [n] (the square
            roots of the remaining inverse's diagonal), makes the function that settles a column [out] of these.
    """
    weight = start.copy()
    upper = np.linalg.cholesky(inverse).T
    size = weight.shape[1]
    for first in range(0, size, block):
        last = min(first + block, size)
        own = upper[first:last, first:last]
        settled = settle(weight[:, first:last], first, np.diag(own))
        errors = np.empty((len(weight), last - first))
        for index in range(last - first):
            column = weight[:, first + index].copy()
            weight[:, first + index] = settled(column, index)
            errors[:, index] = (column - weight[:, first + index]) / own[index, index]
            weight[:, first + index + 1 : last] -= np.outer(errors[:, index], own[index, index + 1 :])
        weight[:, last:] -= errors @ upper[first:last, last:]
    return weight
