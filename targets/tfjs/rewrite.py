"""Ops of a graph said in other ops, each rewrite written as what it is: a function of TensorFlow tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from .nodes import Nodes, node_of


@dataclass(frozen=True)
class Call:
    """One op as a rewrite sees it.

    Attributes:
        op: its kind.
        inputs: tensors of the types and shapes that are known here; those that are constant have their values.
        output: the shape of its first output, as far as it is known.
        attr: its attributes.
        outputs_read: the numbers of the outputs that other ops read.
    """

    op: str
    inputs: tuple[tf.Tensor, ...]
    output: tf.TensorShape
    attr: Mapping[str, Any]
    outputs_read: frozenset[int]

    def ints(self, name: str) -> list[int]:
        return list(self.attr[name].list.i)

    def text(self, name: str) -> str:
        return str(self.attr[name].s.decode())

    def constant(self, number: int) -> Any | None:
        """An input's value, as numpy has it; ``None`` where it is computed."""
        return tf.get_static_value(self.inputs[number])

    def shape(self, number: int) -> list[int | None] | None:
        """An input's shape; ``None`` where not even its rank is known."""
        shape = self.inputs[number].shape
        return None if shape.rank is None else shape.as_list()

    def again(self, inputs: Sequence[tf.Tensor] | None = None, **changed: Any) -> tf.Tensor:
        """The same op on other inputs, or with other attributes."""
        graph = tf.compat.v1.get_default_graph()
        name = graph.unique_name(self.op)
        node = node_def_pb2.NodeDef(name=name, op=self.op, input=[f"i{n}" for n in range(len(self.inputs))])
        for key, value in self.attr.items():
            if not key.startswith("_"):
                node.attr[key].CopyFrom(value)
        for key, value in changed.items():
            _set(node.attr[key], value)
        feeds = dict(zip(node.input, inputs or self.inputs, strict=True))
        definition = graph_pb2.GraphDef(node=[*map(_placeholder, feeds, feeds.values()), node])
        mapped = {key: tf.convert_to_tensor(value) for key, value in feeds.items()}
        (made,) = tf.import_graph_def(definition, mapped, [f"{name}:0"], name="again")
        return made


Rewrite = Callable[[Call], tf.Tensor | None]
"""The op's first output, computed with others; ``None`` to leave it as it is."""


def rewrite(nodes: Nodes, table: Mapping[str, Rewrite]) -> None:
    """Put other ops in the place of those in the table, once each; their names stay."""
    if not any(node.op in table for node in nodes):
        return
    shapes = _with_shapes(nodes)
    for node in nodes:
        if node.op in table:
            _replace(nodes, node, shapes.get_operation_by_name(node.name), table[node.op])


def _with_shapes(nodes: Nodes) -> tf.Graph:
    """The graph with its shapes, in loops too.

    TensorFlow knows none there, as a loop's variable may change its shape. That it has one shape is assumed first, and
    holds if from that follows that the next round's has the same.
    """
    variables = {
        node.name: node
        for node in nodes
        if node.op == "Merge" and any(nodes.source(tensor).op == "NextIteration" for tensor in node.input)
        if not _read(nodes, node) - {0}
    }
    while True:
        with tf.Graph().as_default() as graph:
            definition = [
                _first_round(node) if node.name in variables or node.op == "Enter" else node for node in nodes
            ]
            tf.import_graph_def(graph_pb2.GraphDef(node=definition), name="")
        changing = [name for name, node in variables.items() if not _keeps_shape(graph, node)]
        if not changing:
            return graph
        for name in changing:
            del variables[name]


def _first_round(node: Any) -> Any:
    """The value with which a loop begins, which TensorFlow takes for one of any shape."""
    first = node_def_pb2.NodeDef(name=node.name, op="Identity", input=node.input[:1])
    first.attr["T"].CopyFrom(node.attr["T"])
    return first


def _keeps_shape(graph: tf.Graph, variable: Any) -> bool:
    first, following = (graph.get_tensor_by_name(f"{name}:0").shape for name in variable.input[:2])
    return first.rank is not None and following.rank is not None and first.as_list() == following.as_list()


def _replace(nodes: Nodes, node: Any, operation: Any, function: Rewrite) -> None:
    data = [tensor for tensor in node.input if not tensor.startswith("^")]
    with tf.Graph().as_default():
        inputs = [
            _stand_in(nodes.constant(name), tensor)
            for name, tensor in zip(data, operation.inputs, strict=True)
        ]
        call = Call(node.op, tuple(inputs), operation.outputs[0].shape, dict(node.attr), _read(nodes, node))
        result = function(call)
        if result is None:
            return
        names = {tensor.op.name: name for tensor, name in zip(inputs, data, strict=True)}
        for made in _needed(result.op, names):
            new = nodes.add(made.type, f"{node.name}/{made.name}", [_renamed(t, names) for t in made.inputs])
            new.MergeFrom(node_def_pb2.NodeDef(attr=made.node_def.attr))
            names[made.name] = new.name
        tensor = _renamed(result, names)
        nodes.connect(node, [tensor, *(name for name in node.input if name.startswith("^"))])
        node.op = "Identity"
        node.attr.clear()
        node.attr["T"].type = result.dtype.as_datatype_enum


def _read(nodes: Nodes, node: Any) -> frozenset[int]:
    inputs = (tensor for reader in nodes.readers(node) for tensor in reader.input)
    return frozenset(
        int(tensor.partition(":")[2] or 0)
        for tensor in inputs
        if node_of(tensor) == node.name and not tensor.startswith("^")
    )


def _stand_in(value: Any | None, tensor: tf.Tensor) -> tf.Tensor:
    if value is not None:
        return tf.constant(value, tensor.dtype, name="in")
    return tf.compat.v1.placeholder(tensor.dtype, tensor.shape, name="in")


def _needed(last: Any, known: Mapping[str, str]) -> list[Any]:
    """What computes an op, each after its inputs, without what is there already."""
    needed = {last.name}
    operations = [op for op in last.graph.get_operations() if op.name not in known]
    for op in reversed(operations):  # TensorFlow lists them in the order they were made in
        if op.name in needed:
            needed.update(tensor.op.name for tensor in op.inputs)
    return [op for op in operations if op.name in needed]


def _renamed(tensor: tf.Tensor, names: Mapping[str, str]) -> str:
    if tensor.op.name not in names:
        raise AssertionError(tensor.op.name)
    name, number = names[tensor.op.name], tensor.value_index
    return name if number == 0 else f"{name}:{number}"


def _placeholder(name: str, tensor: tf.Tensor) -> Any:
    node = node_def_pb2.NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = tf.as_dtype(tensor.dtype).as_datatype_enum
    return node


def _set(attribute: Any, value: object) -> None:
    if isinstance(value, str):
        attribute.s = value.encode()
    else:
        attribute.list.i[:] = value
