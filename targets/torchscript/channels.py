"""Which activations of a graph can have their channels scaled together, and which weights make up for it.

A scale of a channel passes through sums, pooling, padding and activations without a curve; convolutions and linear layers
take it up in their weights. A value that anything else reads or makes keeps its scale, and so do all that it passes through to.
Limits from above are such a curve: scaled, they would cut off what a channel that is quiet on these samples holds on others.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from edgepack.precision.groups import Group, Groups

from .graph import arguments, calls, constant, kind
from .kernels import AVERAGES, BINARY
from .logits import outputs
from .rounding import LAYERS, is_grouped, uses, weight_of

AXIS = 1
"""Of the channels."""

ALONG = {
    "aten::relu",
    "aten::leaky_relu",
    "aten::max_pool2d",
    "aten::max_pool1d",
    "aten::constant_pad_nd",
    "aten::upsample_nearest2d",
    "aten::upsample_bilinear2d",
    "aten::reshape",
    "aten::slice",
    "aten::flip",
    *AVERAGES,
    *BINARY,
}
"""Ops that a scale of a channel passes through, if its axis stays."""

Found = Group[Node, Node]


def groups(module: GraphModule) -> list[Found]:
    """The groups that layers both make and read, in the order that they are made."""
    found: Groups[Node, Node] = Groups()
    used = uses(module)
    found.close(outputs(module))
    for node in module.graph.nodes:
        if node.op == "placeholder":
            found.close([node])
    for node in calls(module):
        if kind(node) in LAYERS and _is_layer(module, node, used):
            found.of(_read(node)).readers.append(node)
            found.of(node).makers.append(node)
        elif kind(node) in ALONG and _passes(node):
            _along(found, node)
        else:
            found.close([*node.all_input_nodes, node])
    return found.scalable


def _is_layer(module: GraphModule, node: Node, used: Any) -> bool:
    """Whether its weights are nobody else's, and reads and makes channels along the axis."""
    given = arguments(node)
    weights = [constant(module, given[key]) for key in ("weight", "bias") if given[key] is not None]
    if any(each is None or used[each.untyped_storage().data_ptr()] > 1 for each in weights):
        return False
    dims = 2 if kind(node) == "aten::linear" else weight_of(module, node).dim()
    return not is_grouped(module, node) and node.meta["val"].dim() == dims


def _read(node: Node) -> Node:
    found: Node = arguments(node)["input"]
    return found


def _passes(node: Node) -> bool:
    sources = [each for each in node.all_input_nodes if each.op != "get_attr"]
    if len(sources) < len(node.all_input_nodes) or not all(_channels(each) for each in (node, *sources)):
        return False
    whole = [each for each in sources if _sizes(each) == _sizes(node)]
    name, given = kind(node), arguments(node)
    if name in BINARY:
        if len(set(sources)) != 2 or given.get("alpha", 1) != 1:
            return False
        return len(whole) == 2 or (name == "aten::mul" and bool(whole))
    if name == "aten::mean":
        dims = {dim % sources[0].meta["val"].dim() for dim in given["dim"] or ()}
        return bool(dims) and not dims & {0, AXIS} and _channels(sources[0]) == _channels(node)
    if name == "aten::constant_pad_nd" and given["value"] != 0:
        return False
    if name in ("aten::slice", "aten::flip"):
        touched = given["dims"] if name == "aten::flip" else [given["dim"]]
        if AXIS in {dim % node.meta["val"].dim() for dim in touched}:
            return False
    return _sizes(node)[:2] == _sizes(sources[0])[:2]


def _along(found: Groups[Node, Node], node: Node) -> None:
    """Every member of full width gets the scale; what is multiplied by does not."""
    first, *others = sorted(node.all_input_nodes, key=lambda each: _sizes(each) != _sizes(node))
    found.join(node, first)
    for other in others:
        if kind(node) == "aten::mul":
            found.close([other])
        else:
            found.join(node, other)


def _sizes(node: Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _channels(node: Node) -> int:
    """How many there are; 0 of what has none, or is no float tensor."""
    value: Any = node.meta.get("val")
    is_float = isinstance(value, torch.Tensor) and value.dtype == torch.float32
    return int(value.shape[AXIS]) if is_float and value.dim() > AXIS else 0
