"""What probabilities come of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.fx import GraphModule, Node

from edgepack.spec import Array, Arrays, Signature

from .graph import kind
from .observe import observe

CURVES = {"aten::softmax", "aten::_softmax", "aten::sigmoid"}
ON_THE_WAY = {"aten::reshape", "aten::permute", "aten::transpose"}


def outputs(module: GraphModule) -> tuple[Node, ...]:
    """The nodes that a graph gives."""
    last: Any = module.graph.output_node()
    return tuple(last.args[0])


def logits(module: GraphModule) -> tuple[Node, ...]:
    """In the place of an output that is the last softmax or sigmoid, what that reads; else the output."""
    return tuple(map(_before, outputs(module)))


def _before(output: Node) -> Node:
    node: Any = output
    while kind(node) in ON_THE_WAY:
        node = node.args[0]
    return node.args[0] if kind(node) in CURVES else output


def computed(
    module: GraphModule, signature: Signature, nodes: tuple[Node, ...]
) -> Callable[[Arrays], Arrays]:
    """A graph as a function that gives what these nodes do, in float, under the names of the outputs."""
    names = {node.name for node in nodes}

    def answers(sample: Arrays) -> Arrays:
        found: dict[str, Array] = {}
        observe(module, signature, [sample], names, lambda name, made: found.update({name: made.numpy()}))
        return {spec.name: found[node.name] for spec, node in zip(signature.outputs, nodes, strict=True)}

    return answers
