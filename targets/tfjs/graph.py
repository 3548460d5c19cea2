"""A frozen TensorFlow function as the graph that TF.js runs: optimised, fused, its inputs and outputs named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import graph_pb2, node_def_pb2, tensor_pb2, types_pb2
from tensorflow.core.protobuf import config_pb2, device_properties_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.grappler import cluster, tf_optimizer

from edgepack.errors import ModelError
from edgepack.spec import Array, Signature, TensorSpec

from .._tf.frozen import Frozen
from . import ops
from .codes import set_free
from .einsum import EINSUM
from .fold import fold
from .fuse import fuse
from .groups import split_groups
from .layout import CHANNELS_LAST
from .mends import MENDS
from .nodes import Nodes
from .padding import WINDOWS
from .rewrite import rewrite
from .slices import SLICES
from .words import WORDS

XLA = ("_XlaMustCompile", "_noinline")
FRAMES = {"Enter", "Exit", "Merge", "Switch", "NextIteration", "LoopCond"}
CONTROL_FLOW = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"}

FOLDING = (
    "function",  # inlines, and makes loops of Enter, Merge, Switch: TF.js's wasm backend fails in While functions
    "debug_stripper",  # Assert, Print and CheckNumerics, which TF.js has not
    "pruning",
    "constfold",
    "dependency",
)
REWRITES = (CHANNELS_LAST, {**WORDS, **MENDS, **SLICES, **WINDOWS, **EINSUM})
"""One after the other: what the first makes, the second sees."""

SIMPLIFYING = (
    "arithmetic",
    "common_subgraph_elimination",
    "constfold",
    "arithmetic",
    "dependency",
    "pruning",
)
"""Later: arithmetic gathers additions in an AddN, in which no pass would find the bias of a convolution."""

STORED = {
    "float16": "float32",
    "bfloat16": "float32",
    "float64": "float32",
    "int8": "int32",
    "uint8": "int32",
    "int16": "int32",
    "uint16": "int32",
    "uint32": "int32",
    "int64": "int32",
    "uint64": "int32",
    "complex128": "complex64",
}
"""What a weight becomes: TF.js has float32, int32, bool and complex64, and fails on a weight of type uint8."""


@dataclass(frozen=True)
class Graph:
    """A graph ready for TF.js.

    Attributes:
        topology: the GraphDef, its constants without their values, in the order in which it runs.
        weights: the values of the constants, by node.
        signature: names as the user knows them; an open batch is None.
        inputs: the node of every input, by its name.
        outputs: the node of every output, by its name.
    """

    topology: graph_pb2.GraphDef
    weights: Mapping[str, Array]
    signature: Signature
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """What model.json says of it: ``signature``, in its own order, and ``modelTopology``, its keys sorted."""
        topology = json_format.MessageToJson(self.topology, sort_keys=True, indent=None)
        return {
            "signature": {
                "inputs": {
                    spec.name: _tensor_info(self.inputs[spec.name], spec) for spec in self.signature.inputs
                },
                "outputs": {
                    spec.name: _tensor_info(self.outputs[spec.name], spec) for spec in self.signature.outputs
                },
            },
            "modelTopology": json.loads(topology),
        }


def convert(frozen: Frozen) -> Graph:
    """The graph of a frozen function. Raises ModelError that names what TF.js lacks, and the layer."""
    graph = frozen.concrete.graph.as_graph_def()
    _make_inlinable(graph)
    edges = [tensor.op.name for tensor in (*frozen.concrete.inputs, *frozen.concrete.outputs)]
    nodes = Nodes(_grappler(graph, FOLDING, edges))
    _widen(nodes)
    for table in REWRITES:
        rewrite(nodes, table)
    fold(nodes)
    split_groups(nodes)
    graph = graph_pb2.GraphDef(versions=graph.versions, node=nodes)
    nodes = Nodes(_grappler(graph, SIMPLIFYING, edges))
    inputs, outputs = _name_boundary(nodes, frozen)
    _drop_control_inputs(nodes)
    _separate_lists(nodes)
    set_free(nodes)
    fuse(nodes)
    _name_results(nodes, outputs.values())
    needed = nodes.ordered()
    ops.check(needed, nodes.constant)
    topology = graph_pb2.GraphDef(versions=graph.versions, node=needed)
    return Graph(topology, _take_weights(topology), frozen.signature, inputs, outputs)


def _make_inlinable(graph: graph_pb2.GraphDef) -> None:
    """Mark loops to be made of switches, and take off what keeps a function from being inlined."""
    for function in graph.library.function:
        for name in XLA:
            function.attr.pop(name, None)
    for node in [*graph.node, *(node for function in graph.library.function for node in function.node_def)]:
        node.device = ""
        for name in XLA:
            node.attr.pop(name, None)
        if node.op in CONTROL_FLOW:
            node.attr["_lower_using_switch_merge"].b = True


def _widen(nodes: Nodes) -> None:
    """Make float32 of bfloat16, a type that TF.js does not know."""
    for node in nodes:
        for attribute in node.attr.values():
            if attribute.HasField("type") and attribute.type == types_pb2.DT_BFLOAT16:
                attribute.type = types_pb2.DT_FLOAT
            for place, each in enumerate(attribute.list.type if attribute.HasField("list") else ()):
                if each == types_pb2.DT_BFLOAT16:
                    attribute.list.type[place] = types_pb2.DT_FLOAT
        if node.op == "Const" and node.attr["value"].tensor.dtype == types_pb2.DT_BFLOAT16:
            value = tf.make_ndarray(node.attr["value"].tensor).astype(np.float32)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))


def _grappler(graph: graph_pb2.GraphDef, passes: Iterable[str], edges: Iterable[str]) -> graph_pb2.GraphDef:
    """Some of Grappler's passes; the nodes at the edges keep their names."""
    meta = meta_graph_pb2.MetaGraphDef(graph_def=graph)
    meta.collection_def["train_op"].node_list.value.extend(edges)
    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.optimizers.extend(passes)
    rewrites.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    rewrites.min_graph_nodes = -1  # small graphs too
    processor = device_properties_pb2.NamedDevice(name="/CPU:0")
    processor.properties.type = "CPU"
    return tf_optimizer.OptimizeGraph(config, meta, cluster=cluster.Cluster(devices=[processor]))


