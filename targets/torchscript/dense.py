"""Products with constant matrices, as linear layers."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .edit import add_constant, insert, put, replace, shape
from .graph import arguments, constant, kind
from .layout import inverse, order_of

aten = torch.ops.aten


def linear(module: GraphModule, node: Node) -> None:
    """``x @ W`` for a constant matrix W, and what an einsum does of the same kind."""
    match kind(node):
        case "aten::matmul" | "aten::mm":
            weight = constant(module, node.args[1])
            if weight is not None and weight.dim() == 2 and _is_float(module, node.args[0]):
                _replace(module, node, node.args[0], weight.t())
        case "aten::addmm":
            given = arguments(node)
            weight, bias = constant(module, given["mat2"]), constant(module, given["self"])
            plain = given["beta"] == 1 and given["alpha"] == 1
            if weight is not None and bias is not None and bias.shape == weight.shape[1:] and plain:
                _replace(module, node, given["mat1"], weight.t(), bias)
        case "aten::einsum":
            _einsum(module, node)


def _is_float(module: GraphModule, node: object) -> bool:
    if not isinstance(node, Node) or constant(module, node) is not None:
        return False
    found = node.meta["val"]
    return bool(found.dtype == torch.float32 and found.dim() > 1)


def _replace(
    module: GraphModule, node: Node, source: Any, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> None:
    stored = (add_constant(module, node, each) for each in (weight, bias) if each is not None)
    replace(module, node, aten.linear.default, (source, *stored))


def _einsum(module: GraphModule, node: Node) -> None:
    """Where the last dimensions of the input meet those of a constant, in the same order."""
    args: Any = node.args
    equation, operands = args[:2]
    if len(operands) != 2 or "." in equation:
        return
    source, matrix = operands
    weight = constant(module, matrix)
    if weight is None or not _is_float(module, source):
        return
    taken, _, made = equation.replace(" ", "").partition("->")
    of_input, of_weight = taken.split(",")
    summed = [label for label in of_input if label in of_weight and label not in made]
    kept = of_input.removesuffix("".join(summed))
    new = [label for label in of_weight if label not in summed]
    if not summed or made != kept + "".join(new) or not _is_plain(of_input, of_weight, summed):
        return
    turned = weight.permute([of_weight.index(label) for label in (*new, *summed)])
    inputs = [of_weight.index(label) for label in summed]
    width = int(torch.tensor([weight.shape[place] for place in inputs]).prod())
    name, lead = node.meta["name"], list(shape(module, source)[: len(kept)])
    flat = source
    if len(summed) > 1:
        flat = insert(module, node, aten.reshape.default, (source, [*lead, width]), f"{name}.flatten")
    stored = add_constant(module, node, turned.reshape(-1, width))
    if len(new) == 1:
        replace(module, node, aten.linear.default, (flat, stored))
        return
    product = insert(module, node, aten.linear.default, (flat, stored), name)
    sizes = list(node.meta["val"].shape)
    put(module, node, insert(module, node, aten.reshape.default, (product, sizes), f"{name}.unflatten"))


def _is_plain(of_input: str, of_weight: str, summed: list[str]) -> bool:
    """Whether no label is there twice, but those that are summed, once on each side."""
    return len(set(of_input + of_weight)) == len(of_input) + len(of_weight) - len(set(summed))


def unflatten(module: GraphModule, node: Node) -> None:
    """A permutation before all is flattened for a linear layer, in that layer's weights."""
    flat = node.args[0] if kind(node) == "aten::linear" else None
    if not isinstance(flat, Node) or kind(flat) != "aten::reshape" or len(flat.users) != 1:
        return
    permuted = flat.args[0]
    order, weight = order_of(permuted), constant(module, node.args[1])
    if order is None or weight is None or order[0] != 0 or len(shape(module, flat)) != 2:
        return
    source: Any = permuted.args[0]  # type: ignore[union-attr]
    sizes = shape(module, permuted)  # type: ignore[arg-type]
    if sizes[0] != shape(module, flat)[0]:
        return
    turned = weight.reshape(-1, *sizes[1:]).permute(inverse(order)).reshape(weight.shape)
    stored = add_constant(module, node, turned)
    joined = insert(module, node, aten.reshape.default, (source, flat.args[1]), flat.meta["name"])
    replace(module, node, aten.linear.default, (joined, stored, *node.args[2:]))
