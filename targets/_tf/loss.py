"""What a student learns from: the teacher's answers, and what the teacher's layers give (as in _torch/loss.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

FEATURES = 1.0
SMALLEST = 1e-8


def loss(
    answers: Sequence[Any], taught: Sequence[Any], features: Sequence[Any], wanted: Sequence[Any]
) -> Any:
    """The answers' loss and the layers', each a mean."""
    total = tf.add_n([_answer(own, other) for own, other in zip(answers, taught, strict=True)]) / len(answers)
    if features:
        layers = [_relative(own, other) for own, other in zip(features, wanted, strict=True)]
        total += FEATURES * tf.add_n(layers) / len(layers)
    return total


def probability_log(probabilities: Any) -> Any:
    """Their logarithms, none below that of ``SMALLEST``."""
    return tf.math.log(tf.maximum(probabilities, SMALLEST))


def _answer(own: Any, taught: Any) -> Any:
    """Of class probabilities the divergence, and the error of their logarithms; of other values the relative error."""
    if not own.dtype.is_floating:
        return tf.constant(0.0)
    if taught.shape.rank != 2 or taught.shape[1] == 1:
        return _relative(own, taught)
    ones = tf.reduce_max(tf.abs(tf.reduce_sum(taught, -1) - 1)) < 1e-3
    is_distribution = tf.logical_and(tf.reduce_min(taught) >= 0, ones)
    return tf.cond(is_distribution, lambda: _divergence(own, taught), lambda: _relative(own, taught))


def _divergence(own: Any, taught: Any) -> Any:
    logs, others = map(probability_log, (own, taught))
    divergence = tf.reduce_mean(tf.reduce_sum(taught * (others - logs), -1))
    centred = [each - tf.reduce_mean(each, -1, keepdims=True) for each in (logs, others)]
    return divergence + _relative(*centred)


def _relative(own: Any, wanted: Any) -> Any:
    return tf.reduce_mean((own - wanted) ** 2) / (tf.math.reduce_variance(wanted) + 1e-12)