def _name_boundary(nodes: Nodes, frozen: Frozen) -> tuple[dict[str, str], dict[str, str]]:
    """Put placeholders and identities with the user's names at the edges; the node of every input and output."""
    signature, concrete = frozen.signature, frozen.concrete
    inputs, outputs = {}, {}
    for spec, tensor in zip(signature.inputs, concrete.inputs, strict=True):
        old = nodes.source(tensor.name)
        new = nodes.add("Placeholder", _node_name(spec.name))
        for name in ("dtype", "shape"):
            new.attr[name].CopyFrom(old.attr[name])
        nodes.bypass(old, new.name)
        inputs[spec.name] = str(new.name)
    for spec, tensor in zip(signature.outputs, concrete.outputs, strict=True):
        new = nodes.add("Identity", _node_name(spec.name), [tensor.name.removesuffix(":0")])
        new.attr["T"].type = tensor.dtype.as_datatype_enum
        outputs[spec.name] = str(new.name)
    nodes.keep.update(inputs.values(), outputs.values())
    for name in outputs.values():
        output = nodes.source(name)
        while (inner := nodes.source(output.input[0])).op == "Identity" and inner.name not in nodes.keep:
            nodes.bypass(inner, inner.input[0])
    return inputs, outputs


def _name_results(nodes: Nodes, outputs: Iterable[str]) -> None:
    """Let the op that makes an output take the place of the identity, where nothing else reads it."""
    for output in map(nodes.source, outputs):
        maker = nodes.source(output.input[0])
        # a constant would be a weight, which an app that disposes of its outputs would dispose of
        stays = maker.op in FRAMES | {"Const"} or nodes.only_reader(maker) is None
        if not stays and output.input[0] == maker.name:
            output.op = maker.op
            output.attr.clear()
            output.MergeFrom(node_def_pb2.NodeDef(attr=maker.attr))
            nodes.connect(output, maker.input)
            nodes.connect(maker, [])


