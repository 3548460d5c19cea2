"""At how many places the weights of Keras's layers are asked for one sample, whatever computes with them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from .calls import calling

L = keras.layers
LOOPING = (L.RNN, L.TimeDistributed)
"""Layers that compute what is inside them for every step of their inputs, [batch, steps, ...]."""

TRANSPOSED = (L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose)


@dataclass(frozen=True)
class _Calls:
    """Calls of layers, of a looping layer or of the model: their places, by the graph that they were traced in."""

    graph: Any
    places: dict[Any, Counter[int]] = field(default_factory=dict)

    def note(self, key: int, places: int) -> None:
        self.places.setdefault(tf.compat.v1.get_default_graph(), Counter())[key] += places

    def total(self, steps: int) -> Counter[int]:
        """A loop's body is traced once, and what was computed before it, to know the shapes, counts for nothing."""
        bodies = [own for graph, own in self.places.items() if graph is not self.graph]
        once = sum(bodies or self.places.values(), Counter[int]())
        return Counter({key: places * (steps if bodies else 1) for key, places in once.items()})


@contextmanager
def counting(layers: Sequence[Any]) -> Iterator[Counter[int]]:
    """Counts the places of layers by their ``id``, over all their calls while one computation is traced."""
    found: Counter[int] = Counter()
    under_way: list[_Calls] = []

    def note(layer: Any, inputs: Any, compute: Callable[[], Any]) -> Any:
        if not isinstance(layer, LOOPING):
            given = compute()
            places = _places(layer, inputs, given)
            under_way[-1].note(id(layer), places) if under_way else found.update({id(layer): places})
            return given
        under_way.append(_Calls(tf.compat.v1.get_default_graph()))
        given = compute()
        for key, places in under_way.pop().total(tf.nest.flatten(inputs)[0].shape[1] or 1).items():
            under_way[-1].note(key, places) if under_way else found.update({key: places})
        return given

    with calling(layers, note):
        yield found


def _places(layer: Any, inputs: Any, given: Any) -> int:
    if isinstance(layer, L.Embedding):
        return 0  # it looks up, and multiplies nothing
    seen = inputs if isinstance(layer, TRANSPOSED) else given
    shape = [size or 1 for size in tf.nest.flatten(seen)[0].shape] or [1]
    if isinstance(layer, L.EinsumDense):
        made = [int(layer.kernel.shape[axis]) for axis in outputs(layer.equation)]
        return math.prod(shape) // math.prod(made)
    return math.prod(shape) // shape[1 if getattr(layer, "data_format", "") == "channels_first" else -1]


def outputs(equation: str) -> tuple[int, ...]:
    """The axes of an einsum's kernel that are in what it gives, and not in what it is fed with."""
    fed, kernel, _ = re.split("->|,", equation)
    return tuple(place for place, letter in enumerate(kernel) if letter not in fed)
