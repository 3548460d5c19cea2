"""Scales and offsets after a convolution, a batch normalisation above all, into its weights and its bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgepack.spec import Array

from .nodes import Nodes

SCALABLE = {"Conv2D", "DepthwiseConv2dNative", "MatMul", "Conv2DBackpropInput"}
ADDITIONS = {"BiasAdd", "Add", "AddV2"}
NORMALISATIONS = {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}


def fold(nodes: Nodes) -> None:
    """Fold what can be folded."""
    for node in nodes:
        if node.op in NORMALISATIONS:
            _split_normalisation(nodes, node)
    for node in nodes:
        if node.op == "Mul":
            _fold_scale(nodes, node)
    for node in nodes:
        if node.op in ADDITIONS and node.name in nodes:
            _merge_addition(nodes, node)
    for node in nodes:
        if node.op in ("Add", "AddV2"):
            _make_bias(nodes, node)


def channels_last(node: Any) -> bool:
    return "data_format" not in node.attr or node.attr["data_format"].s in (b"NHWC", b"NDHWC", b"")


def per_channel(value: Array | None, channels: int) -> Array | None:
    """A constant as one value a channel; None where it has another value for another place."""
    if value is None or value.dtype != np.float32 or value.size not in (1, channels):
        return None
    if value.size > 1 and value.shape[-1] != channels:
        return None
    return np.broadcast_to(value.reshape(-1), (channels,))


def channel_shape(node: Any, weights: Array) -> tuple[int, ...]:
    """The shape in which one value an output channel multiplies the weights."""
    shape: tuple[int, ...] = weights.shape
    if node.op == "DepthwiseConv2dNative":
        return shape[2:]
    if node.op == "Conv2DBackpropInput":
        return (shape[2], 1)
    if node.op == "MatMul" and node.attr["transpose_b"].b:
        return (shape[0], 1)
    return shape[-1:]


def _split_normalisation(nodes: Nodes, node: Any) -> None:
    """A batch normalisation as ``x * scale + offset``, which the other passes take further where they can."""
    values = [nodes.constant(tensor) for tensor in node.input[1:5]]
    constants = [value.astype(np.float64) for value in values if value is not None]
    others = [t for reader in nodes.readers(node) for t in reader.input if t.startswith(f"{node.name}:")]
    if node.attr["is_training"].b or len(constants) < 4 or not channels_last(node) or others:
        return
    gamma, beta, mean, variance = constants
    scale = gamma / np.sqrt(variance + node.attr["epsilon"].f)
    offset = beta - mean * scale
    factor = nodes.add_constant(f"{node.name}/scale", scale.astype(np.float32))
    scaled = nodes.add("Mul", f"{node.name}/scaled", [node.input[0], factor])
    scaled.attr["T"].CopyFrom(node.attr["T"])
    shift = nodes.add_constant(f"{node.name}/offset", offset.astype(np.float32))
    nodes.connect(node, [scaled.name, shift])
    node.op = "AddV2"
    for name in set(node.attr) - {"T"}:
        del node.attr[name]


def _before(nodes: Nodes, tensor: str) -> tuple[Any | None, Any | None]:
    """The op whose weights can take a scale of this tensor, and the addition of a bias between the two, if any."""
    node, addition = nodes.source(tensor), None
    if node.op in ADDITIONS and len(node.input) == 2 and _reads_once(nodes, node):
        left, right = (nodes.constant(each) for each in node.input)
        if (left is None) != (right is None):
            addition, node = node, nodes.source(node.input[left is not None])
    weights = nodes.constant(node.input[1]) if node.op in SCALABLE else None
    if weights is None or not channels_last(node) or not _reads_once(nodes, node):
        return None, None
    return (node, addition) if _reads_once(nodes, nodes.source(node.input[1])) else (None, None)


def _reads_once(nodes: Nodes, node: Any) -> bool:
    return nodes.only_reader(node) is not None


def _fold_scale(nodes: Nodes, node: Any) -> None:
    """``op(x, w) * scale`` as ``op(x, w * scale)``; a bias between them is scaled too."""
    constants = [nodes.constant(tensor) for tensor in node.input[:2]]
    side = 0 if constants[0] is not None else 1
    factor = constants[side]
    if factor is None:
        return
    before, addition = _before(nodes, node.input[1 - side])
    if before is None:
        return
    weights = nodes.constant(before.input[1])
    assert weights is not None
    shape = channel_shape(before, weights)
    scale = per_channel(factor, int(np.prod(shape)))
    if scale is None or factor.ndim > weights.ndim:
        return
    if addition is not None:
        position = 0 if nodes.constant(addition.input[0]) is not None else 1
        bias = per_channel(nodes.constant(addition.input[position]), scale.size)
        if bias is None:
            return
        _put_constant(nodes, addition, position, bias * scale, "bias")
    _put_constant(nodes, before, 1, weights * scale.reshape(shape), "weights")
    nodes.bypass(node, addition.name if addition is not None else before.name)


def _put_constant(nodes: Nodes, node: Any, position: int, value: Array, word: str) -> None:
    inputs = list(node.input)
    inputs[position] = nodes.add_constant(f"{node.name}/{word}", np.ascontiguousarray(value, np.float32))
    nodes.connect(node, inputs)


def _merge_addition(nodes: Nodes, node: Any) -> None:
    """``(x + a) + b`` with two constants as one addition."""
    below = nodes.only_reader(node)
    if below is None or below.op not in ADDITIONS or not (channels_last(node) and channels_last(below)):
        return
    mine, theirs = [nodes.constant(t) for t in node.input], [nodes.constant(t) for t in below.input]
    if len([v for v in (*mine, *theirs) if v is not None]) != 2 or all(v is None for v in mine):
        return
    position = 0 if mine[0] is not None else 1
    a, b = mine[position], next(v for v in theirs if v is not None)
    if a is None or a.dtype != np.float32 or (a + b).size > max(a.size, b.size):
        return
    total = a + b
    if node.op == "BiasAdd" and total.ndim != 1:
        node.op = "AddV2"
        node.attr.pop("data_format", None)
    _put_constant(nodes, node, position, total, "bias")
    nodes.bypass(below, node.name)


def _make_bias(nodes: Nodes, node: Any) -> None:
    """An addition of one value a channel after a convolution as BiasAdd."""
    constants = [nodes.constant(tensor) for tensor in node.input[:2]]
    side = 0 if constants[0] is not None else 1
    constant, before = constants[side], nodes.source(node.input[1 - side])
    weights = nodes.constant(before.input[1]) if before.op in SCALABLE else None
    if constant is None or weights is None or not channels_last(before):
        return
    bias = per_channel(constant, int(np.prod(channel_shape(before, weights))))
    if bias is None or constant.ndim > weights.ndim:
        return
    inputs = [node.input[1 - side], node.input[side]]
    if constant.shape != bias.shape:
        inputs[1] = nodes.add_constant(f"{node.name}/bias", bias.copy())
    nodes.connect(node, [*inputs, *node.input[2:]])
    node.op = "BiasAdd"
    node.attr["data_format"].s = b"NHWC"
