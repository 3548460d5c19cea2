"""Codebooks that a weight's one scale would destroy: few codes, times a scale for every output channel.

edgepack.compress.cluster gives a layer such weights, and a folded normalisation multiplies its channels once more. TF.js
stores a weight with one scale, in which the few codes of one channel are not those of another, and so compress to nothing.
Here the weight becomes its codes, and the scales multiply behind the op, its bias and an activation that commutes with
them: ``relu(s (c * x) + b) = s relu(c * x + b / s)``.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from edgepack.spec import Array, Precision

from .fold import ADDITIONS, channel_shape, channels_last, per_channel
from .nodes import Nodes
from .weights import CODES, coded, is_quantizable, store

CODED = {"Conv2D", "MatMul"}
COMMUTING = {"Relu", "LeakyRelu"}
MOST = 128
"""Of so many different codes or fewer there is something to gain."""

OP_BYTES = 100
"""What an op more and the names of its scales take in a graph, deflated."""

SURE = 2
"""So many times what it costs must be won: a shard is deflated as one, and its other bytes spoil what codes would give alone."""


def set_free(nodes: Nodes) -> None:
    """All weights that are codes times a scale a channel, if they were not so already."""
    for node in nodes:
        if node.op in CODED and channels_last(node):
            _set_free(nodes, node)
        elif node.op == "Enter":
            _set_free_before_loop(nodes, node)


def _set_free(nodes: Nodes, node: Any) -> None:
    found = _codebook(nodes, node, node.input[1])
    if found is None:
        return
    codes, scales = found
    last = node
    below = nodes.only_reader(last)
    if below is not None and below.op in ADDITIONS:
        bias = per_channel(nodes.constant(below.input[1]), scales.size)
        if bias is not None and nodes.source(below.input[0]) is node:
            inputs = [below.input[0], nodes.add_constant(f"{below.name}/unscaled", bias / scales)]
            nodes.connect(below, [*inputs, *below.input[2:]])
            last, below = below, nodes.only_reader(below)
    if below is not None and below.op in COMMUTING:
        last = below
    nodes.connect(node, [node.input[0], nodes.add_constant(f"{node.name}/codes", codes), *node.input[2:]])
    _multiply(nodes, last, scales)


def _set_free_before_loop(nodes: Nodes, enter: Any) -> None:
    """A cell's weights get their scales back once, before all steps: who reads them there needs not be known."""
    found = _codebook(nodes, enter, enter.input[0])
    if found is not None:
        names = [
            nodes.add_constant(f"{enter.name}/{name}", each)
            for name, each in zip(("codes", "scales"), found, strict=True)
        ]
        scaled = nodes.add("Mul", f"{enter.name}/scaled", names)
        scaled.attr["T"].type = enter.attr["T"].type
        nodes.connect(enter, [scaled.name, *enter.input[1:]])


def _codebook(nodes: Nodes, reader: Any, tensor: str) -> tuple[Array, Array] | None:
    """Codes, and the scales of their channels, [out], of a weight with one reader, where they are a smaller download."""
    weights = nodes.constant(tensor)
    if weights is None or not is_quantizable(weights) or coded(weights):
        return None
    scales = _scales(weights, channel_shape(reader, weights))
    codes = weights / scales
    if nodes.only_reader(nodes.source(tensor)) is None or not _is_codebook(codes):
        return None
    flat = scales.reshape(-1).astype(np.float32)
    exact = (np.rint(codes * CODES) / CODES).astype(np.float32)
    pays = _deflated(weights) - _deflated(exact) >= SURE * (flat.nbytes + OP_BYTES)
    return (exact, flat) if pays else None


def _scales(weights: Array, shape: tuple[int, ...]) -> Array:
    """The largest absolute weight of every output channel, to be divided by; 1 for a channel of zeros."""
    axes = tuple(axis for axis, size in enumerate((1,) * (weights.ndim - len(shape)) + shape) if size == 1)
    largest = np.abs(weights.astype(np.float64)).max(axis=axes, keepdims=True)
    return np.where(largest > 0, largest, 1.0)


def _is_codebook(codes: Array) -> bool:
    steps = codes * CODES
    return bool(np.abs(steps - np.rint(steps)).max() < 0.01) and len(np.unique(np.rint(steps))) <= MOST


def _deflated(weights: Array) -> int:
    """Bytes in a download, stored in 8 bits."""
    return len(zlib.compress(store("", weights, Precision.INT8).values.tobytes(), 9))


def _multiply(nodes: Nodes, last: Any, scales: Array) -> None:
    """Behind ``last``, for all that read it."""
    readers = list({reader.name: reader for reader in nodes.readers(last)}.values())
    scaled = nodes.add(
        "Mul", f"{last.name}/scaled", [last.name, nodes.add_constant(f"{last.name}/scales", scales)]
    )
    scaled.attr["T"].type = last.attr["T"].type
    for reader in readers:
        inputs = [scaled.name if each in (last.name, f"{last.name}:0") else each for each in reader.input]
        nodes.connect(reader, inputs)
