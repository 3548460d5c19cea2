"""Ranges narrower than the least and the greatest value, tensor by tensor (see edgepack.precision.ranges)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgepack.precision import ranges as narrower
from edgepack.precision.notes import Note
from edgepack.spec import Arrays

from .calibrate import Ranges
from .flatbuffer import ModelView
from .observe import activations, observe

MAKERS = {
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "ADD", "SUB", "MUL", "BATCH_MATMUL", "MEAN", "SUM",
    "HARD_SWISH", "GELU", "LEAKY_RELU", "PRELU",
}  # fmt: skip
"""Ops whose results have a scale of their own; what moves values about has that of its input."""


def narrowed(
    data: bytes, ranges: Ranges, fit: Iterable[Arrays], check: Iterable[Arrays]
) -> tuple[Ranges, list[Note]]:
    """The ranges, narrower where that errs less on samples that it was not fitted to; and a note for each of these."""
    view = ModelView(data)
    outputs = set(view.outputs(0))
    made = {op.outputs[0] for op in view.ops if op.subgraph == 0 and op.kind in MAKERS} - outputs
    named = {view.tensor_name(0, index): index for index in activations(view) if index in made}

    def see(samples: Iterable[Arrays], wanted: Iterable[str], show: narrower.See) -> None:
        names = {named[name]: name for name in wanted}
        observe(data, samples, names, lambda index, values: show(names[index], values))

    edges = {name: _edges(ranges, name) for name in named}
    found, notes = narrower.narrowed(see, edges, fit, check)
    narrow = dict(ranges)
    for name, limits in found.items():
        narrow[name] = {
            edge: np.full_like(ranges[name][edge], value)
            for edge, value in zip(("min", "max"), limits, strict=True)
        }
    return narrow, notes


def _edges(ranges: Ranges, name: str) -> tuple[float, float]:
    """A tensor's range with zero in it; nothing for one that was not calibrated."""
    found = ranges.get(name)
    if found is None:
        return 0.0, 0.0
    return min(float(np.min(found["min"])), 0.0), max(float(np.max(found["max"])), 0.0)
