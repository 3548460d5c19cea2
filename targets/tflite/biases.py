"""A bias for every layer: zeros for dense ones that have none, which tflite-runtime 2.14 reads in int8 all the same, and crashes."""

from __future__ import annotations

import numpy as np

from .flatbuffer import ModelView, write
from .subgraph import Subgraph

DENSE = "FULLY_CONNECTED"
LAYERS = {DENSE, "CONV_2D", "DEPTHWISE_CONV_2D"}


def with_biases(data: bytes) -> bytes:
    """The float file with a bias in every dense layer of its main graph, and for every layer one of its own.

    The converter stores equal biases, such as zeros, once; a layer that is rounded or scaled for int8 changes its own alone.
    The same bytes where nothing is to do.
    """
    view = ModelView(data)
    graph, main = view.model.subgraphs[0], Subgraph(view.model, 0, "bias")
    taken: set[int] = set()
    added = 0
    for op in graph.operators or []:
        if view.kind(op) not in LAYERS or not view.data_bytes(0, int(op.inputs[1])):
            continue
        given, weight, *bias = (int(index) for index in op.inputs if index >= 0)
        if not bias and view.kind(op) == DENSE:
            values = np.zeros(main.shape(weight)[0])
        elif bias and main.buffer(bias[0]) in taken:
            values = view.values(0, bias[0])
        else:
            taken |= {main.buffer(index) for index in bias}
            continue
        op.inputs = np.array([given, weight, main.constant(str(added), values, "float32")], np.int32)
        added += 1
    return write(view.model) if added else data
