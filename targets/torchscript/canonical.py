"""The same graph with less in it: nothing that only training needs, no batch normalisation, padding inside convolutions.

Every step keeps what is computed, to float32 rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .graph import arguments, calls, constant, is_op, kind, spread

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

CONVOLUTIONS = {"aten::conv1d", "aten::conv2d"}


def canonicalise(module: GraphModule) -> None:
    """Rewrite the graph in place."""
    for rewrite in (
        _drop,
        _reshape,
        _convolution,
        _constant_pad,
        _fold_padding,
        _fold_batch_norm,
        _split_silu,
    ):
        for node in calls(module):
            rewrite(module, node)
        _sweep(module)
    module.graph.lint()


def _sweep(module: GraphModule) -> None:
    for node in reversed(list(module.graph.nodes)):
        if not node.users and node.op in ("call_function", "get_attr"):
            module.graph.erase_node(node)


def _insert(module: GraphModule, before: Node, target: Any, args: tuple[Any, ...], name: str) -> Node:
    with module.graph.inserting_before(before):
        made = module.graph.call_function(target, args)
    made.meta = {**before.meta, "name": name}
    return made


def _replace(module: GraphModule, node: Node, target: Any, args: tuple[Any, ...]) -> Node:
    made = _insert(module, node, target, args, node.meta["name"])
    node.replace_all_uses_with(made)
    module.graph.erase_node(node)
    return made


def _drop(module: GraphModule, node: Node) -> None:
    casts_nothing = (
        kind(node) in ("aten::to", "aten::_to_copy")
        and isinstance(node.args[0], Node)
        and node.meta["val"].dtype == node.args[0].meta["val"].dtype
    )
    if kind(node) in NOTHING or casts_nothing:
        node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
        module.graph.erase_node(node)


def _reshape(module: GraphModule, node: Node) -> None:
    """Views want their input's memory in order, which dropping copies may have undone."""
    if kind(node) in ("aten::view", "aten::_unsafe_view", "aten::flatten", "aten::unflatten"):
        _replace(module, node, aten.reshape.default, (node.args[0], list(node.meta["val"].shape)))


def _convolution(module: GraphModule, node: Node) -> None:
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
        _replace(module, node, known[dims], tuple(given[key] for key in keys))


def _constant_pad(module: GraphModule, node: Node) -> None:
    """``aten::pad`` is newer than many runtimes."""
    if kind(node) == "aten::pad":
        given = arguments(node)
        if given["mode"] == "constant":
            fill = given["value"] or 0.0
            _replace(module, node, aten.constant_pad_nd.default, (given["self"], given["pad"], fill))


