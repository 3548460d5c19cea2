"""Channels first as channels last, the only layout that TF.js's WebAssembly backend has kernels for."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .rewrite import Call, Rewrite

LAST = [0, 2, 3, 1]
"""The axes of N, H, W, C where they are N, C, H, W."""
FIRST = [0, 3, 1, 2]


def _channels_last(call: Call) -> tf.Tensor | None:
    if call.text("data_format") != "NCHW" or call.output.rank != 4 or call.outputs_read - {0}:
        return None
    inputs = list(call.inputs)
    image = 2 if call.op == "Conv2DBackpropInput" else 0
    inputs[image] = tf.transpose(inputs[image], LAST)
    if call.op == "Conv2DBackpropInput":
        inputs[0] = tf.gather(inputs[0], LAST)  # the shape of the result
    return tf.transpose(call.again(inputs, data_format="NHWC", **_turned(call)), FIRST)


def _turned(call: Call) -> dict[str, Any]:
    turned: dict[str, Any] = {
        name: [call.ints(name)[axis] for axis in LAST]
        for name in ("strides", "dilations", "ksize")
        if name in call.attr and call.ints(name)
    }
    if "explicit_paddings" in call.attr and (pads := call.ints("explicit_paddings")):
        turned["explicit_paddings"] = [pads[2 * axis + end] for axis in LAST for end in (0, 1)]
    return turned


CHANNELS_LAST: dict[str, Rewrite] = dict.fromkeys(
    (
        "Conv2D",
        "DepthwiseConv2dNative",
        "Conv2DBackpropInput",
        "BiasAdd",
        "MaxPool",
        "AvgPool",
        "FusedBatchNorm",
        "FusedBatchNormV2",
        "FusedBatchNormV3",
        "DepthToSpace",
        "SpaceToDepth",
    ),
    _channels_last,
)
