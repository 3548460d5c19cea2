"""Input normalisation, as pixels need it: a product and a sum in front of the first layer, which in integers each round anew.

Where the convolution that reads it has no border of zeros, its weights take up the product, and its bias the sum. A border
would have to be of what is made a zero of: LiteRT's fast kernels pad with nothing else than zeros, and the plain one (PADV2)
takes longer than product and sum. There, and in plain int8, their ranges are those of all that can be fed: then ``x - 127``
moves integers, and rounds nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgepack.precision.patches import Window, same
from edgepack.spec import Array

from .channels import uses
from .flatbuffer import ModelView, OpView, write

if TYPE_CHECKING:
    from .calibrate import Ranges

SUMS, PRODUCTS = {"ADD", "SUB"}, {"MUL", "DIV"}


@dataclass(frozen=True)
class Step:
    """An op of a normalisation, and what all up to it compute of the input.

    Attributes:
        scale, shift: ``x * scale + shift``, one value for each channel.
    """

    op: OpView
    scale: Array
    shift: Array


def folded(data: bytes) -> tuple[bytes, list[str]]:
    """The file without normalisations that convolutions can take up, and the weights that do, by name; else the same bytes."""
    view, weights = ModelView(data), []
    for index in view.inputs(0):
        steps = list(_steps(view, index))
        layer = _only_reader(view, steps[-1].op.outputs[0]) if steps else None
        if layer is not None and _takes_up(view, layer, steps[-1]):
            weights.append(view.tensor_name(0, layer.inputs[1]))
            _fold(view, index, steps, layer)
    return (write(view.model), weights) if weights else (data, [])


def with_normalised(view: ModelView, ranges: Ranges, known: Collection[str]) -> Ranges:
    """The ranges, with those of normalised inputs for all that the inputs can be.

    Args:
        known: the inputs whose range is known beforehand.
    """
    found = dict(ranges)
    for index in view.inputs(0):
        name = view.tensor_name(0, index)
        for step in _steps(view, index) if name in known else ():
            edges = [ranges[name][edge].ravel() * step.scale + step.shift for edge in ("min", "max")]
            own = ranges[step.op.name]
            low, high = np.float32(np.min(edges)), np.float32(np.max(edges))
            found[step.op.name] = {
                "min": np.full_like(own["min"], low),
                "max": np.full_like(own["max"], high),
            }
    return found


def _steps(view: ModelView, fed: int) -> Iterator[Step]:
    """The sums and products with constants that an input goes through before anything else is done with it."""
    shape = view.shape(0, fed)
    if view.dtype(0, fed) != "float32" or not shape:
        return
    scale, shift, index = np.ones(shape[-1]), np.zeros(shape[-1]), fed
    while (op := _only_reader(view, index)) is not None and op.kind in SUMS | PRODUCTS:
        number = _number(view, op, index)
        if number is None:
            return
        if op.kind in PRODUCTS:
            number = 1 / number if op.kind == "DIV" else number
            scale, shift = scale * number, shift * number
        else:
            shift = shift - number if op.kind == "SUB" else shift + number
        yield Step(op, scale, shift)
        index = op.outputs[0]


def _only_reader(view: ModelView, index: int) -> OpView | None:
    """The op that reads a tensor, if it does so once, and nothing else does."""
    if index in view.outputs(0):
        return None
    readers = [op for op in view.ops if not op.subgraph and index in op.inputs]
    return readers[0] if len(readers) == 1 and readers[0].inputs.count(index) == 1 else None


def _number(view: ModelView, op: OpView, index: int) -> Array | None:
    """The constant that a value is added to or multiplied with: one, or one for each channel; no divisor is zero."""
    first, second = op.inputs
    is_first = first == index
    other = second if is_first else first
    if op.activated or other not in op.constants or (not is_first and op.kind in ("SUB", "DIV")):
        return None
    values, channels = view.values(0, other).astype(np.float64), view.shape(0, index)[-1]
    if values.size not in (1, channels) or values.size != (values.shape or (1,))[-1]:
        return None
    return None if op.kind == "DIV" and not values.all() else np.broadcast_to(values.ravel(), (channels,))


def _takes_up(view: ModelView, op: OpView, last: Step) -> bool:
    """Whether it is a convolution of all channels, with weights and a bias that are its own, and no border where that tells."""
    if op.kind != "CONV_2D" or len(op.inputs) < 3 or any(each not in op.constants for each in op.inputs[1:3]):
        return False
    read = uses(view)
    alone = all(read[int(view.tensor(0, index).buffer)] == 1 for index in op.inputs[1:3])
    whole = view.shape(0, op.inputs[0])[-1] == view.shape(0, op.inputs[1])[-1]
    return alone and whole and (not last.shift.any() or not _has_border(view, op))


def _has_border(view: ModelView, op: OpView) -> bool:
    if op.options.padding != schema.Padding.SAME:
        return False
    _, *kernel, _ = view.shape(0, op.inputs[1])
    strides = (op.options.strideH, op.options.strideW)
    dilation = (op.options.dilationHFactor or 1, op.options.dilationWFactor or 1)
    reach = Window((kernel[0], kernel[1]), strides, dilation).reach
    return bool(np.any(same(view.shape(0, op.inputs[0])[1:3], reach, strides)))


def _fold(view: ModelView, fed: int, steps: list[Step], layer: OpView) -> None:
    weight, bias = layer.inputs[1:3]
    values = view.values(0, weight).astype(np.float64)
    view.put(0, weight, values * steps[-1].scale)
    view.put(0, bias, view.values(0, bias) + values.sum((1, 2)) @ steps[-1].shift)
    graph, gone = view.model.subgraphs[0], {step.op.outputs[0] for step in steps}
    graph.operators = [each for each in graph.operators if not gone & set(map(int, each.outputs))]
    reader = next(each for each in graph.operators if layer.outputs[0] in each.outputs)
    reader.inputs = np.array([fed, *reader.inputs[1:]], np.int32)
