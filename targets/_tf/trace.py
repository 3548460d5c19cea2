"""From a function of a source to a graph, and its twin whose variables are constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.wrap_function import function_from_graph_def
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edgepack.errors import EdgepackError, ModelError
from edgepack.spec import Signature, TensorSpec

from .._keras.function import Function
from .frozen import Frozen

LISTS = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListStack": 1}
"""Ops of lists of tensors, and which input is the shape of one."""


def traced(function: Function) -> tuple[Any, Frozen]:
    """The concrete function of a source and its frozen twin. Raises ModelError when it cannot be traced."""
    names: list[str] = []

    def flat(*tensors: Any) -> list[Any]:
        outputs = function.call(
            {spec.name: value for spec, value in zip(function.inputs, tensors, strict=True)}
        )
        names[:] = outputs
        return list(outputs.values())

    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=f"in_{i}") for i, spec in enumerate(function.inputs)]
    batch_is_open = any(spec.shape[:1] == (None,) for spec in function.inputs)
    try:
        concrete = tf.function(flat, autograph=False).get_concrete_function(*specs)
        _refuse_state(concrete)
        frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
        _refuse_tables(frozen)
        if all(spec.shape[:1] == (1,) for spec in function.inputs):
            frozen = _of_one_sample(frozen)
    except EdgepackError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ModelError(
            f"The model cannot be traced with {', '.join(map(str, function.inputs))}: {lines[0][:400]}",
            "Call it once in Python with such inputs; if its inputs are others, give --shape.",
            "\n".join(lines[1:12]),
        ) from error
    signature = Signature(
        function.inputs,
        tuple(
            TensorSpec(
                name, _output_shape(name, told.shape.merge_with(own.shape), batch_is_open), own.dtype.name
            )
            for name, told, own in zip(names, concrete.outputs, frozen.outputs, strict=True)
        ),
    )
    return concrete, Frozen(frozen, signature)


def _of_one_sample(frozen: Any) -> Any:
    """With loops that keep lists of one sample's steps: in a SavedModel the size of the batch is open in these, and what
    comes behind a loop would have a shape that no converter knows."""
    graph = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    changed = False
    for node in graph.node:
        if node.op in LISTS:
            shape = nodes[node.input[LISTS[node.op]].partition(":")[0]]
            sizes = (
                tf.make_ndarray(shape.attr["value"].tensor).copy() if shape.op == "Const" else np.array([])
            )
            if sizes.ndim == 1 and len(sizes) > 1 and sizes[0] == -1:
                sizes[0], changed = 1, True
                shape.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(sizes))
    if not changed:
        return frozen
    names = [[each.name for each in tensors] for tensors in (frozen.inputs, frozen.outputs)]
    return function_from_graph_def(graph, *names)


def _refuse_state(concrete: Any) -> None:
    """What a call writes into variables would be lost in a file whose variables are constants. Raises ModelError."""
    writes = [op.name for op in concrete.graph.get_operations() if op.type.startswith("Assign")]
    if writes:
        layers = sorted({name.rpartition("/")[0] for name in writes})
        raise ModelError(
            f"The model keeps state between calls, in {', '.join(map(repr, layers[:5]))}.",
            "Make it stateless (stateful=False), or give the state as an input and return it as an output.",
        )


def _refuse_tables(frozen: Any) -> None:
    """What is still handed in from outside after freezing is no variable. Raises ModelError."""
    handles = [tensor.name for tensor in frozen.inputs if tensor.dtype in (tf.resource, tf.variant)]
    if handles:
        raise ModelError(
            "The model looks values up in a table (or holds another resource), which no edge runtime takes along.",
            "Do the lookup in the app, and give a model that takes numbers.",
        )


def _output_shape(name: str, shape: tf.TensorShape, batch_is_open: bool) -> tuple[int | None, ...]:
    """The shape, known but for an open batch. Raises ModelError."""
    sizes = shape.as_list() if shape.rank is not None else [None, None]
    if None in (sizes[1:] if batch_is_open else sizes):
        raise ModelError(
            f"The output '{name}' has a size that depends on the data: {shape}.",
            "Return a tensor of fixed size: pad it, or take the k best.",
        )
    return tuple(sizes)