def _node_name(name: str) -> str:
    """A name that TensorFlow allows; no slash, so that it is no layer's."""
    return re.sub(r"^[^A-Za-z0-9.]", "x", re.sub(r"[^A-Za-z0-9_.-]", "_", name))


def _drop_control_inputs(nodes: Nodes) -> None:
    """They order side effects, of which a frozen graph has none, and TF.js takes them for data.

    Two things still need them: a loop's inner nodes without inputs, which they place in the loop; and a constant that is
    a branch's result, because a TF.js constant is always alive.
    """
    controlled = {node.name: [t for t in node.input if t.startswith("^")] for node in nodes}
    in_frames = any(node.op in ("Enter", "Switch") for node in nodes)
    for node in nodes:
        data = [tensor for tensor in node.input if not tensor.startswith("^")]
        if node.op == "Merge":
            data = [_alive_with_branch(nodes, tensor, controlled) for tensor in data]
        sourceless = all(nodes.source(tensor).op == "Const" for tensor in data)
        placed = in_frames and node.op != "Const" and sourceless
        nodes.connect(node, [*data, *(controlled[node.name] if placed else [])])


def _alive_with_branch(nodes: Nodes, tensor: str, controlled: Mapping[str, list[str]]) -> str:
    source = nodes.source(tensor)
    if source.op != "Const" or not controlled[source.name]:
        return tensor
    alive = nodes.add("Identity", f"{source.name}/alive", [tensor, *controlled[source.name]])
    alive.attr["T"].CopyFrom(source.attr["dtype"])
    return str(alive.name)


def _separate_lists(nodes: Nodes) -> None:
    """Undo that equal empty lists became one: TF.js's lists are written in place, TensorFlow's are values."""
    for node in nodes:
        if node.op in ("TensorListReserve", "EmptyTensorList"):
            for reader in nodes.readers(node)[1:]:
                own = nodes.add(node.op, f"{node.name}/own", node.input)
                own.MergeFrom(type(node)(attr=node.attr))
                nodes.connect(reader, [own.name if each == node.name else each for each in reader.input])


def _take_weights(topology: graph_pb2.GraphDef) -> dict[str, Array]:
    """Take the values out of the constants, and out of every node what only TensorFlow reads."""
    weights = {}
    for node in topology.node:
        node.ClearField("experimental_debug_info")
        for name in [name for name in node.attr if name.startswith("_")]:
            del node.attr[name]
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            weights[node.name] = _stored(node.name, tf.make_ndarray(tensor))
            bare = tensor_pb2.TensorProto(dtype=tensor.dtype, tensor_shape=tensor.tensor_shape)
            tensor.CopyFrom(bare)
    return weights


def _stored(name: str, value: Array) -> Array:
    """A constant in a type that TF.js has. Raises ModelError for text, and for integers that do not fit."""
    if value.dtype == object:
        raise ModelError(
            f"The constant '{name}' holds text, which TF.js has no kernels for.",
            "Move the text processing into the app, and give a model that takes ids.",
        )
    dtype = STORED.get(value.dtype.name, value.dtype.name)
    if dtype == "int32" and value.size:
        limits, own = np.iinfo(np.int32), np.iinfo(value.dtype)
        unlimited = (value == own.max) | (value == own.min)  # "to the end", in a slice
        fits = (value >= limits.min) & (value <= limits.max)
        if not (fits | unlimited).all():
            raise ModelError(
                f"The constant '{name}' has {value.dtype.name} values beyond 32 bit, the most that TF.js has.",
                "Compute with smaller integers, or with floats.",
            )
        value = np.clip(value, limits.min, limits.max)
    return np.ascontiguousarray(value.astype(dtype)).reshape(value.shape)


def _tensor_info(node: str, spec: TensorSpec) -> dict[str, Any]:
    dimensions = [{"size": str(-1 if size is None else size)} for size in spec.shape]
    return {
        "name": f"{node}:0",
        "dtype": types_pb2.DataType.Name(tf.dtypes.as_dtype(spec.dtype).as_datatype_enum),
        "tensorShape": {"dim": dimensions} if dimensions else {},
    }
