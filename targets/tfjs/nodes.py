"""A frozen graph as nodes by name, for passes that take nodes away or put others in their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from edgepack.spec import Array


def node_of(tensor: str) -> str:
    """The node's name in ``^name``, ``name:1`` or ``name``."""
    return tensor.removeprefix("^").partition(":")[0]


class Nodes:
    """The nodes of a graph without functions.

    Attributes:
        keep: the nodes that stay, under their names: inputs and outputs.
    """

    def __init__(self, graph: graph_pb2.GraphDef) -> None:
        self._nodes: dict[str, Any] = {node.name: node for node in graph.node}
        self.keep: set[str] = set()
        self._readers: dict[str, list[str]] = {name: [] for name in self._nodes}
        for node in graph.node:
            for tensor in node.input:
                self._readers[node_of(tensor)].append(node.name)

    def __iter__(self) -> Iterator[Any]:
        """The nodes there are now; a pass may change them meanwhile."""
        return iter(list(self._nodes.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def source(self, tensor: str) -> Any:
        """The node that makes a tensor."""
        return self._nodes[node_of(tensor)]

    def readers(self, node: Any) -> list[Any]:
        return [self._nodes[name] for name in self._readers[node.name]]

    def only_reader(self, node: Any) -> Any | None:
        """The one node that reads a node; None for several, and for one whose value is wanted outside."""
        readers = self._readers[node.name]
        return self._nodes[readers[0]] if len(readers) == 1 and node.name not in self.keep else None

    def constant(self, tensor: str) -> Array | None:
        """The value of a tensor that is constant."""
        node = self.source(tensor)
        value: Array | None = tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None
        return value

    def add(self, op: str, name: str, inputs: Iterable[str] = ()) -> Any:
        """A new node of that name, or of one like it that is free."""
        while name in self._nodes:
            name += "_"
        node = node_def_pb2.NodeDef(name=name, op=op)
        self._nodes[name] = node
        self._readers[name] = []
        self.connect(node, inputs)
        return node

    def add_constant(self, name: str, value: Array) -> str:
        node = self.add("Const", name)
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        node.attr["dtype"].type = node.attr["value"].tensor.dtype
        return str(node.name)

    def connect(self, node: Any, inputs: Iterable[str]) -> None:
        """Give a node other inputs."""
        for tensor in node.input:
            self._readers[node_of(tensor)].remove(node.name)
        node.input[:] = inputs
        for tensor in node.input:
            self._readers[node_of(tensor)].append(node.name)

    def bypass(self, node: Any, tensor: str) -> None:
        """Take a node of one output away; who read it reads ``tensor``."""
        new = {node.name: tensor, f"{node.name}:0": tensor, f"^{node.name}": f"^{node_of(tensor)}"}
        for name in dict.fromkeys(self._readers[node.name]):
            reader = self._nodes[name]
            self.connect(reader, [new.get(each, each) for each in reader.input])
        self.connect(node, [])
        del self._nodes[node.name]

    def ordered(self) -> list[Any]:
        """What the kept nodes need, each after its inputs (but for the way back of a loop)."""
        order: dict[str, Any] = {}
        seen: set[str] = set()
        for root in sorted(self.keep & self._nodes.keys()):
            stack = [(root, iter(self._nodes[root].input))] if root not in seen else []
            seen.add(root)
            while stack:
                name, inputs = stack[-1]
                following = next((n for n in map(node_of, inputs) if n not in seen), None)
                if following is None:
                    order[name] = self._nodes[name]
                    stack.pop()
                else:
                    seen.add(following)
                    stack.append((following, iter(self._nodes[following].input)))
        return list(order.values())
