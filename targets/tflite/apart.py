"""Constants as the quantizer takes them: each read once, and none that nobody reads.

Where ops that share a tensor are to have different precisions, the quantizer makes copies that it then fails on; tensors
that share a buffer it tells apart. But not from one that nobody reads: the converter leaves those behind where it moves
constants into loops, and what is left of a buffer that became int8 is too little for a float tensor, so LiteRT refuses the
file ("Tensor 24 is invalidly specified in schema").
"""

from __future__ import annotations

import copy

import numpy as np

from .flatbuffer import ModelView, write


def apart(float32: bytes) -> bytes:
    """The file with a tensor for every reader of a float constant, their bytes still shared; the same where all is well."""
    view = ModelView(float32)
    places = range(len(view.model.subgraphs))
    changed = [_told_apart(view, place) + _emptied(view, place) for place in places]
    return write(view.model) if any(changed) else float32


def _told_apart(view: ModelView, place: int) -> int:
    """Give every further reader in a graph a tensor of its own; how many there are."""
    graph, seen, made = view.model.subgraphs[place], set(view.outputs(place)), 0
    for operator in graph.operators:
        inputs = np.array(operator.inputs, np.int32)
        for position, index in enumerate(map(int, inputs)):
            if index < 0 or view.dtype(place, index) != "float32" or not view.data_bytes(place, index):
                continue
            if index in seen:
                tensor = copy.copy(graph.tensors[index])
                tensor.name = b"%s_%d" % (tensor.name, len(graph.tensors))
                inputs[position] = len(graph.tensors)
                graph.tensors.append(tensor)
                made += 1
            seen.add(index)
        operator.inputs = inputs
    return made


def _emptied(view: ModelView, place: int) -> int:
    """Take their data from constants that nobody reads; how many there are."""
    graph = view.model.subgraphs[place]
    read = {int(index) for operator in graph.operators for index in operator.inputs} | set(
        view.outputs(place)
    )
    left = [
        index for index in range(len(graph.tensors)) if index not in read and view.data_bytes(place, index)
    ]
    for index in left:
        graph.tensors[index].buffer = 0
    return len(left)
