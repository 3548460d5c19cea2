"""Tables that are looked up: a codebook keeps its codes in int8 where all rows have one step.

The quantizer gives every row a step of its own, and what is one value in two rows becomes two integers.
"""

from __future__ import annotations

import numpy as np

from edgepack.precision.rounding import MOST
from edgepack.spec import Array

from .channels import uses
from .flatbuffer import ModelView, write

LOOKUP = "EMBEDDING_LOOKUP"
EXACT = 0.01
"""By what part of a step values may be off that are whole numbers of it."""


def with_whole_steps(data: bytes, view: ModelView) -> bytes:
    """The quantized file with one step for all rows of each table whose values are whole numbers of 1/127 of its largest.

    Args:
        view: of the float file.
    """
    made, changed = ModelView(data), False
    tables = {view.tensor_name(0, op.inputs[1]): op.inputs[1] for op in view.ops if op.kind == LOOKUP}
    read = uses(made)
    for op in made.ops:
        if op.kind != LOOKUP or op.subgraph or made.dtype(0, op.inputs[1]) != "int8":
            continue
        table = made.tensor(0, op.inputs[1])
        own = tables.get(made.tensor_name(0, op.inputs[1]))
        if own is None or len(table.quantization.scale) == 1 or read[int(table.buffer)] > 1:
            continue
        values = view.values(0, own)
        step = np.abs(values).max() / MOST
        if step > 0 and _is_whole(values / step):
            made.put(0, op.inputs[1], np.rint(values / step))
            table.quantization.scale = np.full_like(table.quantization.scale, step)
            changed = True
    return write(made.model) if changed else data


def _is_whole(units: Array) -> bool:
    return bool(np.abs(units - np.rint(units)).max() < EXACT)
