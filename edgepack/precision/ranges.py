"""The range of a tensor's values that its integers are to cover: narrower than all of it where few values pay for many.

percentile  all but a ten-thousandth
mse         least squared error: rounding of those inside, cutting off of those outside (Banner et al., Post Training
            4-bit Quantization, 2019)
entropy     least information lost, as a distribution: Migacz, 8-bit Inference with TensorRT, 2017
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..spec import Array, Arrays
from .notes import Note

BINS = 2048
TRIES = 64
"""How many narrower ranges are tried, from the whole down to a fifth of it."""

LEAST = 0.2
BEYOND = 1e-4

WORTH_DB = 1.0
"""What a tensor must gain."""

VALUES = 16384
"""Of a tensor of one sample, which are counted."""

Range = tuple[float, float]
See = Callable[[str, Array], None]
Observe = Callable[[Iterable[Arrays], Iterable[str], See], None]
"""Runs a float model over samples, and shows what tensors hold, by name."""


@dataclass
class Histogram:
    """How often values fall into ``BINS`` equal parts of a range that is known beforehand."""

    low: float
    high: float

    def __post_init__(self) -> None:
        self.counts: Array = np.zeros(BINS, np.int64)

    @property
    def centres(self) -> Array:
        """The middle of every part, [bins]."""
        width = (self.high - self.low) / BINS
        return self.low + width * (np.arange(BINS) + 0.5)

    def see(self, values: Array) -> None:
        scale = BINS / max(self.high - self.low, 1e-30)
        parts = ((values.ravel() - self.low) * scale).astype(np.int32)
        self.counts += np.bincount(np.clip(parts, 0, BINS - 1), minlength=BINS)


def narrowed(
    observe: Observe, edges: Mapping[str, Range], fit: Iterable[Arrays], check: Iterable[Arrays]
) -> tuple[dict[str, Range], list[Note]]:
    """Ranges narrower than these of whole tensors, where that errs less on samples that they were not fitted to.

    Args:
        edges: the least and the greatest value of each, zero among them.
    """
    wide = {name: limits for name, limits in edges.items() if limits[0] < limits[1]}
    fitted, other = (_histograms(observe, wide, samples) for samples in (fit, check))
    found, notes = dict[str, Range](), []
    for name, whole in wide.items():
        method, limits, gain = best(fitted[name], other[name])
        if gain >= WORTH_DB:
            found[name] = float(limits[0]), float(limits[1])
            before = 10 * np.log10(_power(other[name]) / max(noise(other[name], whole, 256), 1e-30))
            notes.append(Note(name, method, float(before), float(before) + gain))
    return found, notes


def _histograms(
    observe: Observe, edges: Mapping[str, Range], samples: Iterable[Arrays]
) -> dict[str, Histogram]:
    found = {name: Histogram(*limits) for name, limits in edges.items()}
    observe(samples, found, lambda name, values: found[name].see(_some(values)))
    return found


def _some(values: Array) -> Array:
    """Values of all over a tensor, at most ``VALUES``; the step has no factor in common with what a row or a channel has."""
    flat = values.ravel()
    step = max(1, flat.size // VALUES) | 1
    return flat[::step]


def _power(seen: Histogram) -> float:
    """The mean square of what was counted."""
    return max(float(np.sum(seen.counts * seen.centres**2) / max(int(seen.counts.sum()), 1)), 1e-30)


def candidates(seen: Histogram, levels: int = 256) -> dict[str, Range]:
    """Ranges by the name of the method; all include zero, as integers must."""
    tries = [(seen.low * part, seen.high * part) for part in np.linspace(1, LEAST, TRIES)]
    squared = min(tries, key=lambda each: noise(seen, each, levels))
    entropy = min(tries, key=lambda each: divergence(seen, each, levels // 2))
    return {"percentile": _percentile(seen), "mse": squared, "entropy": entropy}


def best(fitted: Histogram, other: Histogram, levels: int = 256) -> tuple[str, Range, float]:
    """The method whose range, fitted to some samples, errs least on others; its range; and by how many dB less than all of it.

    ``min-max``, the whole range and 0, where none is better.
    """
    whole = (fitted.low, fitted.high)
    found: Mapping[str, Range] = {"min-max": whole, **candidates(fitted, levels)}
    name = min(found, key=lambda each: noise(other, found[each], levels))
    gain = 10 * np.log10(
        max(noise(other, whole, levels), 1e-30) / max(noise(other, found[name], levels), 1e-30)
    )
    return name, found[name], float(gain)


def noise(seen: Histogram, limits: Range, levels: int) -> float:
    """The mean squared error of integers over a range: d^2/12 inside, all that is beyond it outside."""
    low, high = limits
    centres, step = seen.centres, (high - low) / (levels - 1)
    beyond = np.maximum(low - centres, 0) + np.maximum(centres - high, 0)
    errors = np.where(beyond > 0, beyond**2, step**2 / 12)
    return float(np.sum(seen.counts * errors) / max(int(seen.counts.sum()), 1))


def divergence(seen: Histogram, limits: Range, levels: int) -> float:
    """The Kullback-Leibler divergence of what is left when values are cut off and put into ``levels`` parts."""
    low, high = limits
    centres = seen.centres
    inside = (centres >= low) & (centres <= high)
    counts = seen.counts.astype(np.float64)
    kept = counts[inside]
    if not kept.sum():
        return float("inf")
    reference = kept.copy()
    reference[0] += counts[centres < low].sum()
    reference[-1] += counts[centres > high].sum()
    parts = (np.arange(len(kept)) * levels // len(kept)).astype(np.int64)
    used = np.bincount(parts, kept > 0, levels)
    spread = (np.bincount(parts, kept, levels) / np.maximum(used, 1))[parts] * (kept > 0)
    p, q = reference / reference.sum(), spread / spread.sum()
    both = (p > 0) & (q > 0)
    lost = (
        float(np.sum(p[(p > 0) & (q == 0)])) * 20
    )  # cut off where nothing was: as good as infinitely unlikely
    return float(np.sum(p[both] * np.log(p[both] / q[both]))) + lost


def _percentile(seen: Histogram) -> Range:
    share = np.cumsum(seen.counts) / max(int(seen.counts.sum()), 1)
    width = (seen.high - seen.low) / BINS
    low = seen.low + width * int(np.searchsorted(share, BEYOND))
    high = seen.low + width * (int(np.searchsorted(share, 1 - BEYOND)) + 1)
    return min(low, 0.0), max(high, 0.0)
