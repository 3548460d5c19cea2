"""Ops that TF.js (4.22) has and computes wrongly on some backend, in others that are right on all."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .rewrite import Call, Rewrite

NARROW = {tf.uint8, tf.int8, tf.uint16, tf.int16}
"""Integers that TF.js holds in 32 bits, where they do not wrap around."""


def _one_hot(call: Call) -> tf.Tensor | None:
    """The wasm backend's writes integers whatever the type; and none knows the axis."""
    indices, depth, on, off = call.inputs
    rank, size, axis = indices.shape.rank, call.constant(1), call.attr["axis"].i
    if axis != -1 and rank is None:
        return None
    classes = (
        tf.constant(np.arange(size), indices.dtype) if size is not None else _counted(depth, indices.dtype)
    )
    if axis != -1:
        classes = tf.reshape(classes, [-1, *[1] * (rank - axis)])
    hit = tf.equal(tf.expand_dims(indices, axis), classes)
    if on.dtype != tf.bool and (call.constant(2), call.constant(3)) == (1, 0):
        return tf.cast(hit, on.dtype)
    return _chosen(hit, on, off)


def _counted(count: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.cast(tf.range(tf.cast(count, tf.int32)), dtype)


def _select(call: Call) -> tf.Tensor | None:
    """The old Select takes one condition a row; and the wasm backend reads booleans as if they were floats."""
    condition, x, y = call.inputs
    by_row = call.op == "Select" and condition.shape.rank == 1 and x.shape.rank not in (None, 1)
    if by_row:
        condition = tf.reshape(condition, [-1, *[1] * (x.shape.rank - 1)])
    return _chosen(condition, x, y) if by_row or x.dtype == tf.bool else None


def _chosen(condition: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    if x.dtype != tf.bool:
        return tf.where(condition, x, y)
    return tf.logical_or(tf.logical_and(condition, x), tf.logical_and(tf.logical_not(condition), y))


def _band(call: Call) -> tf.Tensor | None:
    """TF.js's takes "all" for "none" where the number of diagonals is a tensor, as it always is in a graph."""
    x, lower, upper = call.inputs
    sizes, below, above = call.shape(0), call.constant(1), call.constant(2)
    if sizes is None or below is None or above is None:
        return None
    rows, columns = (_places(x, axis) for axis in (-2, -1))
    distance = tf.expand_dims(rows, 1) - tf.expand_dims(columns, 0)  # how far below the diagonal
    kept = [distance <= int(below)] if below >= 0 else []
    kept += [distance >= -int(above)] if above >= 0 else []
    if not kept:
        return tf.identity(x)
    inside = kept[0] if len(kept) == 1 else tf.logical_and(*kept)
    return tf.logical_and(x, inside) if x.dtype == tf.bool else tf.where(inside, x, tf.zeros([], x.dtype))


def _places(x: tf.Tensor, axis: int) -> Any:
    size = x.shape[axis]
    return tf.range(tf.shape(x)[axis]) if size is None else tf.constant(np.arange(size, dtype=np.int32))


def _cumulated(call: Call) -> tf.Tensor | None:
    """TF.js counts no axis from the end."""
    axis, rank = call.constant(1), call.inputs[0].shape.rank
    if axis is None or axis >= 0 or rank is None:
        return None
    return call.again([call.inputs[0], tf.constant(int(axis) + rank, call.inputs[1].dtype)])


def _gather(call: Call) -> tf.Tensor | None:
    """One of every sample's own: the wasm backend takes the first sample's for all."""
    batch, axis = call.attr["batch_dims"].i, call.constant(2)
    x, indices = call.inputs[:2]
    rank, inner = x.shape.rank, indices.shape.rank
    if not batch or axis is None or rank is None or inner is None:
        return None
    batch, axis = batch if batch > 0 else batch + inner, int(axis) % rank
    order = [*range(batch), axis, *(each for each in range(batch, rank) if each != axis)]
    moved = tf.transpose(x, order) if axis != batch else x
    sizes, indices = _sizes(moved), tf.cast(indices, tf.int32)
    count = _product(sizes[:batch])
    own = tf.range(count) * sizes[batch]
    own = tf.reshape(own, [*_sizes(indices)[:batch], *[1] * (inner - batch)])
    flat = tf.reshape(moved, [count * sizes[batch], *sizes[batch + 1 :]])
    taken = tf.gather(flat, indices + own, axis=0)
    before = axis - batch  # axes that were between the batch and the one gathered from
    first = [*range(batch), *range(inner, inner + before), *range(batch, inner)]
    return tf.transpose(taken, [*first, *range(len(first), rank + inner - batch - 1)]) if before else taken


def _sizes(x: tf.Tensor) -> list[Any]:
    known = x.shape.as_list()
    return [tf.shape(x)[axis] if size is None else size for axis, size in enumerate(known)]


def _product(sizes: list[Any]) -> Any:
    total = sizes[0]
    for size in sizes[1:]:
        total = total * size
    return total


def _spectrum(call: Call) -> tf.Tensor | None:
    """Of the first values alone, where it is asked for a shorter one: TF.js takes all there are."""
    x, length, size = call.inputs[0], call.constant(1), call.inputs[0].shape[-1:]
    if length is None or size.rank is None or not size[0] or size[0] <= length[0]:
        return None
    return call.again([x[..., : int(length[0])], call.inputs[1]])


def _matmul(call: Call) -> tf.Tensor | None:
    """Of two batches, TF.js repeats only one that is a single matrix."""
    shapes = [call.shape(number) for number in (0, 1)]
    if shapes[0] is None or shapes[1] is None:
        return None
    outer = [shape[:-2] for shape in shapes if shape is not None]
    if outer[0] == outer[1] or any(set(sizes) <= {1} for sizes in outer):
        return None
    wanted = tf.broadcast_dynamic_shape(*(tf.shape(x)[:-2] for x in call.inputs))
    return call.again([tf.broadcast_to(x, tf.concat([wanted, tf.shape(x)[-2:]], 0)) for x in call.inputs])


def _reversed(call: Call) -> tf.Tensor | None:
    """The wasm backend reverses booleans as if they were floats."""
    x, axes = call.inputs
    return tf.reverse(tf.cast(x, tf.int32), axes) > 0 if x.dtype == tf.bool else None


def _cast(call: Call) -> tf.Tensor | None:
    (x,) = call.inputs
    wanted = tf.as_dtype(call.attr["DstT"].type)
    if wanted == tf.bool and x.dtype.is_floating:
        return tf.not_equal(x, tf.zeros([], x.dtype))  # the wasm backend asks whether it is 1 or more
    if (
        wanted in NARROW
        and x.dtype.is_integer
        and not (x.dtype.min >= wanted.min and x.dtype.max <= wanted.max)
    ):
        return _wrapped(x, wanted)
    return None


def _wrapped(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """An integer as a narrower type holds it."""
    span = dtype.max - dtype.min + 1
    x = tf.cast(x, tf.int32)
    return tf.cast((x - dtype.min) % span + dtype.min if dtype.min else x % span, dtype)


def _arithmetic(call: Call) -> tf.Tensor | None:
    dtype = call.inputs[0].dtype
    if dtype not in NARROW:
        return None
    functions = {"Sub": tf.subtract, "Mul": tf.multiply}
    function = functions.get(call.op, tf.add)
    return _wrapped(function(*(tf.cast(x, tf.int32) for x in call.inputs)), dtype)


MENDS: dict[str, Rewrite] = {
    "OneHot": _one_hot,
    "Select": _select,
    "SelectV2": _select,
    "MatrixBandPart": _band,
    "Cumsum": _cumulated,
    "Cumprod": _cumulated,
    "GatherV2": _gather,
    "BatchMatMulV2": _matmul,
    "RFFT": _spectrum,
    "ReverseV2": _reversed,
    "Cast": _cast,
    **dict.fromkeys(("Add", "AddV2", "Sub", "Mul"), _arithmetic),
}
