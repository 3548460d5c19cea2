"""Layers of a Keras model whose weights are one matrix, and what they are fed with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgepack.compress.student import Kind, Layer
from edgepack.spec import Array

L = keras.layers
CONVOLUTIONS = (L.Conv1D, L.Conv2D)
DEPTHWISE = (L.DepthwiseConv1D, L.DepthwiseConv2D)


def found(model: keras.Model) -> dict[str, Any]:
    """The layers that can be changed, by a name of their own; not in the order in which they compute."""
    layers = [each for each in model._flatten_layers() if _is_layer(each)]
    names = [each.name for each in layers]
    return {each.name if names.count(each.name) == 1 else each.path: each for each in layers}


def _is_layer(layer: Any) -> bool:
    """Plain ones: a subclass may do more than its class says."""
    if type(layer) not in (L.Dense, *CONVOLUTIONS, *DEPTHWISE) or not layer.built:
        return False
    return getattr(layer, "data_format", "channels_last") == "channels_last" and not layer.quantization_mode


def described(name: str, layer: Any, outputs: Sequence[Any]) -> Layer:
    """The layer, by what it gave for one sample, call by call."""
    weight = matrix(layer, layer.kernel.numpy())
    kind: Kind = "linear" if isinstance(layer, L.Dense) else "conv"
    if isinstance(layer, DEPTHWISE) or getattr(layer, "groups", 1) != 1:
        kind = "depthwise"
    places = sum(math.prod(given.shape[1:-1]) for given in outputs)
    return Layer(name, kind, weight.shape, layer.use_bias, places)


def matrix(layer: Any, kernel: Array) -> Array:
    """[out, in] of a kernel; a depthwise one's outputs are its channels, times the multiplier."""
    if isinstance(layer, DEPTHWISE):
        return kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1]).T
    return kernel.reshape(-1, kernel.shape[-1]).T


def kernel(layer: Any, weight: Array) -> Array:
    """The other way."""
    return np.ascontiguousarray(weight.T).reshape(layer.kernel.shape)


def unfolded(layer: Any, fed: Any) -> Any:
    """[places, in]: what each output place sees, in the order of ``matrix``."""
    if isinstance(layer, L.Dense):
        return tf.reshape(fed, [-1, fed.shape[-1]])
    sizes, strides, rates = (list(each) for each in (layer.kernel_size, layer.strides, layer.dilation_rate))
    padding = layer.padding.upper()
    if isinstance(layer, L.Conv1D):
        if padding == "CAUSAL":
            fed, padding = tf.pad(fed, [[0, 0], [rates[0] * (sizes[0] - 1), 0], [0, 0]]), "VALID"
        fed, sizes, strides, rates = fed[:, None], [1, *sizes], [1, *strides], [1, *rates]
    if sizes == [1, 1]:
        seen = fed[:, :: strides[0], :: strides[1]]
    else:
        seen = tf.image.extract_patches(fed, [1, *sizes, 1], [1, *strides, 1], [1, *rates, 1], padding)
    return tf.reshape(seen, [-1, seen.shape[-1]])


@contextmanager
def watching(layers: Sequence[Any]) -> Iterator[dict[int, list[tuple[Any, Any]]]]:
    """Notes what layers are fed with and give, by their ``id``, in the order in which they compute."""
    seen: dict[int, list[tuple[Any, Any]]] = {}

    def note(layer: Any, inputs: Any, compute: Callable[[], Any]) -> Any:
        given = compute()
        seen.setdefault(id(layer), []).append((inputs, given))
        return given

    with calling(layers, note):
        yield seen


@contextmanager
def calling(layers: Sequence[Any], call: Callable[[Any, Any, Callable[[], Any]], Any]) -> Iterator[None]:
    """Meanwhile ``call`` is called in place of layers: with the layer, what it is fed with, and what computes it."""

    def replacing(own: Callable[..., Any], layer: Any) -> Callable[..., Any]:
        return lambda inputs, *args, **kwargs: call(layer, inputs, lambda: own(inputs, *args, **kwargs))

    before = [layer.call for layer in layers]
    for layer, own in zip(layers, before, strict=True):
        object.__setattr__(layer, "call", replacing(own, layer))
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            object.__setattr__(layer, "call", own)
