"""Strided slices in steps that every backend of TF.js (4.22) gets right.

Its wasm backend gives floats whatever the type where a stride is not 1; and every backend errs where an axis is
reversed while another is taken away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from .rewrite import Call, Rewrite


@dataclass(frozen=True)
class Cut:
    """What a slice does: a piece of every axis, then axes that go, then axes that come."""

    pieces: list[slice]
    gone: list[int]
    new: list[int]


def _sliced(call: Call) -> tf.Tensor | None:
    x, strides, rank = call.inputs[0], call.constant(3), call.inputs[0].shape.rank
    values = [call.constant(number) for number in (1, 2)]
    if strides is None or set(strides) == {1} or rank is None or any(value is None for value in values):
        return None
    cut = _cut(call, rank)
    exact = x.dtype.is_integer or x.dtype == tf.bool
    if not exact and not cut.gone and not cut.new:
        return None
    for axis, piece in enumerate(cut.pieces):
        taken = _taken(x, axis, piece) if exact else x[(slice(None),) * axis + (piece,)]
        if taken is None:
            return None
        x = taken
    x = tf.squeeze(x, cut.gone) if cut.gone else x
    for axis in cut.new:
        x = tf.expand_dims(x, axis)
    return tf.identity(x)


def _taken(x: tf.Tensor, axis: int, piece: slice) -> tf.Tensor | None:
    """Some places of an axis, one by one; ``None`` where its size would have to be known."""
    if piece == slice(None, None, 1):
        return x
    size = x.shape[axis]
    if size is None:
        return None
    return tf.gather(x, np.arange(size, dtype=np.int32)[piece], axis=axis)


def _cut(call: Call, rank: int) -> Cut:
    begin, end, strides = (np.asarray(call.constant(number)) for number in (1, 2, 3))
    whole = slice(None, None, 1)

    def marked(mask: str, number: int) -> bool:
        return bool(call.attr[f"{mask}_mask"].i >> number & 1)

    found = Cut([], [], [])
    taking = sum(not (marked("new_axis", n) or marked("ellipsis", n)) for n in range(len(begin)))
    place = 0  # among the axes of the result
    for n in range(len(begin)):
        if marked("ellipsis", n):
            found.pieces.extend([whole] * (rank - taking))
            place += rank - taking
        elif marked("new_axis", n):
            found.new.append(place)
            place += 1
        elif marked("shrink_axis", n):
            first = int(begin[n])
            found.gone.append(len(found.pieces))
            found.pieces.append(slice(first, first + 1 if first != -1 else None, 1))
        else:
            first_of = None if marked("begin", n) else int(begin[n])
            last_of = None if marked("end", n) else int(end[n])
            found.pieces.append(slice(first_of, last_of, int(strides[n])))
            place += 1
    found.pieces.extend([whole] * (rank - len(found.pieces)))
    return found


SLICES: dict[str, Rewrite] = {"StridedSlice": _sliced}
