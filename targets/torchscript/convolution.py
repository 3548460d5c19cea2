"""Convolutions and their padding under one name each, with the padding inside where both sides are alike."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .edit import insert, put, replace, shape
from .graph import arguments, kind, spread
from .kernels import CONVOLUTIONS

aten = torch.ops.aten

PADS = {
    ("replicate", 1): aten.replication_pad1d.default,
    ("replicate", 2): aten.replication_pad2d.default,
    ("replicate", 3): aten.replication_pad3d.default,
    ("reflect", 1): aten.reflection_pad1d.default,
    ("reflect", 2): aten.reflection_pad2d.default,
    ("reflect", 3): aten.reflection_pad3d.default,
}
"""By mode and the number of dimensions that are padded."""


def name(module: GraphModule, node: Node) -> None:
    """The general convolution that a TorchScript file has, as the one that it is."""
    named = {1: aten.conv1d.default, 2: aten.conv2d.default}
    by_mode = {1: aten.conv1d.padding, 2: aten.conv2d.padding}
    general = ("aten::convolution", "aten::_convolution", "aten::_convolution_mode")
    given = arguments(node) if kind(node) in general else {}
    if not given or given.get("transposed"):
        return
    dims = node.meta["val"].dim() - 2
    known = named if "transposed" in given else by_mode
    if dims in known:
        keys = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        replace(module, node, known[dims], tuple(given[key] for key in keys))


def pad(module: GraphModule, node: Node) -> None:
    """``aten::pad`` is newer than many runtimes."""
    if kind(node) != "aten::pad":
        return
    given = arguments(node)
    known = PADS.get((given["mode"], len(given["pad"]) // 2))
    if given["mode"] == "constant":
        fill = given["value"] or 0.0
        replace(module, node, aten.constant_pad_nd.default, (given["self"], given["pad"], fill))
    elif known is not None:
        replace(module, node, known, (given["self"], given["pad"]))


def fold_padding(module: GraphModule, node: Node) -> None:
    """Zeros on both sides alike become the convolution's own padding; ``same`` becomes numbers."""
    if kind(node) not in CONVOLUTIONS:
        return
    given = arguments(node)
    dims = len(shape(module, given["weight"])) - 2
    if isinstance(given["padding"], str):
        padding = _padding_in_numbers(module, given, dims)
        if padding is None:
            return
        target = {1: aten.conv1d.default, 2: aten.conv2d.default}[dims]
        node = replace(module, node, target, (*list(given.values())[:4], padding, *list(given.values())[5:]))
        given = arguments(node)
    source: Any = given["input"]
    if kind(source) != "aten::constant_pad_nd" or arguments(source)["value"] != 0:
        return
    sides = list(source.args[1])
    pairs = [tuple(sides[2 * axis : 2 * axis + 2]) for axis in range(len(sides) // 2)]
    if len(pairs) > dims or any(low != high or low < 0 for low, high in pairs):
        return
    extra = [0] * (dims - len(pairs)) + [low for low, _ in reversed(pairs)]
    own = spread(given["padding"], dims)
    given |= {"input": source.args[0], "padding": [a + b for a, b in zip(own, extra, strict=True)]}
    replace(module, node, node.target, tuple(given.values()))


def _padding_in_numbers(module: GraphModule, given: dict[str, Any], dims: int) -> list[int] | None:
    """The padding that ``valid`` or ``same`` stands for; None where it differs from side to side."""
    if given["padding"] == "valid":
        return [0] * dims
    kernel = shape(module, given["weight"])[2:]
    totals = [d * (k - 1) for d, k in zip(spread(given["dilation"], dims), kernel, strict=True)]
    return [total // 2 for total in totals] if all(total % 2 == 0 for total in totals) else None


def subsample(module: GraphModule, node: Node) -> None:
    """A maximum of single values takes every so many of them; qnnpack refuses such a pool."""
    if kind(node) not in ("aten::max_pool1d", "aten::max_pool2d"):
        return
    given, sizes = arguments(node), node.meta["val"].shape
    dims = len(sizes) - 2
    if any(size != 1 for size in spread(given["kernel_size"], dims)) or any(spread(given["padding"], dims)):
        return
    source, ends = given["self"], shape(module, given["self"])
    for dim, step in enumerate(spread(given["stride"] or 1, dims), 2):
        args = (source, dim, 0, ends[dim], step)
        name = node.meta["name"] if dim == dims + 1 else f"{node.meta['name']}.{dim}"
        source = insert(module, node, aten.slice.Tensor, args, name)
    put(module, node, source)


def fold_edges(module: GraphModule, node: Node) -> None:
    """Edges repeated before a maximum change nothing: windows that reach over them find the same."""
    source: Any = node.args[0] if node.args else None
    is_pool = kind(node) in ("aten::max_pool1d", "aten::max_pool2d")
    if not is_pool or kind(source) not in ("aten::replication_pad1d", "aten::replication_pad2d"):
        return
    given, sides = arguments(node), list(source.args[1])
    dims = node.meta["val"].dim() - 2
    low = [sides[2 * axis] for axis in reversed(range(dims))]
    high = [sides[2 * axis + 1] for axis in reversed(range(dims))]
    kernel, own = spread(given["kernel_size"], dims), spread(given["padding"], dims)
    fits = all(0 <= before <= after <= before + 1 for before, after in zip(low, high, strict=True))
    halves = all(before <= size // 2 for before, size in zip(low, kernel, strict=True))
    if not fits or not halves or any(own) or any(step != 1 for step in spread(given["dilation"], dims)):
        return
    given |= {"self": source.args[0], "padding": low, "ceil_mode": given["ceil_mode"] or low != high}
    made = insert(module, node, node.target, tuple(given.values()), node.meta["name"])
    if made.meta["val"].shape == node.meta["val"].shape:
        put(module, node, made)
    else:
        module.graph.erase_node(made)
