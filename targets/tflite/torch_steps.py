"""Ops put in front of a node of an exported program, each on what the one before gave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.node import map_arg

_aten = torch.ops.aten


class Steps:
    """A way from a value on.

    Args:
        node: in front of which the ops are put, and in whose place of the source they stand.

    Attributes:
        made: what the last op gives.
    """

    def __init__(self, node: Node, start: Node) -> None:
        self._node, self.made = node, start

    @property
    def sizes(self) -> list[int]:
        return list(self.made.meta["val"].shape)

    def then(self, target: Any, *args: Any) -> Node:
        with self._node.graph.inserting_before(self._node):
            made = self._node.graph.call_function(target, (self.made, *args))
        values: Any = map_arg(made.args, lambda each: each.meta["val"])
        made.meta = {**self._node.meta, "val": target(*values)}
        self.made = made
        return made

    def extend(self, before: Sequence[int], after: Sequence[int]) -> None:
        """Zeros around the last dimensions."""
        if any((*before, *after)):
            pairs = zip(reversed(before), reversed(after), strict=True)
            self.then(_aten.constant_pad_nd.default, [size for pair in pairs for size in pair])

    def crop(self, starts: Sequence[int], sizes: Sequence[int]) -> None:
        """These many of the last dimensions."""
        for dim, (start, size) in enumerate(zip(starts, sizes, strict=True), len(self.sizes) - len(sizes)):
            if size != self.sizes[dim]:
                self.then(_aten.slice.Tensor, dim, start, start + size)

    def spread(self, strides: Sequence[int]) -> None:
        """Zeros between the values of the last dimensions."""
        for dim, stride in enumerate(strides, len(self.sizes) - len(strides)):
            sizes = self.sizes
            count, after = sizes[dim], sizes[dim + 1 :]
            if stride > 1:
                self.then(_aten.reshape.default, [math.prod(sizes[:dim]), count, 1, math.prod(after)])
                self.then(_aten.constant_pad_nd.default, [0, 0, 0, stride - 1])
                self.then(_aten.reshape.default, [*sizes[:dim], count * stride, *after])
                self.then(_aten.slice.Tensor, dim, 0, (count - 1) * stride + 1)


def arguments(node: Node, dims: int) -> dict[str, Any]:
    """A call's arguments by name; integers that may be one for all dimensions as one for each."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = {each.name: each.default_value for each in schema}
    given |= dict(zip(given, node.args, strict=False)) | dict(node.kwargs)
    for name in ("kernel_size", "stride", "padding", "output_padding", "dilation"):
        value = given.get(name, 0)
        if not isinstance(value, str):
            values = [value] if isinstance(value, int) else list(value)
            given[name] = values * dims if len(values) == 1 else values
    return given


def put(exported: ExportedProgram, node: Node, made: Node) -> None:
    """Have all that read a node read another one, and drop it."""
    if made is not node:
        node.replace_all_uses_with(made)
        exported.graph.erase_node(node)
