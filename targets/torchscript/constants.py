"""What a graph computes of its constants alone is computed once, before anything is packed."""

from __future__ import annotations

import hashlib
import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from .edit import add_constant, put
from .graph import calls, constant, is_op

SMALL = 4096
"""Bytes that a constant may grow by; larger ones, such as tables of zeros, are cheaper computed than stored."""


def fold(module: GraphModule) -> None:
    """Put the tensor in the place of every op that only reads constants."""
    for node in calls(module):
        made = _computed(module, node)
        if made is not None:
            put(module, node, add_constant(module, node, made))


def _computed(module: GraphModule, node: Node) -> torch.Tensor | None:
    """The tensor that an op gives, or that is taken out of what one gives several in; ``None`` where it is no constant."""
    is_item = node.target is operator.getitem
    op: Any = node.args[0] if is_item else node
    if not is_op(op) or torch.Tag.nondeterministic_seeded in op.target.tags:
        return None
    known = [constant(module, source) for source in op.all_input_nodes]
    sources = [tensor for tensor in known if tensor is not None]
    found = node.meta.get("val")
    if len(sources) < len(known) or not isinstance(found, torch.Tensor):
        return None
    if _bytes(found) > sum(map(_bytes, sources)) + SMALL:
        return None
    values: Any = map_arg((op.args, op.kwargs), lambda source: constant(module, source))
    with torch.no_grad():
        made = op.target(*values[0], **values[1])
    return made[node.args[1]].clone() if is_item else made  # type: ignore[no-any-return]


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def settle(module: GraphModule) -> None:
    """Hold every constant once, its memory in order, unless it is a view of another that is needed, too."""
    held = {node: constant(module, node) for node in module.graph.nodes if node.op == "get_attr"}
    owners: dict[int, set[tuple[object, ...]]] = {}
    first: dict[tuple[object, ...], str] = {}
    for node, tensor in held.items():
        if tensor is None:
            continue
        here = (*tensor.shape, tensor.stride(), tensor.storage_offset())
        owners.setdefault(tensor.untyped_storage().data_ptr(), set()).add(here)
        node.target = first.setdefault(_content(tensor), str(node.target))
    for node, tensor in held.items():
        if tensor is None or "." in str(node.target):
            continue
        storage = tensor.untyped_storage()
        is_loose = not tensor.is_contiguous() or storage.nbytes() != _bytes(tensor)
        if is_loose and len(owners[storage.data_ptr()]) == 1:
            setattr(module, str(node.target), torch.nn.Buffer(tensor.contiguous().clone()))


def _content(tensor: torch.Tensor) -> tuple[object, ...]:
    data = tensor.contiguous().numpy().tobytes()
    return (tensor.dtype, tuple(tensor.shape), tensor.stride(), hashlib.sha256(data).digest())
