"""Grouped convolutions, which TF.js lacks although it has the op, as one convolution a group."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from edgepack.errors import ModelError

from .fold import channels_last
from .nodes import Nodes

CONVOLUTIONS = {"Conv2D", "Conv3D"}


def split_groups(nodes: Nodes) -> None:
    """Split every grouped convolution. Raises ModelError for one whose weights are computed."""
    if not any(node.op in CONVOLUTIONS for node in nodes):
        return
    with tf.Graph().as_default() as graph:  # only its shapes tell how many groups there are
        tf.import_graph_def(graph_pb2.GraphDef(node=nodes), name="")
    for operation in graph.get_operations():
        if operation.type in CONVOLUTIONS and (groups := _groups(operation)) > 1:
            _split(nodes, nodes.source(operation.name), groups)


def _groups(operation: Any) -> int:
    image, weights = (tensor.shape for tensor in operation.inputs)
    if image.rank is None or weights.rank is None:
        return 1
    given = image[1 if operation.get_attr("data_format").startswith(b"NC") else -1]
    return int(given // weights[-2]) if given and weights[-2] else 1


def _split(nodes: Nodes, node: Any, groups: int) -> None:
    weights = nodes.constant(node.input[1])
    if weights is None or not channels_last(node):
        raise ModelError(
            f"TF.js has no grouped convolution such as '{node.name}'.",
            "Use groups=1, a depthwise convolution, or channels last.",
        )
    axis = nodes.add_constant(f"{node.name}/axis", np.array(weights.ndim - 1, np.int32))
    parts = nodes.add("Split", f"{node.name}/split", [axis, node.input[0]])
    parts.attr["T"].CopyFrom(node.attr["T"])
    parts.attr["num_split"].i = groups
    results = []
    for number, part in enumerate(np.split(weights, groups, axis=-1)):
        kernel = nodes.add_constant(f"{node.name}/weights_{number}", part)
        source = f"{parts.name}:{number}" if number else parts.name
        convolution = nodes.add(node.op, f"{node.name}/group_{number}", [source, kernel])
        convolution.MergeFrom(node_def_pb2.NodeDef(attr=node.attr))
        results.append(str(convolution.name))
    node.op = "ConcatV2"
    for name in set(node.attr) - {"T"}:
        del node.attr[name]
    node.attr["N"].i = groups
    node.attr["Tidx"].type = tf.int32.as_datatype_enum
    nodes.connect(node, [*results, axis])
