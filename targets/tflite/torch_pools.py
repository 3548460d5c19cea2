"""Pools of an exported program, written so that padding stays a number that int8 has.

The converter pads a maximum with minus infinity and leaves an average that does not count its padding to a kernel of
floats. Where values are not negative, zeros do for the one; the other is an average that counts it, times what that lost.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .torch_steps import Steps, arguments, put

_aten = torch.ops.aten
_MAXIMA: dict[Any, int] = {_aten.max_pool1d.default: 1, _aten.max_pool2d.default: 2}
_NOT_NEGATIVE = {
    _aten.relu.default, _aten.relu_.default, _aten.relu6.default, _aten.sigmoid.default, _aten.hardsigmoid.default,
    _aten.softmax.int, _aten.softplus.default, _aten.abs.default, _aten.exp.default,
}  # fmt: skip
_KEEPING = {
    _aten.max_pool1d.default, _aten.max_pool2d.default, _aten.dropout.default, _aten.contiguous.default,
    _aten.clone.default, _aten.reshape.default, _aten.view.default, _aten.permute.default, _aten.transpose.int,
}  # fmt: skip


def spell(exported: ExportedProgram) -> None:
    """Rewrite the graph in place."""
    for node in list(exported.graph.nodes):
        if node.target in _MAXIMA:
            put(exported, node, _maximum(node))
        elif node.target == _aten.adaptive_max_pool2d.default:
            _adaptive(exported, node)


def _maximum(node: Node) -> Node:
    """Zeros around what is not negative; as it is, where there are no zeros to be put or they may be the greatest."""
    dims = _MAXIMA[node.target]
    given = arguments(node, dims)
    stride = given["stride"] or given["kernel_size"]
    sizes, results = (value.meta["val"].shape[-dims:] for value in (given["self"], node))
    before, after = given["padding"], []
    for size, result, step, place in zip(sizes, results, stride, range(dims), strict=True):
        reach = given["dilation"][place] * (given["kernel_size"][place] - 1)
        after.append(max(0, (result - 1) * step + reach + 1 - size - before[place]))
    is_same = all(
        first == (first + last) // 2 and result == -(-size // step)
        for first, last, size, result, step in zip(before, after, sizes, results, stride, strict=True)
    )
    if is_same or not any((*before, *after)) or not _is_not_negative(given["self"]):
        return node
    steps = Steps(node, given["self"])
    steps.extend(before, after)
    return steps.then(node.target, given["kernel_size"], stride, [0] * dims, given["dilation"])


def _is_not_negative(node: Any) -> bool:
    while node.target in _KEEPING or _is_zero_padding(node):
        node = node.args[0]
    if node.target in (_aten.hardtanh.default, _aten.hardtanh_.default, _aten.clamp.default):
        least = node.args[1] if len(node.args) > 1 else -1
        return least is not None and least >= 0
    return node.target in _NOT_NEGATIVE


def _is_zero_padding(node: Node) -> bool:
    return node.target == _aten.constant_pad_nd.default and node.args[2:] in ((), (0,))


def _adaptive(exported: ExportedProgram, node: Node) -> None:
    """The maxima alone, of windows of one size, where the image is so many windows."""
    source: Any = node.args[0]
    sizes, results = source.meta["val"].shape[-2:], node.meta["val"][0].shape[-2:]
    is_whole = not any(size % result for size, result in zip(sizes, results, strict=True))
    readers = [each for each in node.users if each.users]
    if not is_whole or any(each.target is not operator.getitem or each.args[1] != 0 for each in readers):
        return
    windows = [size // result for size, result in zip(sizes, results, strict=True)]
    for reader in readers:
        put(exported, reader, Steps(reader, source).then(_aten.max_pool2d.default, windows, windows))
    for unread in [*node.users, node]:
        exported.graph.erase_node(unread)
