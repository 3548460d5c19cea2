"""Minus infinity, or what stands for it, as a number that integers have: around a maximum pool, and where attention is masked.

One such value would be the scale of its whole tensor, and nothing would be left of the others. In front of a pool the least
value does as well; in front of a softmax one that leaves nothing of the weight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .calibrate import Ranges
from .flatbuffer import ModelView, OpView, write

HUGE = -1e4
"""From here on it is a mask, by whichever number a model's author wrote it."""

MARGIN = 8.0
"""Below the least value: exp(-8) is less than a tenth of a step of an int8 softmax."""

MOVING = {"RESHAPE", "TRANSPOSE", "BROADCAST_TO", "EXPAND_DIMS", "SQUEEZE", "SLICE", "STRIDED_SLICE", "TILE"}


def finite(float32: bytes, view: ModelView, ranges: Ranges) -> tuple[bytes, Ranges]:
    """The float file with masks of moderate values, and the ranges with them.

    Args:
        view: of the file; it stays as it is.
    """
    bounds = _Bounds(view, ranges)
    if not bounds.results:
        return float32, ranges
    model = ModelView(float32).model
    for (place, position), least in bounds.constants.items():
        _replace(model, place, position, least)
    changed = {view.tensor_name(0, index): least for index, least in bounds.results.items()}
    return write(model), {
        name: {**found, "min": np.full_like(found["min"], changed[name])} if name in changed else found
        for name, found in ranges.items()
    }


@dataclass
class _Bounds:
    """What becomes of every value that is too low, told from the last op to the first.

    Attributes:
        results: the least value of a tensor that is computed.
        constants: that of a constant, by the place of the op that reads it, and its place among the op's inputs.
    """

    view: ModelView
    ranges: Ranges
    results: dict[int, float] = field(default_factory=dict)
    constants: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, op in reversed(list(enumerate(self.view.ops))):
            if not op.subgraph and op.outputs and self._is_endless(op.outputs[0]):
                self._bound(place, op)

    def _bound(self, place: int, op: OpView) -> None:
        output = op.outputs[0]
        sides = [(position, index) for position, index in enumerate(op.inputs) if self._range(index)]
        low = min((self._low(index) for _, index in sides if not self._is_endless(index)), default=0.0)
        high = max((self._high(index) for _, index in sides if not self._is_endless(index)), default=0.0)
        match op.kind:
            case "PADV2":
                least, theirs = low, low
            case "SELECT" | "SELECT_V2":
                least = theirs = self.results.get(output, low - MARGIN)
            case "ADD":
                least = self.results.get(output, low - MARGIN)
                theirs = least - high
            case "MUL" if low >= 0 and high > 0:
                least = self.results.get(output, -MARGIN)
                theirs = least / high
            case kind if kind in MOVING and output in self.results:
                least = theirs = self.results[output]
            case _:
                return
        self.results[output] = least
        for position, index in sides:
            if self._is_endless(index) and index in op.constants:
                self.constants[place, position] = theirs
            elif self._is_endless(index):
                self.results[index] = min(theirs, self.results.get(index, theirs))

    def _is_endless(self, index: int) -> bool:
        return bool(self._range(index)) and self._low(index) <= HUGE

    def _low(self, index: int) -> float:
        return float(np.min(self._range(index)["min"]))

    def _high(self, index: int) -> float:
        return float(np.max(self._range(index)["max"]))

    def _range(self, index: int) -> Any:
        """Of a constant, or as it was measured; nothing for what is no float tensor."""
        if self.view.dtype(0, index) != "float32":
            return {}
        data = self.view.model.buffers[self.view.tensor(0, index).buffer].data
        if data is None or not len(data):
            return self.ranges.get(self.view.tensor_name(0, index), {})
        values = np.frombuffer(bytes(data), np.float32)
        return {"min": values.min(), "max": values.max()}


def _replace(model: Any, place: int, position: int, least: float) -> None:
    """Have an op read a constant of its own, with nothing below a value."""
    graph = model.subgraphs[0]
    operator = graph.operators[place]
    old = graph.tensors[operator.inputs[position]]
    values = np.frombuffer(bytes(model.buffers[old.buffer].data), np.float32)
    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.maximum(values, np.float32(least)).view(np.uint8)
    model.buffers.append(buffer)
    tensor.name = b"%s/%d" % (graph.tensors[operator.outputs[0]].name, position)
    tensor.shape, tensor.hasRank, tensor.type = old.shape, True, old.type
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    operator.inputs[position] = len(graph.tensors) - 1
