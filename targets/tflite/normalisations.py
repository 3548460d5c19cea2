"""Normalisations whose variance is less than a step of int8 somewhere: what is computed of it stays in float.

Where a channel is flat, its variance is the small number that keeps its reciprocal root finite. As int8 that becomes zero, and
the root the scale of its whole tensor.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .calibrate import Ranges
from .flatbuffer import ModelView, OpView

REASON = "a variance of what it normalises is less than a step of int8"

_MEANS = {"MEAN", "SUM"}
_BACK = {*_MEANS, "ADD", "SUB", "MUL", "SQUARE", "SQUARED_DIFFERENCE", "RESHAPE", "TRANSPOSE", "BROADCAST_TO"}
_ON = {"ADD", "SUB", "MUL", "NEG", "RESHAPE", "TRANSPOSE", "BROADCAST_TO"}


def flat(view: ModelView, ranges: Ranges) -> frozenset[str]:
    """The names of the ops of such normalisations."""
    graph = _Graph(view)
    return frozenset(
        name
        for op in graph.ops
        if op.kind == "RSQRT" and _is_wide(view, op, ranges)
        for name in graph.normalisation(op)
    )


def _is_wide(view: ModelView, op: OpView, ranges: Ranges) -> bool:
    measured = ranges.get(view.tensor_name(0, op.inputs[0]))
    return measured is not None and bool(np.min(measured["min"]) < np.max(measured["max"]) / 256)


class _Graph:
    """The main subgraph, by what makes and what reads its tensors."""

    def __init__(self, view: ModelView) -> None:
        self.ops = [op for op in view.ops if not op.subgraph]
        self._view = view
        self._makers = {index: op for op in self.ops for index in op.outputs}
        self._readers: dict[int, list[OpView]] = {}
        for op in self.ops:
            for index in set(op.inputs):
                self._readers.setdefault(index, []).append(op)

    def normalisation(self, root: OpView) -> Iterable[str]:
        """From what is normalised to what comes of it; ``root`` is the reciprocal root in between."""
        found, waiting, largest = {root.name: root}, [*root.inputs], 0
        while waiting:
            index = waiting.pop()
            largest = max(largest, self._size(index))
            op = self._makers.get(index)
            if op is not None and op.kind in _BACK and not self._is_normalised(index):
                waiting += () if op.name in found else op.inputs
                found[op.name] = op
        waiting = [index for op in found.values() for index in op.outputs]
        while waiting:
            index = waiting.pop()
            for op in self._readers.get(index, []) if self._size(index) < largest else []:
                if op.kind in _ON and op.name not in found:
                    found[op.name] = op
                    waiting += op.outputs
        return found

    def _is_normalised(self, index: int) -> bool:
        """It is what a mean is taken of and more is computed with."""
        kinds = {op.kind in _MEANS for op in self._readers[index]}
        return kinds == {True, False}

    def _size(self, index: int) -> int:
        shape = self._view.tensor(0, index).shape
        return int(np.prod(shape)) if shape is not None else 1
