"""Convolutions of an exported program, written as those that the converter knows.

It refuses ``padding="same"``, most paddings of a transposed convolution and all of a dilated or three-dimensional one; in
one dimension, it answers wrongly instead. So padding is made explicit, and a transposed convolution gives all that it can,
of which what padding would have taken is cut off.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .torch_steps import Steps, arguments, put

_aten = torch.ops.aten
_SAME: dict[Any, Any] = {
    _aten.conv1d.padding: _aten.conv1d.default,
    _aten.conv2d.padding: _aten.conv2d.default,
    _aten.conv3d.padding: _aten.conv3d.default,
}
TRANSPOSED = {_aten.conv_transpose1d.default, _aten.conv_transpose2d.input, _aten.conv_transpose3d.input}


def spell_padding(exported: ExportedProgram) -> None:
    """Give every convolution its padding in numbers, in place."""
    for node in list(exported.graph.nodes):
        if node.target in _SAME:
            put(exported, node, _explicit(node))


def spell_transposed(exported: ExportedProgram) -> None:
    """Leave no transposed convolution that the converter does not know, in place."""
    for node in list(exported.graph.nodes):
        if node.target in TRANSPOSED:
            put(exported, node, _transposed(node))


def _given(node: Node) -> tuple[dict[str, Any], list[int]]:
    """The arguments, and how far the first and last value of the kernel are apart."""
    weight: Any = node.args[1]
    sizes = weight.meta["val"].shape[2:]
    given = arguments(node, len(sizes))
    return given, [step * (size - 1) for step, size in zip(given["dilation"], sizes, strict=True)]


def _explicit(node: Node) -> Node:
    given, reach = _given(node)
    nothing = [0] * len(reach)
    total = reach if given["padding"] == "same" else nothing
    before, after = [size // 2 for size in total], [size - size // 2 for size in total]
    steps = Steps(node, given["input"])
    if before != after:
        steps.extend(before, after)
        before = nothing
    weights = (given["weight"], given["bias"])
    return steps.then(
        _SAME[node.target], *weights, given["stride"], before, given["dilation"], given["groups"]
    )


def _transposed(node: Node) -> Node:
    """The convolution as it is where the converter knows it."""
    given, reach = _given(node)
    stride, padding, nothing = given["stride"], given["padding"], [0] * len(reach)
    is_spread = len(stride) == 3 or max(given["dilation"]) > 1
    is_valid = padding == nothing
    is_same = all(2 * pad == size + 1 - step for pad, size, step in zip(padding, reach, stride, strict=True))
    is_plain = given["output_padding"] == nothing and (is_valid or is_same)
    if max(stride) == 1 or (is_plain and not is_spread):
        return node
    steps = Steps(node, given["input"])
    if is_spread:
        steps.spread(stride)
        stride = [1] * len(reach)
    wanted = list(node.meta["val"].shape[-len(reach) :])
    extents = zip(steps.sizes[-len(reach) :], stride, reach, strict=True)
    full = [(size - 1) * step + extent + 1 for size, step, extent in extents]
    missing = [max(0, pad + size - most) for pad, size, most in zip(padding, wanted, full, strict=True)]
    steps.extend(nothing, [math.ceil(size / step) for size, step in zip(missing, stride, strict=True)])
    shape = (stride, nothing, nothing, given["groups"], given["dilation"])
    steps.then(node.target, given["weight"], given["bias"], *shape)
    steps.crop(padding, wanted)
    return steps.made
