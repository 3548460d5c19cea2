"""Which way a sample is more of a class, for a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from edgepack.spec import Array, Signature

from .loss import probability_log


def slopes(call: Callable[..., Any], signature: Signature, output: str) -> Callable[..., list[Any]]:
    """Of (inputs, classes, one a sample): the gradients by the inputs that are floats."""
    place = [spec.name for spec in signature.outputs].index(output)

    def gradients(tensors: Sequence[Any], classes: Any) -> list[Any]:
        followed = [each for each in tensors if each.dtype.is_floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(followed)
            seen = tf.gather(probability_log(call(*tensors)[place]), classes, axis=1, batch_dims=1)
        found: list[Any] = tape.gradient(seen, followed, unconnected_gradients="zero")
        return found

    return gradients


def towards(
    gradients: Callable[..., list[Any]],
    signature: Signature,
    stacks: Iterable[list[Any]],
    classes: Sequence[int],
) -> list[dict[str, Array]]:
    """See edgepack.compress.student.Student.towards; the samples in stacks, by the ``slopes`` of the teacher."""
    names = [spec.name for spec in signature.inputs if np.dtype(spec.dtype).kind == "f"]
    found: list[dict[str, Array]] = []
    rest = iter(classes)
    for tensors in stacks:
        wanted = list(islice(rest, int(tensors[0].shape[0])))
        try:
            own = gradients(tensors, tf.constant(wanted))
        except LookupError:  # an operation without a gradient
            own = [tf.zeros_like(each) for each in tensors if each.dtype.is_floating]
        found += [
            {name: slope[index : index + 1].numpy() for name, slope in zip(names, own, strict=True)}
            for index in range(len(wanted))
        ]
    return found
