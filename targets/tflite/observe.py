"""The values of a float file's activations, as LiteRT computes them: one sample, one tensor in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgepack.spec import Array, Arrays

from .flatbuffer import ModelView, write
from .runtime import open_interpreter

See = Callable[[int, Array], None]


def activations(view: ModelView) -> tuple[int, ...]:
    """The float tensors of the main graph that are computed or fed, and whose size is known."""
    fed = [index for index in view.inputs(0)]
    made = [index for op in view.ops if op.subgraph == 0 for index in op.outputs]
    return tuple(index for index in dict.fromkeys([*fed, *made]) if _is_readable(view, index))


def observe(data: bytes, samples: Iterable[Arrays], wanted: Iterable[int], see: See) -> None:
    """Run the file and show ``see`` every wanted tensor (by its index in the main graph) of every sample.

    The tensors become outputs, so XNNPACK computes them and keeps them: reading them costs less than a third of the run.
    """
    view = ModelView(data)
    graph, definition = view.model.subgraphs[0], view.model.signatureDefs[0]
    fed, given = set(view.inputs(0)), set(view.outputs(0))
    indices = list(dict.fromkeys(wanted))
    graph.outputs = np.array([*view.outputs(0), *(i for i in indices if i not in fed | given)], np.int32)
    inputs = {entry.name.decode(): int(entry.tensorIndex) for entry in definition.inputs}
    view.model.signatureDefs = []
    interpreter = open_interpreter(write(view.model), num_threads=os.cpu_count() or 1)
    for sample in samples:
        for name, index in inputs.items():
            interpreter.set_tensor(index, sample[name])
        interpreter.invoke()
        for index in indices:
            see(index, interpreter.get_tensor(index))


def _is_readable(view: ModelView, index: int) -> bool:
    tensor = view.tensor(0, index)
    sizes = tensor.shape if tensor.shape is not None else ()
    signature = tensor.shapeSignature if tensor.shapeSignature is not None else ()
    is_float = tensor.type == schema.TensorType.FLOAT32
    return is_float and all(size > 0 for size in (*sizes, *signature)) and view.data_bytes(0, index) == 0
