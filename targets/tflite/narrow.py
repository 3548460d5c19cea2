"""Ranges narrower than the least and the greatest value, tensor by tensor (see edgepack.precision.ranges)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgepack.precision.notes import Note
from edgepack.precision.ranges import Histogram, best, noise
from edgepack.spec import Array, Arrays

from .calibrate import Ranges
from .flatbuffer import ModelView
from .observe import activations, observe

WORTH_DB = 1.0
"""What a tensor must gain."""

MAKERS = {
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "ADD", "SUB", "MUL", "BATCH_MATMUL", "MEAN", "SUM",
    "HARD_SWISH", "GELU", "LEAKY_RELU", "PRELU",
}  # fmt: skip
"""Ops whose results have a scale of their own; what moves values about has that of its input."""


VALUES = 16384
"""Of a tensor of one sample, which are counted."""


def narrowed(
    data: bytes, ranges: Ranges, fit: Iterable[Arrays], check: Iterable[Arrays]
) -> tuple[Ranges, list[Note]]:
    """The ranges, narrower where that errs less on samples that it was not fitted to; and a note for each of these."""
    view = ModelView(data)
    outputs = set(view.outputs(0))
    made = {op.outputs[0] for op in view.ops if op.subgraph == 0 and op.kind in MAKERS} - outputs
    edges = {
        index: _edges(ranges, view.tensor_name(0, index)) for index in activations(view) if index in made
    }
    wide = {index: limits for index, limits in edges.items() if limits[0] < limits[1]}
    fitted, other = _histograms(data, wide, fit), _histograms(data, wide, check)
    found, notes = dict(ranges), []
    for index in wide:
        method, limits, gain = best(fitted[index], other[index])
        if gain < WORTH_DB:
            continue
        name = view.tensor_name(0, index)
        found[name] = {
            edge: np.full_like(ranges[name][edge], value)
            for edge, value in zip(("min", "max"), limits, strict=True)
        }
        whole = 10 * np.log10(_power(other[index]) / max(noise(other[index], wide[index], 256), 1e-30))
        notes.append(Note(name, method, float(whole), float(whole) + gain))
    return found, notes


def _edges(ranges: Ranges, name: str) -> tuple[float, float]:
    """A tensor's range with zero in it; nothing for one that was not calibrated."""
    found = ranges.get(name)
    if found is None:
        return 0.0, 0.0
    return min(float(np.min(found["min"])), 0.0), max(float(np.max(found["max"])), 0.0)


def _histograms(
    data: bytes, edges: dict[int, tuple[float, float]], samples: Iterable[Arrays]
) -> dict[int, Histogram]:
    found = {index: Histogram(*limits) for index, limits in edges.items()}
    observe(data, samples, found, lambda index, values: found[index].see(_some(values)))
    return found


def _some(values: Array) -> Array:
    """Values of all over a tensor, at most ``VALUES``; the step has no factor in common with what a row or a channel has."""
    flat = values.ravel()
    step = max(1, flat.size // VALUES) | 1
    return flat[::step]


def _power(seen: Histogram) -> float:
    """The mean square of what was counted."""
    return max(float(np.sum(seen.counts * seen.centres**2) / max(int(seen.counts.sum()), 1)), 1e-30)
