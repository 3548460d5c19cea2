"""Why a layer errs: its values and weights beside the integers that stand for them, in figures and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..spec import Array

BINS = 64
TAIL = 0.999
"""The share of values that a long tail is told from."""

FEW_BITS, LOUD_BITS = 2.0, 3.0
"""What a few great values, or one channel, must cost the others to be told: peaks of channels differ fourfold in any net."""

CLIPPED = 0.001
OWN_DB = 6.0
"""What rounds by itself to within so much of the whole error is its cause: half of it, or more."""


@dataclass(frozen=True)
class Grid:
    """The integers that a tensor's values are stored in: ``real = scale * (stored - zero_point)``.

    Attributes:
        scale: one for all values, [1], or one a channel, [channels].
        least, most: the smallest and the greatest integer.
        axis: of the channels.
    """

    scale: Array
    zero_point: int
    least: int
    most: int
    axis: int = -1

    @property
    def steps(self) -> int:
        return self.most - self.least + 1

    def codes(self, values: Array) -> Array:
        """The integers of real values, float64; those beyond the range are not cut off."""
        return np.rint(values / self._along(values)) + self.zero_point

    def real(self, codes: Array) -> Array:
        """What integers stand for, once they are cut off at the range."""
        cut = np.clip(codes, self.least, self.most)
        found: Array = (cut - self.zero_point) * self._along(codes)
        return found

    def _along(self, values: Array) -> Array:
        scale = self.scale.astype(np.float64)
        if scale.size == 1:
            return scale.reshape(())
        shape = [1] * values.ndim
        shape[self.axis] = -1
        return scale.reshape(shape)


@dataclass(frozen=True)
class Stored:
    """How an op's result and weights lie in an artifact.

    Attributes:
        result: the integers of its result; None where that is float.
        axis: of the result's channels.
        weights: its largest constant as real numbers, a row for every channel that it makes; None where it has none.
        codes: the integers of it, in the same shape; None where it is stored as float.
    """

    result: Grid | None = None
    axis: int = -1
    weights: Array | None = None
    codes: Array | None = None


@dataclass(frozen=True)
class Values:
    """What a layer gives in float, beside its grid.

    Attributes:
        low, high: the least and the greatest value.
        spread: how many times the peak of the median channel the greatest one's is; ``channel`` is its number.
        tail: how many times the greatest value is that below which ``TAIL`` of them stay.
        bars: how many values lie in each of ``BINS`` equal parts from low to high.
        limits: what the grid covers; None without one, as all that follows.
        scale, zero_point: of the grid; the coarsest scale, where channels differ.
        steps, used, reached: how many integers there are, occur, and lie between the least and the greatest that occur.
        clipped: the share of values beyond the limits.
        rounding_db: see ``rounding``.
        lost: bits that the steps of the median channel are coarser than its own values ask for, as a louder one shares them.
    """

    low: float
    high: float
    spread: float
    channel: int
    tail: float
    bars: tuple[int, ...]
    limits: tuple[float, float] | None = None
    scale: float = 0.0
    zero_point: int = 0
    steps: int = 0
    used: int = 0
    reached: int = 0
    clipped: float = 0.0
    rounding_db: float = math.inf
    lost: float = 0.0

    @property
    def wasted(self) -> int:
        """Bits of the grid that its values never need: its ends are further out than they."""
        return int(math.log2(self.steps / max(self.reached, 1))) if self.steps else 0


@dataclass(frozen=True)
class Weights:
    """A layer's weights beside their float originals.

    Attributes:
        sqnr_db: of the weights themselves; infinite where nothing is lost.
        spread: how many times the peak of the median row the greatest one's is.
        bars: how many of the integers lie in each of ``BINS`` parts of the range of their type; empty for floats.
        used, steps: how many different integers occur, and how many there are.
    """

    sqnr_db: float
    spread: float
    bars: tuple[int, ...] = ()
    used: int = 0
    steps: int = 0


def look(values: Array, stored: Stored) -> Values:
    """Measure the float values of a layer, any shape, at least one, against how the artifact stores them."""
    real, grid = values.astype(np.float64), stored.result
    low, high = float(real.min()), float(real.max())
    spread, channel = _spread(_rows(real, stored.axis))
    size = np.abs(real).ravel()
    bulk = float(np.quantile(size, TAIL)) if size.size >= 1 / (1 - TAIL) else float(size.max())
    bars, _ = np.histogram(real, BINS, (low, high) if high > low else (low - 0.5, low + 0.5))
    plain = Values(
        low, high, spread, channel, float(size.max()) / bulk if bulk else 1.0, tuple(map(int, bars))
    )
    if grid is None:
        return plain
    codes = grid.codes(real)
    inside = np.clip(codes, grid.least, grid.most)
    coarsest = float(grid.scale.max())
    return replace(
        plain,
        limits=(coarsest * (grid.least - grid.zero_point), coarsest * (grid.most - grid.zero_point)),
        scale=coarsest,
        zero_point=grid.zero_point,
        steps=grid.steps,
        used=len(np.unique(inside)),
        reached=int(inside.max() - inside.min()) + 1,
        clipped=float(np.mean(codes != inside)),
        rounding_db=rounding(real, grid),
        lost=0.0
        if _are_probabilities(real, grid.axis)
        else math.log2(_spread(_rows(codes - grid.zero_point, grid.axis))[0]),
    )


def rounding(values: Array, grid: Grid) -> float:
    """The SQNR in dB that storing exact values leaves: of all of them, or of the median channel where that is less.

    Of all values the greatest decide; a layer that reads them may need the quiet channels as much. Class probabilities may be
    small, so there only the whole counts.
    """
    whole, stored = values.astype(np.float64), grid.real(grid.codes(values))
    found = sqnr_db(whole, stored)
    if not whole.ndim or _are_probabilities(whole, grid.axis):
        return found
    rows, lossy = (
        np.moveaxis(each, grid.axis, 0).reshape(each.shape[grid.axis], -1) for each in (whole, stored)
    )
    signal, noise = np.sum(rows**2, axis=1), np.sum((rows - lossy) ** 2, axis=1)
    heard = signal > 0
    if not heard.any():
        return found
    worst = float(np.median(noise[heard] / signal[heard]))
    return min(found, -10 * math.log10(worst)) if worst else found


def weigh(float32: Array, stored: Stored) -> Weights | None:
    """Measure a layer's weights against their originals, of the same shape; None where there are no such."""
    if stored.weights is None or stored.weights.shape != float32.shape:
        return None
    spread, _ = _spread(float32.astype(np.float64))
    found = sqnr_db(float32, stored.weights)
    if stored.codes is None:
        return Weights(found, spread)
    type_ = np.iinfo(stored.codes.dtype)
    bars, _ = np.histogram(stored.codes, BINS, (type_.min, type_.max + 1))
    used = len(np.unique(stored.codes))
    return Weights(found, spread, tuple(map(int, bars)), used, int(type_.max) - int(type_.min) + 1)


