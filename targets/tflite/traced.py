"""A .tflite whose layers can be read on any runtime: the results of its ops are further outputs."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from .flatbuffer import ModelView, OpView, write

READABLE = {"float32", "int8", "uint8", "int16"}


def with_layers(data: bytes) -> bytes:
    """The same ops, in order, each with its first result among the signature's outputs, under the op's name.

    Results of a size that is not known, and those within loops, stay inside. A runtime that fuses an op with the next cannot
    when the result between them is asked for.
    """
    view = ModelView(data)
    graph, definition = view.model.subgraphs[0], view.model.signatureDefs[0]
    own = {entry.tensorIndex: entry for entry in definition.outputs}
    found = []
    for op in view.ops:
        if _is_readable(view, op):
            entry = own.pop(op.outputs[0], None)
            if entry is None:
                entry = schema.TensorMapT()
                entry.name, entry.tensorIndex = op.name.encode(), op.outputs[0]
            found.append(entry)
    definition.outputs = [*found, *own.values()]
    graph.outputs = [entry.tensorIndex for entry in definition.outputs]
    return write(view.model)


def _is_readable(view: ModelView, op: OpView) -> bool:
    if op.subgraph != 0 or not op.outputs or view.dtype(0, op.outputs[0]) not in READABLE:
        return False
    tensor = view.tensor(0, op.outputs[0])
    signature = tensor.shapeSignature if tensor.shapeSignature is not None else ()
    return tensor.shape is not None and all(size > 0 for size in (*tensor.shape, *signature))
