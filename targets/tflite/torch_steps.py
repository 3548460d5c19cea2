"""Ops put in front of a node of an exported program, each on what the one before gave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
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
        self.made = call(self._node, target, self.made, *args)
        return self.made

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


def call(node: Node, target: Any, *args: Any, **options: Any) -> Node:
    """An op in front of a node, in whose place of the source it stands."""
    with node.graph.inserting_before(node):
        made: Node = node.graph.call_function(target, args, options)
    values: Any = map_arg(args, lambda each: each.meta["val"])
    made.meta = {**node.meta, "val": target(*values, **options)}
    return made


def constant(exported: ExportedProgram, node: Node, name: str, tensor: torch.Tensor) -> Node:
    """A new weight of the program, for what is put in the place of a node."""
    name = f"{node.name}_{name}"
    first = next(iter(exported.graph.nodes))
    with exported.graph.inserting_before(first):
        made: Node = exported.graph.placeholder(name)
    made.meta["val"] = node.meta["val"].fake_mode.from_tensor(tensor, static_shapes=True)
    spec = InputSpec(InputKind.BUFFER, TensorArgument(made.name), made.name, persistent=True)
    exported.graph_signature.input_specs.insert(0, spec)
    exported.state_dict[made.name] = tensor
    return made


def known(exported: ExportedProgram, node: Node) -> torch.Tensor | None:
    """The value of what no input has a part in."""
    signature = exported.graph_signature
    stored = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    if node.name in stored:
        name = stored[node.name]
        value: torch.Tensor = (
            exported.state_dict[name] if name in exported.state_dict else exported.constants[name]
        )
        return value
    values = {each: known(exported, each) for each in node.all_input_nodes}
    if node.op != "call_function" or any(value is None for value in values.values()):
        return None
    args: Any = map_arg((node.args, node.kwargs), values.__getitem__)
    made: torch.Tensor = node.target(*args[0], **args[1])  # type: ignore[operator]
    return made


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
