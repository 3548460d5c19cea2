"""Whether a Keras model can compute several samples together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def can_stack(call: Callable[..., Sequence[Any]], example: Sequence[Any]) -> bool:
    """Whether two samples computed together give what each gives alone."""
    if not all(each.shape.rank and each.shape[0] == 1 for each in example):
        return False
    alone = call(*example)
    try:
        both = call(*(tf.concat([each, each], 0) for each in example))
    except Exception:  # a reshape to a batch of 1, say: then one after the other
        return False
    return all(
        one.shape.rank
        and two.shape[0] == 2 * one.shape[0]
        and np.allclose(two, tf.concat([one, one], 0), rtol=1e-3, atol=1e-4)
        for one, two in zip(alone, both, strict=True)
    )