def sqnr_db(exact: Array, stored: Array) -> float:
    """Signal to quantization noise in dB; infinite where nothing is lost."""
    exact = exact.astype(np.float64)
    noise, signal = float(np.sum((exact - stored) ** 2)), float(np.sum(exact**2))
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _are_probabilities(values: Array, axis: int) -> bool:
    """Of classes: of these the unlikely ones are small, and may be."""
    return bool(values.ndim and values.min() >= 0 and np.allclose(values.sum(axis), 1, atol=1e-3))


def _rows(values: Array, axis: int) -> Array:
    """A row for every channel."""
    return np.moveaxis(np.atleast_1d(values), axis, 0)


def _spread(rows: Array) -> tuple[float, int]:
    """The greatest peak of a row by that of the median one, and which it is; silent rows do not count."""
    peaks = np.abs(rows).reshape(len(rows), -1).max(axis=1)
    heard = peaks[peaks > 0]
    return (float(heard.max() / np.median(heard)), int(peaks.argmax())) if heard.size else (1.0, 0)


def cause(values: Values, weights: Weights | None, sqnr_db: float, before_db: float | None) -> str:
    """In words, why a layer's error is what it is.

    Args:
        sqnr_db: of the layer, with all that it inherits.
        before_db: of what it reads; None where that is an input of the model.
    """
    own = values.rounding_db <= sqnr_db + OWN_DB
    by_weights = weights is not None and weights.sqnr_db <= min(sqnr_db + OWN_DB, values.rounding_db)
    told = [f"output range {_number(values.low)} to {_number(values.high)}"]
    if own:
        told += _own(values) or [f"rounding it to {values.steps} steps leaves {values.rounding_db:.0f} dB"]
    if by_weights and weights is not None:
        told.append(f"its stored weights keep {weights.sqnr_db:.0f} dB of the original's")
    if own or by_weights:
        return "; ".join(told)
    if values.limits is not None:
        told.append(f"rounding alone would leave {_db(values.rounding_db)}")
    if weights is not None and weights.sqnr_db < math.inf:
        told.append(f"its weights keep {_db(weights.sqnr_db)}")
    told.append(_inherited(sqnr_db, before_db))
    return "; ".join(told)


def _own(values: Values) -> list[str]:
    """What is wrong with a grid for these values."""
    found = []
    if values.clipped >= CLIPPED and values.limits:
        low, high = map(_number, values.limits)
        found.append(f"{100 * values.clipped:.2g} % of its values are beyond {low} to {high} and cut off")
    if values.lost >= LOUD_BITS:
        found.append(
            f"channel {values.channel} has {_number(values.spread)}x the median one: "
            f"steps that fit it waste {values.lost:.0f} bits on the others"
        )
    elif (bits := math.log2(max(values.tail, 1.0))) >= FEW_BITS:
        found.append(
            f"its greatest value is {_number(values.tail)}x what {100 * TAIL:g} % stay below: "
            f"{bits:.0f} bits are spent on a few"
        )
    if values.wasted:
        found.append(f"only {values.reached} of {values.steps} steps are reached")
    return found


def _inherited(sqnr_db: float, before_db: float | None) -> str:
    if before_db is None:
        return "its input and its weights bring the error in"
    if before_db <= sqnr_db + OWN_DB:
        return "the error comes with what it reads"
    return f"the error grows here from {_db(before_db)} to {_db(sqnr_db)}: what is small in what it reads, or in its weights, counts"


def _db(value: float) -> str:
    return "next to all" if value >= 100 else f"{value:.0f} dB"


def _number(value: float) -> str:
    return f"{value:.3g}"
