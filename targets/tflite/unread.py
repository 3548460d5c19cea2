"""Results that nobody reads. The quantizer leaves them in float beside integer siblings, and no kernel has such an op.

The first step of an unrolled LSTM has no past to forget: of the four gates that a SPLIT gives it, one is unread.
"""

from __future__ import annotations

from typing import Any

from .flatbuffer import ModelView, OpView, write

ALIKE = {"SPLIT", "SPLIT_V", "UNPACK"}
"""Ops with several results, all of the type and the scale of what they read."""


def as_siblings(data: bytes) -> bytes:
    """The file with every result of such an op in the type of those that are read; the same bytes where they are."""
    view = ModelView(data)
    read = {(op.subgraph, index) for op in view.ops for index in op.inputs}
    read |= {(place, index) for place in range(len(view.model.subgraphs)) for index in view.outputs(place)}
    odd = [each for op in view.ops if op.kind in ALIKE for each in _odd(view, op, read)]
    for tensor, sibling in odd:
        tensor.type, tensor.quantization = sibling.type, sibling.quantization
    return write(view.model) if odd else data


def _odd(view: ModelView, op: OpView, read: set[tuple[int, int]]) -> list[tuple[Any, Any]]:
    """The unread results of another type than one that is read, each with that one."""
    used = [index for index in op.outputs if (op.subgraph, index) in read]
    if not used:
        return []
    sibling = view.tensor(op.subgraph, used[0])
    others = [view.tensor(op.subgraph, index) for index in op.outputs if index not in used]
    return [(tensor, sibling) for tensor in others if tensor.type != sibling.type]