def _fold_padding(module: GraphModule, node: Node) -> None:
    """Zeros on both sides alike become the convolution's own padding; ``same`` becomes numbers."""
    if kind(node) not in CONVOLUTIONS:
        return
    given = arguments(node)
    dims = given["weight"].meta["val"].dim() - 2
    if isinstance(given["padding"], str):
        padding = _padding_in_numbers(given, dims)
        if padding is None:
            return
        target = {1: aten.conv1d.default, 2: aten.conv2d.default}[dims]
        node = _replace(module, node, target, (*list(given.values())[:4], padding, *list(given.values())[5:]))
        given = arguments(node)
    source = given["input"]
    if kind(source) != "aten::constant_pad_nd" or source.args[2] != 0:
        return
    sides = list(source.args[1])
    pairs = [tuple(sides[2 * axis : 2 * axis + 2]) for axis in range(len(sides) // 2)]
    if len(pairs) > dims or any(low != high or low < 0 for low, high in pairs):
        return
    extra = [0] * (dims - len(pairs)) + [low for low, _ in reversed(pairs)]
    own = spread(given["padding"], dims)
    given |= {"input": source.args[0], "padding": [a + b for a, b in zip(own, extra, strict=True)]}
    _replace(module, node, node.target, tuple(given.values()))


def _padding_in_numbers(given: dict[str, Any], dims: int) -> list[int] | None:
    """The padding that ``valid`` or ``same`` stands for; None where it differs from side to side."""
    if given["padding"] == "valid":
        return [0] * dims
    kernel = given["weight"].meta["val"].shape[2:]
    totals = [d * (k - 1) for d, k in zip(spread(given["dilation"], dims), kernel, strict=True)]
    return [total // 2 for total in totals] if all(total % 2 == 0 for total in totals) else None


def _fold_batch_norm(module: GraphModule, node: Node) -> None:
    """Into the convolution or linear layer before it, or else to one multiplication and one addition."""
    if kind(node) != "aten::_native_batch_norm_legit_no_training":
        return
    source, *rest = node.args
    weight, bias, mean, variance = (constant(module, each) for each in rest[:4])
    if mean is None or variance is None or not isinstance(source, Node):
        return
    scale = torch.rsqrt(variance.double() + float(node.args[6]))  # type: ignore[arg-type]
    scale = scale * weight.double() if weight is not None else scale
    shift = -mean.double() * scale + (bias.double() if bias is not None else 0.0)
    folded = _folded(module, node, source, scale, shift) or _affine(module, node, source, scale, shift)
    for user in list(node.users):  # getitem 0, the output; the statistics are training's
        user.replace_all_uses_with(folded)
        module.graph.erase_node(user)
    module.graph.erase_node(node)


def _folded(
    module: GraphModule, node: Node, source: Node, scale: torch.Tensor, shift: torch.Tensor
) -> Node | None:
    kinds = CONVOLUTIONS | {"aten::conv3d", "aten::linear"}
    if not is_op(source) or kind(source) not in kinds or len(source.users) != 1:
        return None
    given = arguments(source)
    weight, bias = constant(module, given["weight"]), constant(module, given["bias"])
    if weight is None or (given["bias"] is not None and bias is None):
        return None
    if kind(source) == "aten::linear" and node.meta["val"][0].dim() != 2:
        return None  # its features are the last axis, batch normalisation's the second
    made = weight.double() * scale.reshape(-1, *[1] * (weight.dim() - 1))
    moved = shift + (bias.double() * scale if bias is not None else 0.0)
    given |= {
        "weight": _add_constant(module, source, f"{source.name}_folded_weight", made.float()),
        "bias": _add_constant(module, source, f"{source.name}_folded_bias", moved.float()),
    }
    return _replace(module, source, source.target, tuple(given.values()))


def _affine(module: GraphModule, node: Node, source: Node, scale: torch.Tensor, shift: torch.Tensor) -> Node:
    shape = [-1, *[1] * (node.meta["val"][0].dim() - 2)]
    factor = _add_constant(module, node, f"{node.name}_scale", scale.float().reshape(shape))
    offset = _add_constant(module, node, f"{node.name}_shift", shift.float().reshape(shape))
    name = node.meta["name"]
    scaled = _insert(module, node, aten.mul.Tensor, (source, factor), f"{name}.scale")
    shifted = _insert(module, node, aten.add.Tensor, (scaled, offset), name)
    for made in (scaled, shifted):
        made.meta["val"] = node.meta["val"][0]
    return shifted


def _add_constant(module: GraphModule, before: Node, name: str, tensor: torch.Tensor) -> Node:
    module.register_buffer(name, tensor.contiguous())
    with module.graph.inserting_before(before):
        made = module.graph.get_attr(name)
    made.meta["val"] = tensor
    return made


def _split_silu(module: GraphModule, node: Node) -> None:
    """``x * sigmoid(x)``, both of which have integer kernels."""
    if kind(node) == "aten::silu":
        gate = _insert(module, node, aten.sigmoid.default, (node.args[0],), f"{node.meta['name']}.sigmoid")
        _replace(module, node, aten.mul.Tensor, (node.args[0], gate))
