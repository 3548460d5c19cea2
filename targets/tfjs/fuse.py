"""What TF.js has as one op.

It has one kernel for a convolution (or matrix product) with its bias and activation, under TensorFlow's names for them.
Grappler's own remapper also fuses activations that TF.js has not, depending on the machine it runs on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgepack.spec import Array

from .fold import ADDITIONS, channel_shape, channels_last, per_channel
from .nodes import Nodes

FUSED = {
    "Conv2D": "_FusedConv2D",
    "DepthwiseConv2dNative": "FusedDepthwiseConv2dNative",
    "MatMul": "_FusedMatMul",
}
ACTIVATIONS = {"Relu", "Relu6", "Elu", "LeakyRelu", "Sigmoid"}
UNHEARD = ("DepthwiseConv2dNative", "LeakyRelu")
"""The one pair of them whose slope TF.js (4.22) does not read."""


def fuse(nodes: Nodes) -> None:
    """All of it."""
    for node in nodes:
        if node.op in ADDITIONS:
            _make_prelu(nodes, node)
    for node in nodes:
        if node.op in FUSED and channels_last(node):
            _fuse_bias_and_activation(nodes, node)


def _make_prelu(nodes: Nodes, node: Any) -> None:
    """Keras's ``relu(x) + -alpha * relu(-x)`` as TF.js's ``Prelu(x, alpha)``."""
    for first, second in (node.input[:2], node.input[1::-1]):
        positive, product = nodes.source(first), nodes.source(second)
        if positive.op != "Relu" or product.op != "Mul" or nodes.only_reader(product) is None:
            continue
        slopes = [nodes.constant(tensor) for tensor in product.input]
        side = 0 if slopes[0] is not None else 1
        negative = nodes.source(product.input[1 - side])
        negated = nodes.source(negative.input[0]) if negative.op == "Relu" else negative
        slope = slopes[side]
        if (
            slope is None
            or not _repeats_whole(slope)
            or negated.op != "Neg"
            or negated.input[0] != positive.input[0]
        ):
            continue
        alpha = nodes.add_constant(f"{node.name}/alpha", -slope)
        nodes.connect(node, [positive.input[0], alpha])
        node.op = "Prelu"
        for name in list(node.attr):
            del node.attr[name]
        for gone in (product, negative, negated, positive):  # one by one, as their last reader goes
            if not nodes.readers(gone):
                nodes.connect(gone, [])
        return


def _repeats_whole(slope: Array) -> bool:
    """Whether slopes lie as they do in memory, time and again: the wasm backend knows no other broadcasting."""
    sizes = slope.squeeze(
        tuple(axis for axis in range(slope.ndim) if set(slope.shape[: axis + 1]) == {1})
    ).shape
    return 1 not in sizes


def _fuse_bias_and_activation(nodes: Nodes, node: Any) -> None:
    arguments, steps, last = [], [], node
    below = nodes.only_reader(node)
    bias = _bias(nodes, node, below) if below is not None else None
    if below is not None and bias is not None:
        arguments, steps, last = [bias], ["BiasAdd"], below
        below = nodes.only_reader(below)
    if below is not None and below.op in ACTIVATIONS and (node.op, below.op) != UNHEARD:
        steps = [*(steps or ["NoOp"]), below.op]
        if below.op == "LeakyRelu":
            node.attr["leakyrelu_alpha"].f = below.attr["alpha"].f
        last = below
    elif below is not None and below.op == "Prelu" and steps and _is_by_channel(nodes, node, below):
        arguments, steps, last = [*arguments, below.input[1]], [*steps, "Prelu"], below
    if not steps:
        return
    node.op = FUSED[node.op]
    node.attr["fused_ops"].list.s.extend(step.encode() for step in steps)
    node.attr["num_args"].i = len(arguments)
    inputs = [each for each in node.input if not each.startswith("^")]
    control = [each for each in node.input if each.startswith("^")]
    nodes.connect(node, [*inputs, *arguments, *control])
    _take_place(nodes, node, last)


def _bias(nodes: Nodes, node: Any, addition: Any) -> str | None:
    """The tensor that an addition adds to a node, if it is one value a channel."""
    if addition.op != "BiasAdd" or nodes.source(addition.input[0]) is not node:
        return None
    bias = str(addition.input[1])
    constant = nodes.constant(bias)
    is_vector = constant is not None and constant.ndim == 1
    return bias if is_vector or nodes.source(bias).op == "Enter" else None  # in a loop it comes by an Enter


def _is_by_channel(nodes: Nodes, node: Any, prelu: Any) -> bool:
    weights, alpha = nodes.constant(node.input[1]), nodes.constant(prelu.input[1])
    if weights is None or alpha is None:
        return False
    return alpha.size > 1 and per_channel(alpha, int(np.prod(channel_shape(node, weights)))) is not None


def _take_place(nodes: Nodes, node: Any, last: Any) -> None:
    """Let the readers of the last of the fused nodes read the first, and take the others away."""
    chain = []
    below = nodes.only_reader(node)
    while below is not None:
        chain.append(below)
        below = nodes.only_reader(below) if below is not last else None
    for each in chain:
        nodes.bypass(each, node.name)
