"""Einsum as a batched matrix product.

TF.js's own multiplies all with all and then sums, knows no ellipsis, and its wasm backend has none.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from .rewrite import Call, Rewrite


def _spelled(call: Call) -> tf.Tensor | None:
    words = _words(call)
    if words is None or any(len(set(word)) != len(word) for word in words):
        return None
    *inputs, result = words
    if len(inputs) == 1:
        return _arranged(call.inputs[0], inputs[0], result)
    return _product(call.inputs, inputs[0], inputs[1], result) if len(inputs) == 2 else None


def _words(call: Call) -> list[str] | None:
    """The axes of the inputs and of the result, a letter each; an ellipsis's too."""
    left, _, result = call.text("equation").replace(" ", "").partition("->")
    words = left.split(",")
    free = [letter for letter in string.ascii_letters if letter not in left + result]
    if "..." not in left:
        return [*words, result]
    if any(tensor.shape.rank is None for tensor in call.inputs):
        return None
    hidden = [
        tensor.shape.rank - len(word) + 3 if "..." in word else 0
        for word, tensor in zip(words, call.inputs, strict=True)
    ]
    if len([count for count in hidden if count]) > 1 and not _same_leading(call, words, hidden):
        return None
    axes = "".join(free[: max(hidden)])
    return [
        word.replace("...", axes[len(axes) - count :]) for word, count in zip(words, hidden, strict=True)
    ] + [result.replace("...", axes)]


def _same_leading(call: Call, words: Sequence[str], hidden: Sequence[int]) -> bool:
    """Whether ellipses stand for the same axes; where they do not, they broadcast."""
    shapes = []
    for tensor, word, count in zip(call.inputs, words, hidden, strict=True):
        first = word.index("...")
        shapes.append(tensor.shape.as_list()[first : first + count])
    return all(shape == shapes[0] for shape in shapes)


def _arranged(tensor: tf.Tensor, axes: str, wanted: str) -> tf.Tensor:
    """A tensor summed over the axes that are not wanted, the others in another order."""
    gone = [axes.index(axis) for axis in axes if axis not in wanted]
    if gone:
        tensor = tf.reduce_sum(tensor, gone)
    left = [axis for axis in axes if axis in wanted]
    order = [left.index(axis) for axis in wanted]
    return tensor if order == sorted(order) else tf.transpose(tensor, order)


def _product(inputs: Sequence[tf.Tensor], left: str, right: str, result: str) -> tf.Tensor | None:
    batch = [axis for axis in result if axis in left and axis in right]
    rows = [axis for axis in result if axis in left and axis not in right]
    columns = [axis for axis in result if axis in right and axis not in left]
    summed = [axis for axis in left if axis in right and axis not in result]
    sizes = {
        axis: size
        for tensor, word in zip(inputs, (left, right), strict=True)
        for axis, size in zip(word, tensor.shape if tensor.shape.rank else [None] * len(word), strict=True)
        if size is not None
    }
    unknown = set(left + right) - sizes.keys()
    groups = [batch, rows, columns, summed]
    if len(unknown) > 1 or any(axis not in left + right for axis in result):
        return (
            None
            if any(len(group) != 1 for group in groups[1:])
            else _plain(inputs, left, right, result, groups)
        )
    first = _matrix(_arranged(inputs[0], left, "".join(batch + rows + summed)), [batch, rows, summed], sizes)
    second = _matrix(
        _arranged(inputs[1], right, "".join(batch + summed + columns)), [batch, summed, columns], sizes
    )
    axes = batch + rows + columns
    product = tf.matmul(first, second)
    if any(len(group) != 1 for group in (rows, columns)):
        product = tf.reshape(product, [sizes.get(axis, -1) for axis in axes])
    return _arranged(product, "".join(axes), result)


def _plain(
    inputs: Sequence[tf.Tensor], left: str, right: str, result: str, groups: Sequence[Sequence[str]]
) -> tf.Tensor:
    """A product whose matrices need no other shape, so that none needs to be known."""
    batch, rows, columns, summed = groups
    first = _arranged(inputs[0], left, "".join([*batch, *rows, *summed]))
    second = _arranged(inputs[1], right, "".join([*batch, *summed, *columns]))
    return _arranged(tf.matmul(first, second), "".join([*batch, *rows, *columns]), result)


def _matrix(tensor: tf.Tensor, groups: Sequence[Sequence[str]], sizes: dict[str, int]) -> tf.Tensor:
    """A tensor whose groups of axes, but for the batch, are one axis each."""
    batch, *others = groups
    if all(len(group) == 1 for group in others):
        return tensor
    flat = [-1 if set(group) - sizes.keys() else int(np.prod([sizes[a] for a in group])) for group in others]
    return tf.reshape(tensor, [*(sizes.get(axis, -1) for axis in batch), *flat])


EINSUM: dict[str, Rewrite] = {"Einsum": _spelled}
