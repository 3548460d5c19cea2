"""The padding of convolutions, said so that every backend of TF.js computes it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2

CONVOLUTIONS = {"Conv2D", "DepthwiseConv2dNative"}


def spell_out(definition: graph_pb2.GraphDef, graph: tf.Graph) -> None:
    """Take SAME away where a kernel is smaller than its stride and the input's end is not even reached.

    "SAME" pads by what is missing, and by nothing when that is negative. TF.js's wasm backend (4.22) then answers zeros.

    Args:
        definition: of ``graph``, whose shapes it lacks.
    """
    for node in definition.node:
        if node.op in CONVOLUTIONS and node.attr["padding"].s == b"SAME":
            missing = _missing(graph.get_operation_by_name(node.name), node)
            if missing is None or min(missing) >= 0:
                continue
            if max(missing) <= 0:
                node.attr["padding"].s = b"VALID"
            else:
                node.attr["padding"].s = b"EXPLICIT"
                (top, bottom), (left, right) = (
                    (need // 2, need - need // 2) for need in _at_least_0(missing)
                )
                pairs = [0, 0, top, bottom, left, right, 0, 0]
                if node.attr["data_format"].s == b"NCHW":
                    pairs = [0, 0, 0, 0, top, bottom, left, right]
                node.attr["explicit_paddings"].list.i.extend(pairs)


def _at_least_0(missing: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(0, need) for need in missing)


def _missing(op: Any, node: Any) -> tuple[int, ...] | None:
    """How many rows and columns the last window needs beyond the input's; ``None`` where sizes are not known."""
    first = 2 if node.attr["data_format"].s == b"NCHW" else 1
    sizes, kernel = op.inputs[0].shape[first : first + 2].as_list(), op.inputs[1].shape[:2].as_list()
    if None in (*sizes, *kernel):
        return None
    strides = list(node.attr["strides"].list.i)[first : first + 2]
    dilations = (list(node.attr["dilations"].list.i) or [1] * 4)[first : first + 2]
    return tuple(
        (-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size
        for size, window, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    )
