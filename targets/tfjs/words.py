"""Ops that TF.js lacks, in others that it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .rewrite import Call, Rewrite


def _norm(call: Call) -> tf.Tensor:
    x, axes = call.inputs  # TF.js's takes two axes at most
    return tf.sqrt(tf.reduce_sum(x * x, axes, keepdims=call.attr["keep_dims"].b))


def _bucketize(call: Call) -> tf.Tensor:
    values = tf.cast(call.inputs[0], tf.float32)
    passed = values[..., None] >= tf.constant(list(call.attr["boundaries"].list.f))
    return tf.reduce_sum(tf.cast(passed, tf.int32), -1)


def _scatter_add(call: Call) -> tf.Tensor:
    x, indices, updates = call.inputs
    if call.op == "TensorScatterSub":
        updates = -updates
    return x + tf.scatter_nd(tf.cast(indices, tf.int32), updates, _size(x))


def _segment_sum(call: Call) -> tf.Tensor | None:
    data, ids, count = call.inputs
    if data.shape.rank is None or ids.shape.rank is None:
        return None
    rest = _size(data)[ids.shape.rank :]
    return tf.scatter_nd(
        tf.reshape(tf.cast(ids, tf.int32), [-1, 1]),
        tf.reshape(data, tf.concat([[-1], rest], 0)),
        tf.concat([tf.reshape(tf.cast(count, tf.int32), [1]), rest], 0),
    )


def _size(x: tf.Tensor) -> Any:
    return tf.constant(x.shape.as_list()) if x.shape.is_fully_defined() else tf.shape(x)


def _space_to_depth(call: Call) -> tf.Tensor | None:
    _, height, width, channels = call.shape(0) or [None] * 4
    block = call.attr["block_size"].i
    if None in (height, width, channels) or call.text("data_format") == "NCHW":
        return None
    return _blocks(call.inputs[0], block, block)


def _blocks(x: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Every block of an image as one pixel."""
    _, rows, columns, channels = x.shape.as_list()
    x = tf.reshape(x, [-1, rows // height, height, columns // width, width, channels])
    x = tf.transpose(x, [0, 1, 3, 2, 4, 5])
    return tf.reshape(x, [-1, rows // height, columns // width, height * width * channels])


def _patches(call: Call) -> tf.Tensor | None:
    x, sizes = call.inputs[0], call.shape(0)
    if sizes is None or None in sizes[1:]:
        return None
    kernel, strides, rates = (call.ints(name)[1:3] for name in ("ksizes", "strides", "rates"))
    extents = [(k - 1) * rate + 1 for k, rate in zip(kernel, rates, strict=True)]
    counts = call.output.as_list()[1:3]
    if call.text("padding") == "SAME":
        sides = zip(counts, strides, extents, sizes[1:3], strict=True)
        missing = [max(0, (count - 1) * stride + extent - size) for count, stride, extent, size in sides]
        x = tf.pad(x, [[0, 0], *([need // 2, need - need // 2] for need in missing), [0, 0]])
    if kernel == strides and set(rates) == {1}:
        return _blocks(x[:, : counts[0] * kernel[0], : counts[1] * kernel[1]], *kernel)
    spans = [(count - 1) * stride + 1 for count, stride in zip(counts, strides, strict=True)]
    shifted = [
        x[:, top : top + spans[0] : strides[0], left : left + spans[1] : strides[1]]
        for top in range(0, extents[0], rates[0])
        for left in range(0, extents[1], rates[1])
    ]
    return tf.concat(shifted, -1)


def _roll(call: Call) -> tf.Tensor | None:
    shifts, axes, sizes = call.constant(1), call.constant(2), call.shape(0)
    if shifts is None or axes is None or sizes is None:
        return None
    x = call.inputs[0]
    for shift, axis in zip(np.atleast_1d(shifts), np.atleast_1d(axes), strict=True):
        size = sizes[axis]
        if size is None:
            return None
        order = (np.arange(size) - shift) % size
        cut = int(order[0])
        if cut:
            tail, head = tf.split(x, [cut, size - cut], int(axis) % len(sizes))
            x = tf.concat([head, tail], int(axis) % len(sizes))
    return tf.identity(x)


def _resized(call: Call) -> tf.Tensor | None:
    """Every row of the result is a sum of rows, and every column of columns: two matrix products."""
    sizes, wanted = call.shape(0), call.constant(1)
    others = [call.constant(number) for number in range(2, len(call.inputs))]
    if sizes is None or None in sizes[1:] or wanted is None or any(value is None for value in others):
        return None
    _, height, width, channels = (int(size or 0) for size in sizes)
    rows = _weights(call, others, height, int(wanted[0]), 0)
    columns = _weights(call, others, width, int(wanted[1]), 1)
    x = tf.reshape(tf.cast(call.inputs[0], tf.float32), [-1, height, width * channels])
    x = tf.reshape(tf.matmul(rows, x), [-1, width, channels])
    return tf.reshape(tf.matmul(columns, x), [-1, int(wanted[0]), int(wanted[1]), channels])


def _weights(call: Call, others: list[Any], size: int, wanted: int, axis: int) -> Any:
    """What the op itself makes of an image one pixel wide with a one in every row, a channel each: [wanted, size]."""
    image = np.eye(size, dtype=np.float32)[None, :, None]
    attributes = {
        name: _value(value) for name, value in call.attr.items() if name != "T" and not name.startswith("_")
    }
    if call.op == "ScaleAndTranslate":
        scale, translation = others
        attributes |= {"scale": [scale[axis], 1.0], "translation": [translation[axis], 0.0]}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        made = getattr(tf.raw_ops, call.op)(images=image, size=[wanted, 1], **attributes)
        return session.run(made)[0, :, 0]


def _value(attribute: Any) -> Any:
    return attribute.s.decode() if attribute.WhichOneof("value") == "s" else attribute.b


WORDS: dict[str, Rewrite] = {
    "Softsign": lambda call: call.inputs[0] / (1 + tf.abs(call.inputs[0])),
    "Erfc": lambda call: 1 - tf.math.erf(call.inputs[0]),
    "Rint": lambda call: tf.round(call.inputs[0]),
    "EuclideanNorm": _norm,
    "Bucketize": _bucketize,
    "TensorScatterAdd": _scatter_add,
    "TensorScatterSub": _scatter_add,
    "UnsortedSegmentSum": _segment_sum,
    "SpaceToDepth": _space_to_depth,
    "ExtractImagePatches": _patches,
    "Roll": _roll,
    "ResizeBicubic": _resized,
    "ResizeArea": _resized,
    "ScaleAndTranslate": _resized,
}
