"""Changes to a graph that keep every node's name and the shape of what it gives."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_aggregate, map_arg

from .graph import constant


def insert(
    module: GraphModule,
    before: Node,
    target: Any,
    args: tuple[Any, ...],
    name: str,
    kwargs: dict[str, Any] | None = None,
) -> Node:
    """A new call in front of a node, in whose place of the source it stands."""
    with module.graph.inserting_before(before):
        made = module.graph.call_function(target, args, kwargs or {})
    made.meta = {**before.meta, "name": name, "val": _shaped(made)}
    return made


def replace(
    module: GraphModule, node: Node, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
) -> Node:
    """A call in the place of another, under its name."""
    made = insert(module, node, target, args, node.meta["name"], kwargs)
    put(module, node, made)
    return made


def put(module: GraphModule, node: Node, other: Node) -> None:
    """Have all that read a node read another one, and drop it."""
    node.replace_all_uses_with(other)
    module.graph.erase_node(node)


def add_constant(module: GraphModule, before: Node, tensor: torch.Tensor) -> Node:
    """A tensor that the module holds from now on."""
    name = next(
        candidate
        for number in range(len(module.graph.nodes) + 1)
        if not hasattr(module, candidate := f"{before.name}_constant_{number}")
    )
    module.register_buffer(name, tensor)
    with module.graph.inserting_before(before):
        made = module.graph.get_attr(name)
    made.meta["val"] = tensor
    return made


def sweep(module: GraphModule) -> None:
    """Drop what nobody reads."""
    for node in reversed(list(module.graph.nodes)):
        if not node.users and node.op in ("call_function", "get_attr"):
            module.graph.erase_node(node)


def shape(module: GraphModule, node: Node) -> tuple[int, ...]:
    return tuple(shaped(module, node).shape)


def shaped(module: GraphModule, node: Node) -> Any:
    """A tensor, or tensors, like what a node gives."""
    found = constant(module, node)
    return node.meta["val"] if found is None else found


def _shaped(node: Node) -> Any:
    """What a call gives, without its numbers."""
    module = node.graph.owning_module
    assert module is not None

    def bare(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return torch.empty(value.shape, dtype=value.dtype, device="meta")

    def of(source: Node) -> Any:
        return map_aggregate(shaped(module, source), bare)

    with torch.no_grad():
        return node.target(*map_arg(node.args, of), **map_arg(node.kwargs, of))  # type: ignore[operator]
