"""Adaptive rounding of a float file's layers, and its result written into the files that the quantizer makes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgepack.precision import rounding
from edgepack.precision.patches import Window, rows, same, thinned
from edgepack.precision.rounding import TOO_WIDE, WIDEST, How
from edgepack.spec import Array, Arrays

from .channels import uses
from .flatbuffer import ModelView, OpView, write
from .observe import activations, observe

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
TRANSPOSED = "TRANSPOSE_CONV"

Moments = Mapping[int, rounding.Inputs]
"""By the index of the weight."""

GREATEST = 2**30
"""Steps that a bias may have, so that sums still fit an int32."""


@dataclass(frozen=True)
class Rounded:
    """A layer's weights as they are to be stored.

    Attributes:
        codes: int8, in the weight's shape.
        step: of every output channel, [out].
        axis: of the output channels in the weight.
        bias: the name of the tensor; empty where there is none.
        added: what the bias is to be, [out].
    """

    codes: Array
    step: Array
    axis: int
    bias: str
    added: Array


def passed_over(data: bytes) -> dict[str, str]:
    """The layers of the main graph whose weights keep the nearest integers, by their names, and why."""
    view = ModelView(data)
    return {op.name: why for op in view.ops if (why := _obstacle(view, op))}


def moments(data: bytes, samples: Iterable[Arrays], only: Collection[str] = ()) -> Moments:
    """What the layers read that adaptive rounding is for: all that the samples reach, but codebooks.

    Args:
        only: those with these weights, by name; all, where there are none.
    """
    view = ModelView(data)
    layers = [op for op in view.ops if _is_for(view, op)]
    layers = [op for op in layers if not only or view.tensor_name(0, op.inputs[1]) in only]
    seen = {op.inputs[1]: rounding.Inputs() for op in layers}
    read: dict[int, list[OpView]] = {}
    for op in layers:
        read.setdefault(op.inputs[0], []).append(op)

    def see(index: int, values: Array) -> None:
        for op in read[index]:
            seen[op.inputs[1]].see(_inputs(view, op, values))

    observe(data, samples, read, see)
    return seen


def rounded(data: bytes, seen: Moments, how: How) -> dict[str, Rounded]:
    """The layers, by the name of the weight."""
    view = ModelView(data)
    found = {}
    for op in view.ops:
        if op.subgraph or op.kind not in LAYERS or op.inputs[1] not in seen:
            continue
        weight, *bias = op.inputs[1:]
        matrix, inputs = matrix_of(view, op), seen[weight]
        codes, moved = rounding.settled(matrix, inputs, how, bool(bias))
        found[view.tensor_name(0, weight)] = Rounded(
            _shaped(view, op, codes),
            np.ravel(rounding.scales(matrix)),
            3 if _is_depthwise(op) else 0,
            view.tensor_name(0, bias[0]) if bias else "",
            moved + (view.values(0, bias[0]) if bias else 0),
        )
    return found


def with_rounded(data: bytes, found: Mapping[str, Rounded]) -> bytes:
    """The quantized file with these weights, wherever it has them as int8, and the biases that go with them."""
    view = ModelView(data)
    names = {view.tensor_name(0, index): index for index in range(len(view.model.subgraphs[0].tensors))}
    for name, layer in found.items():
        index = names.get(name)
        if index is not None and view.dtype(0, index) == "int8":
            _put(view, index, names.get(layer.bias), layer)
    return write(view.model)


def with_fitting_biases(data: bytes, view: ModelView) -> bytes:
    """The quantized file with every bias as it is in the float file, where the quantizer's is too many steps for an int32.

    Beside next to no weight, as a pruned channel has it, a step is next to nothing, and the quantizer makes nonsense of the
    bias: such a channel gets a coarser step, which costs nothing that counts. Layers that share weights share it.
    """
    made, changed = ModelView(data), False
    floats = {view.tensor_name(0, op.inputs[2]): op.inputs[2] for op in view.ops if _has_bias(view, op)}
    for layers in _by_weights(made):
        own = {op.inputs[2]: floats.get(made.tensor_name(0, op.inputs[2])) for op in layers}
        wanted = {bias: view.values(0, index) for bias, index in own.items() if index is not None}
        stored = [made.values(0, bias).astype(np.int64) for bias in wanted]
        if len(wanted) == len(layers) and np.abs(stored).max() > GREATEST:
            weights = {op.inputs[1] for op in layers}
            axis = 3 if _is_depthwise(layers[0]) else 0
            _fit(made, weights, wanted, made.values(0, layers[0].inputs[1]), axis)
            changed = True
    return write(made.model) if changed else data


def _by_weights(made: ModelView) -> list[list[OpView]]:
    """The layers of a quantized file that have a step for every channel, by the weights that they read.

    Where anything else reads the weights, or another layer a bias, the step is not theirs to change.
    """
    read = uses(made)
    found: dict[int, list[OpView]] = {}
    for op in made.ops:
        if _has_bias(made, op) and [made.dtype(0, index) for index in op.inputs[1:3]] == ["int8", "int32"]:
            by_channel = (
                len(made.tensor(0, op.inputs[1]).quantization.scale) == made.shape(0, op.inputs[2])[0]
            )
            if by_channel and read[_buffer(made, op.inputs[2])] == 1:
                found.setdefault(_buffer(made, op.inputs[1]), []).append(op)
    return [layers for buffer, layers in found.items() if read[buffer] == len(layers)]


def _buffer(view: ModelView, index: int) -> int:
    return int(view.tensor(0, index).buffer)


def _has_bias(view: ModelView, op: OpView) -> bool:
    return (
        not op.subgraph
        and op.kind in LAYERS
        and len(op.inputs) > 2
        and all(index in op.constants for index in op.inputs[1:3])
    )


def _put(view: ModelView, weight: int, bias: int | None, layer: Rounded) -> None:
    """Write a layer's channels, where their step is what rounding went by: the quantizer gives those of no weight another."""
    stored = np.asarray(view.tensor(0, weight).quantization.scale)
    if len(stored) != len(layer.step):
        return
    same = np.isclose(stored, layer.step, rtol=1e-3, atol=0)
    shape = [-1 if axis == layer.axis else 1 for axis in range(len(view.shape(0, weight)))]
    codes = np.where(same.reshape(shape), layer.codes, view.values(0, weight))
    if bias is not None and view.dtype(0, bias) in ("int32", "int64"):
        _fit(view, {weight}, {bias: layer.added}, codes, layer.axis)
    else:
        view.put(0, weight, codes)


