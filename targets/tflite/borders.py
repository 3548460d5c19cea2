"""Minus infinity around an image, as a maximum pool wants it, is no number that integers have: there, the least value is."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .calibrate import Ranges
from .flatbuffer import ModelView, OpView, write


def finite(float32: bytes, view: ModelView, ranges: Ranges) -> tuple[bytes, Ranges]:
    """A float file whose borders are the least that the calibration samples gave inside of them, and the ranges with that.

    Args:
        view: of the file; it stays as it is.
    """
    found = [
        place
        for place, op in enumerate(view.ops)
        if _is_endless(view, op) and view.tensor_name(0, op.inputs[0]) in ranges
    ]
    if not found:
        return float32, ranges
    model, ranges = ModelView(float32).model, dict(ranges)
    graph = model.subgraphs[0]
    for place in found:
        op = view.ops[place]
        inside = ranges[view.tensor_name(0, op.inputs[0])]
        buffer, border = schema.BufferT(), schema.TensorT()
        buffer.data = np.array(inside["min"], np.float32).min(keepdims=True).view(np.uint8)
        model.buffers.append(buffer)
        border.name, border.shape, border.hasRank = f"{op.name}/border".encode(), np.array([], np.int32), True
        border.type, border.buffer = schema.TensorType.FLOAT32, len(model.buffers) - 1
        graph.tensors.append(border)
        graph.operators[place].inputs[2] = len(graph.tensors) - 1
        ranges[op.name] = inside
    return write(model), ranges


def _is_endless(view: ModelView, op: OpView) -> bool:
    """Whether it pads with minus infinity. The main subgraph's ops come first, in its order."""
    if op.kind != "PADV2" or op.subgraph or op.inputs[2] not in op.constants:
        return False
    data = view.model.buffers[view.tensor(0, op.inputs[2]).buffer].data
    return view.dtype(0, op.inputs[2]) == "float32" and bool(
        np.isneginf(np.frombuffer(bytes(data), np.float32)).all()
    )
