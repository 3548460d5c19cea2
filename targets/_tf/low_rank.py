"""Layers of a Keras model that become two (see edgepack.compress.low_rank)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras.src.models.functional import Functional

from edgepack.errors import ModelError
from edgepack.spec import Array

L = keras.layers


def splitting(model: Any) -> set[int]:
    """The ids of layers that two can take the place of: plain ones, in a model that Keras can make again layer by layer."""
    if type(model) not in (keras.Sequential, Functional):
        return set()
    own = {id(layer) for layer in model.layers if _splits(layer)}
    return own.union(*map(splitting, model.layers))


def _splits(layer: Any) -> bool:
    return type(layer) in (L.Dense, L.Conv1D, L.Conv2D) and getattr(layer, "groups", 1) == 1


def split(model: Any, factors: Mapping[int, tuple[Array, Array]]) -> Any:
    """The model again, with two layers of weights [rank, in] and [out, rank] in the place of those of these ids. Raises ModelError."""
    made: dict[int, tuple[Any, Any]] = {}

    def again(layer: Any) -> Any:
        two = _two(layer, len(factors[id(layer)][0])) if id(layer) in factors else None
        own = two or layer.__class__.from_config(layer.get_config())
        made[id(layer)] = layer, own
        return own

    try:
        clone = keras.models.clone_model(model, clone_function=again, recursive=True)
    except Exception as error:
        raise ModelError(
            f"Keras cannot make the model again with two layers in the place of one: {error}",
            "Give its classes a get_config, or build without --low-rank.",
        ) from error
    for layer, own in made.values():
        if id(layer) in factors:
            first, second = (
                _stored(each, kernel) for each, kernel in zip(own.layers, factors[id(layer)], strict=True)
            )
            bias = [layer.bias.numpy()] if layer.use_bias else []
            own.layers[0].set_weights([first])
            own.layers[1].set_weights([second, *bias])
        elif isinstance(layer, keras.Layer):  # others are operations, without weights
            own.set_weights(layer.get_weights())
    return clone


def _two(layer: Any, rank: int) -> Any:
    config = layer.get_config()
    plain = {"use_bias": False, "activation": "linear", "name": f"{layer.name}_first"}
    last = {"name": f"{layer.name}_second"}
    if isinstance(layer, L.Dense):
        pair = [plain | {"units": rank}, last]
    else:
        one = [1] * len(layer.kernel_size)
        here = {"kernel_size": one, "strides": one, "dilation_rate": one, "padding": "valid"}
        pair = [plain | {"filters": rank}, last | here]
    return keras.Sequential([type(layer).from_config(config | each) for each in pair], name=layer.name)


def _stored(layer: Any, matrix: Array) -> Array:
    return np.ascontiguousarray(matrix.T, np.float32).reshape(layer.kernel.shape)
