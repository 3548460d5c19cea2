"""The same graph with less in it: constants computed, nothing that only training needs, no layout but PyTorch's own,
no batch normalisation, padding inside convolutions.

Every step keeps what is computed, to float32 rounding.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch.fx import GraphModule, Node

from . import activations, affine, constants, convolution, dense, layout
from .edit import insert, put, replace, shaped, sweep
from .graph import arguments, calls, kind

aten = torch.ops.aten

NOTHING = {
    "aten::clone",
    "aten::alias",
    "aten::detach",
    "aten::dropout",
    "aten::feature_dropout",
    "aten::alpha_dropout",
    "aten::lift_fresh_copy",
    "aten::contiguous",
}
"""What gives its input, when a model only infers; ``reshape`` below makes memory layout nobody's concern."""

ALIASES: dict[str, Any] = {
    "aten::subtract": aten.sub,
    "aten::multiply": aten.mul,
    "aten::divide": aten.div,
    "aten::true_divide": aten.div,
    "aten::concat": aten.cat,
    "aten::concatenate": aten.cat,
}


def canonicalise(module: GraphModule) -> None:
    """Rewrite the graph in place."""
    _each(module, _drop, _alias)
    constants.fold(module)
    _each(module, _reshape, _slices, convolution.name, convolution.pad, convolution.subsample, dense.linear)
    layout.sink(module)
    sweep(module)
    _each(module, activations.clamp, activations.hard_sigmoid)
    constants.fold(module)
    affine.fold(module)
    _each(module, convolution.fold_edges, convolution.fold_padding, dense.unflatten, activations.split_silu)
    constants.fold(module)
    sweep(module)
    constants.settle(module)
    module.graph.lint()


def _each(module: GraphModule, *rewrites: Any) -> None:
    for rewrite in rewrites:
        for node in calls(module):
            rewrite(module, node)
        sweep(module)


def _drop(module: GraphModule, node: Node) -> None:
    casts_nothing = (
        kind(node) in ("aten::to", "aten::_to_copy")
        and isinstance(node.args[0], Node)
        and node.meta["val"].dtype == shaped(module, node.args[0]).dtype
    )
    if kind(node) in NOTHING or casts_nothing:
        put(module, node, node.args[0])  # type: ignore[arg-type]


def _alias(module: GraphModule, node: Node) -> None:
    """Ops that have two names."""
    packet = ALIASES.get(kind(node))
    if packet is not None:
        target = getattr(packet, node.target._overloadname)  # type: ignore[union-attr]
        replace(module, node, target, node.args, dict(node.kwargs))


def _reshape(module: GraphModule, node: Node) -> None:
    """Views want their input's memory in order, which dropping copies may have undone."""
    views = ("aten::view", "aten::_unsafe_view", "aten::flatten", "aten::unflatten")
    if kind(node) in (*views, "aten::squeeze", "aten::unsqueeze"):
        replace(module, node, aten.reshape.default, (node.args[0], list(node.meta["val"].shape)))


def _slices(module: GraphModule, node: Node) -> None:
    """The parts of a tensor, each as a slice of it, which has an integer kernel."""
    if kind(node) not in ("aten::split", "aten::split_with_sizes", "aten::chunk"):
        return
    dim = arguments(node)["dim"]
    edges = [0, *itertools.accumulate(part.shape[dim] for part in node.meta["val"])]
    for user in list(node.users):
        index: Any = user.args[1]
        args = (node.args[0], dim, edges[index], edges[index + 1])
        put(module, user, insert(module, user, aten.slice.Tensor, args, f"{node.meta['name']}.{index}"))