def _fit(view: ModelView, weights: set[int], biases: Mapping[int, Array], codes: Array, axis: int) -> None:
    """Write the codes of weights with one buffer, and biases, [out], with steps of the channels that all biases fit."""
    steps = {bias: np.asarray(view.tensor(0, bias).quantization.scale, np.float64) for bias in biases}
    needed = [np.abs(added) / steps[bias] / GREATEST for bias, added in biases.items()]
    coarser = np.maximum(np.max(needed, axis=0), 1)
    for bias, added in biases.items():
        step = steps[bias] * coarser
        view.put(0, bias, np.rint(added / step))
        view.tensor(0, bias).quantization.scale = step.astype(np.float32)
    for weight in weights:
        stored = np.asarray(view.tensor(0, weight).quantization.scale)
        view.tensor(0, weight).quantization.scale = (stored * coarser).astype(np.float32)
        shape = [-1 if each == axis else 1 for each in range(codes.ndim)]
        view.put(0, weight, np.rint(codes / np.broadcast_to(coarser, stored.shape).reshape(shape)))


def matrix_of(view: ModelView, op: OpView) -> Array:
    """A layer's weights as [out, in]."""
    weight = view.values(0, op.inputs[1])
    return weight.reshape(-1, weight.shape[-1]).T if _is_depthwise(op) else weight.reshape(len(weight), -1)


def _shaped(view: ModelView, op: OpView, matrix: Array) -> Array:
    return (matrix.T if _is_depthwise(op) else matrix).reshape(view.shape(0, op.inputs[1]))


def _is_depthwise(op: OpView) -> bool:
    return op.kind == "DEPTHWISE_CONV_2D"


def _is_for(view: ModelView, op: OpView) -> bool:
    return _is_layer(view, op) and op.kind in LAYERS and not _obstacle(view, op)


def _is_layer(view: ModelView, op: OpView) -> bool:
    """Whether it reads what the samples reach, by weights that are in the file."""
    if op.subgraph or op.kind not in (*LAYERS, TRANSPOSED):
        return False
    place = 2 if op.kind == TRANSPOSED else 0
    weights = (op.inputs[1], *op.inputs[3:]) if place else op.inputs[1:]
    stored = all(index in op.constants and view.dtype(0, index) == "float32" for index in weights)
    return stored and op.inputs[place] in activations(view)


def _obstacle(view: ModelView, op: OpView) -> str:
    """Why a layer is not for rounding; empty for one that is, and for what is no layer."""
    if not _is_layer(view, op):
        return ""
    if op.kind == TRANSPOSED:
        return rounding.TRANSPOSED
    if any(uses(view)[int(view.tensor(0, index).buffer)] > 1 for index in op.inputs[1:]):
        return rounding.SHARED
    given, shape = view.shape(0, op.inputs[0]), view.shape(0, op.inputs[1])
    if op.kind != "FULLY_CONNECTED" and given[-1:] != shape[-1:]:
        return rounding.GROUPED
    matrix = matrix_of(view, op)
    if matrix.shape[1] > WIDEST:
        return TOO_WIDE
    return rounding.CODED if rounding.is_coded(matrix) else ""


def _inputs(view: ModelView, op: OpView, values: Array) -> Array:
    shape, options = view.shape(0, op.inputs[1]), op.options
    if op.kind == "FULLY_CONNECTED":
        return thinned(values.reshape(-1, shape[-1]))
    window = Window(
        (shape[1], shape[2]),
        (options.strideH, options.strideW),
        (options.dilationHFactor or 1, options.dilationWFactor or 1),
    )
    if options.padding == schema.Padding.SAME:
        window = replace(window, margins=same(values.shape[1:3], window.reach, window.strides))
    return rows(values, window, _is_depthwise(op))
