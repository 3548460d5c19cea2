"""Input normalisation, as pixels need it, taken up by the layer that reads it: a float file that computes the same.

A product and a sum in front of a convolution are a product of its weights and a sum in its bias. In integers each of the two
would round anew, and what is fed, pixels as they are, needs no rounding. Where the convolution's border is padded with zeros,
it is padded with the value that the normalisation makes a zero of, for which that must be one for all channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgepack.precision.patches import Window, same
from edgepack.spec import Array

from .calibrate import Ranges
from .channels import uses
from .flatbuffer import ModelView, OpView, write
from .subgraph import Subgraph

SUMS, PRODUCTS = {"ADD", "SUB"}, {"MUL", "DIV"}


@dataclass(frozen=True)
class Normalised:
    """An input, the ops that normalise it, and the convolution that reads it.

    Attributes:
        scale, shift: ``x * scale + shift``, one value for each channel.
        pad: the op in between that pads, if one does.
    """

    fed: int
    steps: tuple[OpView, ...]
    scale: Array
    shift: Array
    pad: OpView | None
    layer: OpView

    @property
    def zeros(self) -> Array:
        """What is made a zero of, by channel."""
        found: Array = -self.shift / self.scale
        return found


@dataclass(frozen=True)
class Folded:
    """A file without normalisations.

    Attributes:
        weights: those that took them up, by name.
        ranges: with those of padded inputs, which are the inputs' own: they have one scale.
    """

    data: bytes
    weights: tuple[str, ...]
    ranges: Ranges


def folded(data: bytes, ranges: Ranges) -> Folded | None:
    """The file without normalisations in front of convolutions; None where there are none that can be taken up."""
    view, weights, borders = ModelView(data), list[str](), dict[str, str]()
    for index in view.inputs(0):
        found = _normalised(view, index)
        if found is not None and _is_exact(view, found, ranges):
            weights.append(view.tensor_name(0, found.layer.inputs[1]))
            fed = view.tensor_name(0, index)
            borders |= {border: fed for border in _fold(view, found)}
    padded = {border: ranges[fed] for border, fed in borders.items()}
    return Folded(write(view.model), tuple(weights), {**ranges, **padded}) if weights else None


def _normalised(view: ModelView, fed: int) -> Normalised | None:
    channels = view.shape(0, fed)[-1:]
    if view.dtype(0, fed) != "float32" or len(view.shape(0, fed)) != 4:
        return None
    scale, shift, index = np.ones(channels), np.zeros(channels), fed
    steps: list[OpView] = []
    while (op := _only_reader(view, index)) is not None and op.kind in SUMS | PRODUCTS:
        number = _number(view, op, index)
        if number is None:
            return None
        if op.kind in PRODUCTS:
            number = 1 / number if op.kind == "DIV" else number
            scale, shift = scale * number, shift * number
        else:
            shift = shift - number if op.kind == "SUB" else shift + number
        steps.append(op)
        index = op.outputs[0]
    pad = op if op is not None and op.kind == "PAD" and op.inputs[1] in op.constants else None
    layer = _only_reader(view, pad.outputs[0]) if pad else op
    if not steps or layer is None or not _takes_up(view, layer) or not np.isfinite(scale).all():
        return None
    return Normalised(fed, tuple(steps), scale, shift, pad, layer) if (scale != 0).all() else None


def _only_reader(view: ModelView, index: int) -> OpView | None:
    """The op that reads a tensor as its first input, if nothing else does."""
    if index in view.outputs(0):
        return None
    readers = [op for op in view.ops if not op.subgraph and index in op.inputs]
    return readers[0] if len(readers) == 1 and readers[0].inputs.count(index) == 1 else None


def _number(view: ModelView, op: OpView, index: int) -> Array | None:
    """The constant that a value is added to or multiplied with: one, or one for each channel."""
    first, second = op.inputs
    is_first = first == index
    other = second if is_first else first
    if op.activated or other not in op.constants or (not is_first and op.kind in ("SUB", "DIV")):
        return None
    values, channels = view.values(0, other).astype(np.float64), view.shape(0, index)[-1]
    if values.size not in (1, channels) or values.size != (values.shape or (1,))[-1]:
        return None
    return np.broadcast_to(values.ravel(), (channels,))


def _takes_up(view: ModelView, op: OpView) -> bool:
    """Whether it is a convolution of all channels, with weights and a bias that are its own."""
    if op.kind != "CONV_2D" or len(op.inputs) < 3 or any(each not in op.constants for each in op.inputs[1:3]):
        return False
    read = uses(view)
    alone = all(read[int(view.tensor(0, index).buffer)] == 1 for index in op.inputs[1:3])
    return alone and view.shape(0, op.inputs[0])[-1] == view.shape(0, op.inputs[1])[-1]


def _margins(view: ModelView, found: Normalised) -> list[tuple[int, int]]:
    """What a convolution itself pads with, before and after height and width."""
    layer = found.layer
    if layer.options.padding != schema.Padding.SAME:
        return [(0, 0), (0, 0)]
    _, *kernel, _ = view.shape(0, layer.inputs[1])
    strides = (layer.options.strideH, layer.options.strideW)
    dilation = (layer.options.dilationHFactor or 1, layer.options.dilationWFactor or 1)
    reach = Window((kernel[0], kernel[1]), strides, dilation).reach
    return list(same(view.shape(0, layer.inputs[0])[1:3], reach, strides))


def _is_exact(view: ModelView, found: Normalised, ranges: Ranges) -> bool:
    """Whether what pads the border can be told in what is fed."""
    limits, sides, zeros = ranges.get(view.tensor_name(0, found.fed)), _sides(view, found), found.zeros
    if not sides.any():
        return True
    if limits is None or sides[0].any() or sides[3].any():
        return False
    inside = float(np.min(limits["min"])) <= zeros[0] <= float(np.max(limits["max"]))
    return bool(inside and np.ptp(zeros) <= 1e-6 * max(abs(zeros[0]), 1))


def _fold(view: ModelView, found: Normalised) -> Iterator[str]:
    """Change the graph; the name of what pads the border, where something has to."""
    weight, bias = found.layer.inputs[1:3]
    values = view.values(0, weight).astype(np.float64)
    view.put(0, weight, values * found.scale)
    view.put(0, bias, view.values(0, bias) + values.sum((1, 2)) @ found.shift)
    sides, read = _sides(view, found), found.fed
    graph = view.model.subgraphs[0]
    gone = {op.outputs[0] for op in (*found.steps, *([found.pad] if found.pad else []))}
    graph.operators = [each for each in graph.operators if not gone & set(map(int, each.outputs))]
    layer = next(each for each in graph.operators if found.layer.outputs[0] in each.outputs)
    if sides.any():
        read = _padded(view, found, sides)
        layer.builtinOptions.padding = schema.Padding.VALID
        yield view.tensor_name(0, read)
    layer.inputs = np.array([read, *layer.inputs[1:]], np.int32)


def _sides(view: ModelView, found: Normalised) -> Array:
    """What the border needs, [axes, before and after]."""
    before = view.values(0, found.pad.inputs[1]).reshape(4, 2) if found.pad else np.zeros((4, 2), np.int32)
    sides: Array = before + np.array([(0, 0), *_margins(view, found), (0, 0)], np.int32)
    return sides


def _padded(view: ModelView, found: Normalised, sides: Array) -> int:
    """The input with a border of what is made a zero of, the first op of the graph."""
    graph = Subgraph(view.model, 0, f"normalisation/{view.tensor_name(0, found.fed)}")
    zero = graph.constant("zero", np.float32(found.zeros[0]), "float32")
    shape = np.add(view.shape(0, found.fed), sides.sum(1))
    made = graph.apply("PADV2", [found.fed, graph.constant("margins", sides), zero], "border", shape)
    main = view.model.subgraphs[0]
    main.operators = [*graph.operators, *main.operators]
    return made
