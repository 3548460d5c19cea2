"""Outputs that are joined of parts with very different ranges, such as a detector's boxes and scores: they are joined in float.

As int8, the joined tensor has one step for all parts, and of those that are small beside the others nothing is left. Each part
by itself has a step of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .calibrate import Ranges
from .flatbuffer import ModelView, OpView

REASON = (
    "it joins values of very different ranges, of which one step for all would leave the small ones nothing"
)

SPREAD = 16.0
"""The greatest part is so many times the smallest; that would keep some 25 dB, if it fills its range as most do."""

_MOVES = {
    "CONCATENATION", "PACK", "RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "SQUEEZE", "EXPAND_DIMS", "PAD",
    "GATHER",
}  # fmt: skip
_JOINS = {"CONCATENATION", "PACK"}


def mixed(view: ModelView, ranges: Ranges) -> frozenset[str]:
    """The names of the ops that join such parts, and of those behind them."""
    makers = {index: op for op in view.ops if not op.subgraph for index in op.outputs}
    found: set[str] = set()
    for output in view.outputs(0):
        tail = _Tail(makers, output)
        peaks = [peak for peak in (_peak(view, ranges, index) for index in tail.parts) if peak > 0]
        if tail.joins and peaks and max(peaks) > SPREAD * min(peaks):
            found |= {op.name for op in tail.ops}
    return frozenset(found)


class _Tail:
    """The ops from an output back to the parts that are joined in it.

    Attributes:
        parts: what is joined, as it comes to the first join; behind that, arithmetic with constants belongs to the tail too.
    """

    def __init__(self, makers: dict[int, OpView], output: int) -> None:
        self.ops: list[OpView] = []
        self.parts: list[int] = []
        waiting = [(output, False)]
        while waiting:
            index, joined = waiting.pop()
            op = makers.get(index)
            if op is not None and (op.kind in _MOVES or (_is_by_constants(op) and not joined)):
                if op not in self.ops:
                    self.ops.append(op)
                    waiting += [(each, joined or op.kind in _JOINS) for each in _computed(op)]
            elif index not in self.parts:
                self.parts.append(index)

    @property
    def joins(self) -> bool:
        return any(op.kind in _JOINS for op in self.ops) and len(self.parts) > 1


def _is_by_constants(op: OpView) -> bool:
    return op.kind in ("ADD", "SUB", "MUL", "DIV") and len(list(_computed(op))) == 1


def _computed(op: OpView) -> Iterator[int]:
    return (index for index in op.inputs if index not in op.constants)


def _peak(view: ModelView, ranges: Ranges, index: int) -> float:
    """The greatest absolute value of a float tensor that was calibrated; 0 for others."""
    found = ranges.get(view.tensor_name(0, index))
    if found is None or view.dtype(0, index) != "float32":
        return 0.0
    return max(float(np.max(np.abs(edge))) for edge in found.values())
