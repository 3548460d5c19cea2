"""Which activations of a float file can have their channels scaled together, and which weights make up for it.

A scale of a channel passes through sums, pooling, padding and activations without a curve; convolutions and dense layers take
it up in their weights. A tensor that anything else reads or makes keeps its scale, and so do all that it passes through to.
RELU6 is such a curve: scaled, it would cut off what a channel that is quiet on these samples holds on others.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgepack.precision.groups import Group, Groups

from .flatbuffer import ModelView, OpView

LAYERS = {"CONV_2D": 3, "FULLY_CONNECTED": 1, "DEPTHWISE_CONV_2D": 3}
"""Layers with weights, and the axis of the channels that they read."""

ALONG = {
    "RELU", "LEAKY_RELU", "AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "MIRROR_PAD", "MEAN", "SUM", "REDUCE_MAX",
    "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RESHAPE", "ADD", "SUB", "MUL",
}  # fmt: skip
"""Ops that a scale of a channel, the last axis, passes through, if that axis stays."""

_Activation = schema.ActivationFunctionType
_HOMOGENEOUS = {_Activation.NONE, _Activation.RELU}


Found = Group[int, OpView]
"""Tensors by their index; layers are told by that of their weight."""


def groups(view: ModelView) -> list[Found]:
    """The groups that layers both make and read, in the order that they are made."""
    return _Finder(view).found()


class _Finder:
    def __init__(self, view: ModelView) -> None:
        self._view = view
        self._groups: Groups[int, OpView] = Groups()
        self._uses = uses(view)

    def found(self) -> list[Found]:
        self._groups.close((*self._view.inputs(0), *self._view.outputs(0)))
        for op in self._view.ops:
            if op.subgraph:
                continue
            if op.kind in LAYERS and self._is_layer(op):
                self._groups.of(op.inputs[0]).readers.append(op)
                self._groups.of(op.outputs[0]).makers.append(op)
            elif op.kind in ALONG and self._passes(op):
                self._along(op)
            else:
                self._groups.close((*op.inputs, *op.outputs))
        return self._groups.scalable

    def _along(self, op: OpView) -> None:
        """Every member of full width gets the scale; what is multiplied by does not."""
        made = op.outputs[0]
        first, *others = (i for i in op.inputs if self._view.dtype(0, i) == "float32")
        if op.kind == "MUL" and self._shape(first) != self._shape(made):
            first, others = others[0], [first]
        self._groups.join(made, first)
        for other in others:
            if op.kind == "MUL":
                self._groups.close([other])
            elif other in op.constants:
                self._groups.of(made).constants.add(other)
            else:
                self._groups.join(made, other)

    def _is_layer(self, op: OpView) -> bool:
        """Whether all that it is made of is in the file, is nobody else's, and reads every channel of its input."""
        weights = op.inputs[1:]
        if not op.constants or any(index not in op.constants for index in weights) or not self._is_plain(op):
            return False
        if any(self._uses[self._buffer(index)] > 1 for index in weights):
            return False
        shape = self._shape(weights[0])
        wide = self._shape(op.inputs[0])[-1:] == shape[LAYERS[op.kind] : LAYERS[op.kind] + 1]
        made = shape[-1] if op.kind == "DEPTHWISE_CONV_2D" else shape[0]
        return wide and self._shape(op.outputs[0])[-1:] == (made,)

    def _passes(self, op: OpView) -> bool:
        width = self._shape(op.outputs[0])[-1:]
        floats = [index for index in op.inputs if self._view.dtype(0, index) == "float32"]
        if not width or not floats or not self._is_plain(op):
            return False
        if op.kind in ("ADD", "SUB", "MUL"):
            return self._passes_elementwise(op, floats, width)
        if op.kind in ("MEAN", "SUM", "REDUCE_MAX"):
            rank = len(self._shape(floats[0]))
            axes = {int(axis) % rank for axis in np.ravel(self._view.values(0, op.inputs[1]))}
            return rank - 1 not in axes and self._shape(floats[0])[-1:] == width
        return len(floats) == 1 and self._shape(floats[0])[-1:] == width

    def _passes_elementwise(self, op: OpView, floats: list[int], width: tuple[int, ...]) -> bool:
        if len(floats) != 2 or len(set(floats)) != 2 or floats[0] in op.constants:
            return False
        if op.kind == "MUL":
            whole = self._shape(op.outputs[0])
            return any(self._shape(index) == whole and index not in op.constants for index in floats)
        alone = all(self._uses[self._buffer(index)] == 1 for index in floats if index in op.constants)
        return alone and all(self._shape(index)[-1:] == width for index in floats)

    def _is_plain(self, op: OpView) -> bool:
        """Whether its fused activation, if any, has no curve."""
        return op.activation in _HOMOGENEOUS

    def _buffer(self, index: int) -> int:
        return int(self._view.tensor(0, index).buffer)

    def _shape(self, index: int) -> tuple[int, ...]:
        return self._view.shape(0, index)


def uses(view: ModelView) -> dict[int, int]:
    """How often each buffer is read, by ops of all subgraphs."""
    found: dict[int, int] = {}
    for op in view.ops:
        for index in op.inputs:
            buffer = int(view.tensor(op.subgraph, index).buffer)
            found[buffer] = found.get(buffer, 0) + 1
    return found
