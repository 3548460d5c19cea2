"""Variables that keep what training must leave in them: learning moves shadows of them, and they show the nearest allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgepack.compress import cluster
from edgepack.compress.distil import spans
from edgepack.compress.student import Hold
from edgepack.spec import Array

from .layers import Matrix


class Held:
    """Some matrices of a model, and all else of it that learns.

    Gradients at what they show move the shadows, as if they were their own: the straight-through estimator of Bengio et al.,
    Estimating or Propagating Gradients Through Stochastic Neurons, 2013.

    Args:
        holds: by name.
        found: the matrices, by name.
        trainable: the variables that learn, to which gradients belong.
    """

    def __init__(
        self, holds: Mapping[str, Hold], found: Mapping[str, Matrix], trainable: Sequence[Any]
    ) -> None:
        self._holds = {name: (found[name], hold) for name, hold in holds.items()}
        self._shadows = {name: keras.Variable(found[name].variable) for name in holds}
        held = {id(found[name].variable): shadow for name, shadow in self._shadows.items()}
        self._moved = [held.get(id(each), each) for each in trainable]
        self._optimiser = keras.optimizers.Adam(global_clipnorm=1.0)
        self._optimiser.build(self._moved)
        self._spans = spans([np.moveaxis(np.atleast_1d(each), -1, 0) for each in self._moved])

    @property
    def state(self) -> list[Any]:
        """The variables that are none of the model's."""
        return [*self._shadows.values(), *self._optimiser.variables]

    def step(self, gradients: Sequence[Any], rate: float) -> None:
        """Adam's step does not depend on the gradient's size, so what it moves is scaled afterwards."""
        self._optimiser.learning_rate = rate
        before = [tf.identity(each.value) for each in self._moved]
        self._optimiser.apply(gradients, self._moved)
        for each, old, relative in zip(self._moved, before, self._spans, strict=True):
            each.assign(old + relative * (each.value - old))
        for name, (own, hold) in self._holds.items():
            own.variable.assign(own.stored(_nearest(own.matrix(self._shadows[name].numpy()), hold)))


def _nearest(weight: Array, hold: Hold) -> Array:
    """The weights that are allowed."""
    if hold.codes is not None and hold.scales is not None:
        codes = hold.codes if hold.mask is None else hold.codes[hold.codes != 0]
        weight = codes[cluster.nearest(weight / hold.scales, codes)] * hold.scales
    return weight if hold.mask is None else weight * hold.mask
