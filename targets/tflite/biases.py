"""A bias of zeros for dense layers that have none: tflite-runtime 2.14 reads one in int8 whether it is there or not, and crashes."""

from __future__ import annotations

import numpy as np

from .flatbuffer import ModelView, write
from .subgraph import Subgraph

DENSE = "FULLY_CONNECTED"


def with_biases(data: bytes) -> bytes:
    """The float file with a bias in every dense layer of its main graph; the same bytes where all have one."""
    view = ModelView(data)
    graph, main = view.model.subgraphs[0], Subgraph(view.model, 0, "bias")
    bare = [
        op
        for op in graph.operators or []
        if view.kind(op) == DENSE and (len(op.inputs) < 3 or op.inputs[2] < 0)
    ]
    for number, op in enumerate(bare):
        given, weight = int(op.inputs[0]), int(op.inputs[1])
        zeros = main.constant(str(number), np.zeros(main.shape(weight)[0]), "float32")
        op.inputs = np.array([given, weight, zeros], np.int32)
    return write(view.model) if bare else data
