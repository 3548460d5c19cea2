"""SavedModel folders, by the loader of TensorFlow 2 or, where that stumbles, of TensorFlow 1."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.eager import context
from tensorflow.python.saved_model.loader_impl import parse_saved_model

from edgepack.errors import ModelError
from edgepack.model import LoadRequest
from edgepack.spec import TensorSpec

from .._keras.function import Function, Tensors
from .module_source import choose
from .open_loops import OpenLoops, has_loops

INTERNAL = "__saved_model_init_op"


def load(request: LoadRequest) -> Function:
    """Read a SavedModel folder. Raises ModelError, UsageError."""
    path = str(request.path)
    try:
        graphs = parse_saved_model(path).meta_graphs
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} is not a SavedModel, or it is damaged: {error}", "Save it again."
        ) from error
    if not graphs:
        raise ModelError(f"{path} is not a SavedModel: it holds no graph.", "Save it again.")
    graph = next((graph for graph in graphs if "serve" in graph.meta_info_def.tags), graphs[0])
    names = sorted(name for name in graph.signature_def if name != INTERNAL)
    if not names:
        raise ModelError(
            f"{path} has no signature.",
            "Save it with one: tf.saved_model.save(module, path, signatures={'serving_default': module.f}).",
        )
    name = choose(names, request.signature, path)
    signature = graph.signature_def[name]
    inputs = tuple(
        TensorSpec(key, _shape(info), tf.dtypes.as_dtype(info.dtype).name)
        for key, info in sorted(signature.inputs.items())
    )
    try:
        loaded = tf.saved_model.load(path)
        concrete = loaded.signatures[name]
    except Exception as error:
        return _load_v1(path, list(graph.meta_info_def.tags), signature, inputs, error)

    is_open = all(spec.shape[:1] == (None,) for spec in inputs)
    loops = OpenLoops(concrete) if is_open and has_loops(concrete) else None

    def call(tensors: Tensors) -> Tensors:
        cast = {key: tf.cast(value, _dtype(signature, key)) for key, value in tensors.items()}
        (batch,) = {value.shape[0] for value in cast.values()} if loops else (None,)
        return loops(cast, batch) if loops and batch is not None else dict(concrete(**cast))

    return Function(inputs, call, loaded)


def _load_v1(
    path: str,
    tags: list[str],
    signature: meta_graph_pb2.SignatureDef,
    inputs: tuple[TensorSpec, ...],
    first: Exception,
) -> Function:
    """The graph alone, its variables as constants: needs none of the Python objects that the other loader revives."""
    v1 = tf.compat.v1
    outputs = {key: info.name for key, info in sorted(signature.outputs.items())}
    feeds = {key: info.name for key, info in signature.inputs.items()}
    try:
        with v1.Session(graph=tf.Graph()) as session:
            v1.saved_model.loader.load(session, tags, path)
            kept = sorted({name.partition(":")[0] for name in outputs.values()})
            graph_def = v1.graph_util.convert_variables_to_constants(session, session.graph_def, kept)
    except Exception as error:
        raise ModelError(
            f"{path} cannot be loaded: {_line(first)}; nor by the loader of TensorFlow 1: {_line(error)}",
            "Check that tf.saved_model.load reads it with this TensorFlow.",
        ) from error

    for nested in graph_def.library.function:
        context.context().add_function_def(nested)  # importing the graph alone does not make them known

    def call(tensors: Tensors) -> Tensors:
        mapping = {feeds[key]: value for key, value in tensors.items()}
        values = tf.graph_util.import_graph_def(
            graph_def, input_map=mapping, return_elements=list(outputs.values()), name="source"
        )
        return dict(zip(outputs, values, strict=True))

    return Function(inputs, call)


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _dtype(signature: meta_graph_pb2.SignatureDef, key: str) -> Any:
    return tf.dtypes.as_dtype(signature.inputs[key].dtype)


def _shape(info: meta_graph_pb2.TensorInfo) -> tuple[int | None, ...]:
    if info.tensor_shape.unknown_rank:
        raise ModelError(
            f"The input {info.name} has no known number of dimensions.", "Save it with a shaped signature."
        )
    return tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
