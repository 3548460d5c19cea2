"""Loops of a SavedModel that was saved for any batch, for a batch of one size.

When a graph is imported, shapes are inferred anew, but those of loops and of the lists in them are written down, and
for an unknown batch they say (?, 16). A recurrent layer is such a loop; no edge runtime has lists of unknown shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from .._keras.function import Tensors

LOOPS = ("While", "StatelessWhile")


def has_loops(concrete: Any) -> bool:
    return any(node.op in LOOPS for node in _nodes(concrete.graph.as_graph_def()))


class OpenLoops:
    """A function of a SavedModel, its variables as constants, to be called with a batch that is known.

    Args:
        concrete: takes named tensors, gives named tensors.
    """

    def __init__(self, concrete: Any) -> None:
        frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
        self._graph: graph_pb2.GraphDef = frozen.graph.as_graph_def()
        names, results = sorted(concrete.structured_input_signature[1]), sorted(concrete.structured_outputs)
        self._feeds = {name: each.name for name, each in zip(names, frozen.inputs)}  # noqa: B905 (and tables)
        self._outputs = {name: each.name for name, each in zip(results, frozen.outputs, strict=True)}

    def __call__(self, tensors: Tensors, batch: int) -> Tensors:
        """The outputs. Where what was taken for the batch is another size, TensorFlow refuses to run it."""
        graph = self._of(batch)
        for nested in graph.library.function:
            context.context().add_function_def(nested)  # importing the graph alone does not make them known
        values = tf.graph_util.import_graph_def(
            graph,
            input_map={self._feeds[name]: value for name, value in tensors.items()},
            return_elements=list(self._outputs.values()),
            name="source",
        )
        return dict(zip(self._outputs, values, strict=True))

    def _of(self, batch: int) -> graph_pb2.GraphDef:
        """The graph for a batch: the first size, where it is the only unknown one, of what loops carry and lists hold."""
        graph = graph_pb2.GraphDef()
        graph.CopyFrom(self._graph)
        for node in _nodes(graph):
            node.attr.pop("_output_shapes", None)
            if node.op in LOOPS:
                for shape in node.attr["output_shapes"].list.shape:
                    if [dim.size < 0 for dim in shape.dim].count(True) == 1 and shape.dim[0].size < 0:
                        shape.dim[0].size = batch
            elif node.op == "Const" and node.name.endswith("/element_shape"):
                sizes = tf.make_ndarray(node.attr["value"].tensor)
                if sizes.ndim and sizes.size and sizes[0] < 0 and (sizes[1:] >= 0).all():
                    sizes = sizes.copy()
                    sizes[0] = batch
                    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(sizes))
        _rename(graph, f"_batch_{batch}")
        return graph


def _nodes(graph: graph_pb2.GraphDef) -> Iterator[node_def_pb2.NodeDef]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _rename(graph: graph_pb2.GraphDef, suffix: str) -> None:
    """Give the nested functions names of their own: the originals are known under theirs."""
    own = {function.signature.name for function in graph.library.function}
    for function in graph.library.function:
        function.signature.name += suffix
        function.attr.pop("_output_shapes", None)
        for arguments in function.arg_attr.values():
            arguments.attr.pop("_output_shapes", None)
    for node in _nodes(graph):
        for value in node.attr.values():
            if value.func.name in own:
                value.func.name += suffix
