"""Layers of a Keras model whose weights are one matrix, and what they are fed with."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgepack.compress.student import Kind, Layer
from edgepack.spec import Array

from . import low_rank, places
from .calls import watching

L = keras.layers
CONVOLUTIONS = (L.Conv1D, L.Conv2D)
DEPTHWISE = (L.DepthwiseConv1D, L.DepthwiseConv2D)
SCALING = (L.LayerNormalization, L.RMSNormalization, L.PReLU)


@dataclass(frozen=True)
class Matrix:
    """A variable as a matrix.

    Attributes:
        outputs: the axes of the variable that are output channels; of none, all values share a scale.
    """

    variable: Any
    outputs: tuple[int, ...]

    def matrix(self, stored: Array | None = None) -> Array:
        """[out, in] of what is stored in the variable; of what is there now by default."""
        values = self.variable.numpy() if stored is None else stored
        out = math.prod(values.shape[axis] for axis in self.outputs)
        return np.ascontiguousarray(values.transpose(self._order())).reshape(out, -1)

    def stored(self, matrix: Array) -> Array:
        """The other way."""
        order = self._order()
        shape = [self.variable.shape[axis] for axis in order]
        return np.ascontiguousarray(matrix.reshape(shape).transpose(np.argsort(order)))

    def _order(self) -> list[int]:
        inputs = [axis for axis in range(len(self.variable.shape)) if axis not in self.outputs]
        return [*self.outputs, *inputs]


@dataclass(frozen=True)
class Weight(Matrix):
    """A matrix in a Keras model.

    Attributes:
        layer: the Keras layer that has it.
        is_fed: the layer's inputs are what it multiplies.
    """

    layer: Any
    is_fed: bool

    @property
    def kind(self) -> Kind:
        if _is_depthwise(self.layer, self.variable) or getattr(self.layer, "groups", 1) != 1:
            return "depthwise"
        if not self.is_fed:
            return "weights"
        return "conv" if isinstance(self.layer, CONVOLUTIONS) else "linear"

    @property
    def is_plain(self) -> bool:
        """Whether the kernel is a dense layer's or a convolution's."""
        return self.is_fed and not isinstance(self.layer, L.EinsumDense)

    def in_place_of(self, layer: Any) -> Weight:
        """The same of a layer that took this one's place, if one did."""
        if layer is None or not self.is_plain:
            return self
        return replace(self, variable=layer.kernel, layer=layer)

    @property
    def takes_shift(self) -> bool:
        """Whether a bias has a value for every output channel."""
        bias = getattr(self.layer, "bias", None)
        return self.is_fed and bias is not None and math.prod(bias.shape) == len(self.matrix())

    def shift(self, amount: Array) -> None:
        self.layer.bias.assign_add(amount.reshape(self.layer.bias.shape))


def found(model: keras.Model, run: Callable[[], Any]) -> tuple[tuple[Layer, Weight], ...]:
    """The matrices that can be changed, in the order in which they first compute, each with a name of its own.

    Args:
        run: computes with the model for one sample.
    """
    layers = [each for each in model._flatten_layers() if each.built]
    outer: list[Any] = []

    def look() -> None:
        outer.append(tf.compat.v1.get_default_graph())
        run()

    asking = [each for each in layers if each._trainable_variables or isinstance(each, places.LOOPING)]
    with watching([each for each in layers if _is_plain(each)]) as seen, places.counting(asking) as asked:
        concrete = tf.function(look, autograph=False).get_concrete_function()
    # what is computed within a loop cannot be looked at from outside
    fed = {key: calls for key, calls in seen.items() if all(given.graph is outer[-1] for _, given in calls)}
    weights = [each for layer in layers for each in _of(layer, id(layer) in fed)]
    order = {id(handle): place for place, (handle, _) in enumerate(concrete.graph.captures)}
    used = {id(each.variable): each for each in weights if id(each.variable.value.handle) in order}
    ordered = sorted(used.values(), key=lambda each: order[id(each.variable.value.handle)])
    names = [each.layer.name for each in ordered if each.is_fed]
    splitting = low_rank.splitting(model)
    return tuple(
        (
            _described(
                each,
                names.count(each.layer.name) == 1,
                asked[id(each.layer)],
                each.is_fed and id(each.layer) in splitting,
            ),
            each,
        )
        for each in ordered
    )


def _described(weight: Weight, is_only: bool, count: int, splits: bool) -> Layer:
    name = weight.variable.path
    if weight.is_fed:
        name = weight.layer.name if is_only else weight.layer.path
    return Layer(name, weight.kind, weight.matrix().shape, weight.takes_shift, count, splits)


def _is_plain(layer: Any) -> bool:
    """Whether what it is called with is what its kernel multiplies; a subclass may do more than its class says."""
    if type(layer) is L.EinsumDense:
        return _contracts_last(layer.equation)
    if type(layer) not in (L.Dense, *CONVOLUTIONS, *DEPTHWISE):
        return False
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def _of(layer: Any, is_fed: bool) -> Iterator[Weight]:
    """The matrices of a layer itself, not of those inside it."""
    if layer.quantization_mode or isinstance(layer, SCALING):
        return
    for variable in layer._trainable_variables:
        # a kernel with one output is a matrix still
        sizes = len(variable.shape) if is_fed else sum(size > 1 for size in variable.shape)
        is_matrix = sizes > 1 and "bias" not in variable.name
        if is_matrix and variable.dtype == "float32":
            yield Weight(variable, _outputs(layer, variable), layer, is_fed)


def _outputs(layer: Any, variable: Any) -> tuple[int, ...]:
    last = len(variable.shape) - 1
    if isinstance(layer, L.Embedding):
        return ()
    if isinstance(layer, L.EinsumDense):
        return places.outputs(layer.equation)
    if _is_depthwise(layer, variable):
        return (last - 1, last)
    return (last - 1,) if isinstance(layer, places.TRANSPOSED) else (last,)


def _is_depthwise(layer: Any, variable: Any) -> bool:
    return isinstance(layer, DEPTHWISE) or variable.name == "depthwise_kernel"


def _contracts_last(equation: str) -> bool:
    """Whether an einsum sums over the last dimensions of its inputs, in their order, and is a matrix so."""
    fed, kernel, given = re.split("->|,", equation)
    summed = "".join(letter for letter in kernel if letter in fed)
    return fed.endswith(summed) and not set(summed) & set(given)


def unfolded(layer: Any, fed: Any, width: int) -> Any:
    """[places, in]: what each output place sees, in the order of ``Weight.matrix``; ``width`` is ``in``."""
    if isinstance(layer, L.Dense | L.EinsumDense):
        return tf.reshape(fed, [-1, width])
    sizes, strides, rates = (list(each) for each in (layer.kernel_size, layer.strides, layer.dilation_rate))
    padding = layer.padding.upper()
    if isinstance(layer, L.Conv1D):
        if padding == "CAUSAL":
            fed, padding = tf.pad(fed, [[0, 0], [rates[0] * (sizes[0] - 1), 0], [0, 0]]), "VALID"
        fed, sizes, strides, rates = fed[:, None], [1, *sizes], [1, *strides], [1, *rates]
    return patches(fed, sizes, strides, rates, padding)


def patches(fed: Any, sizes: list[int], strides: list[int], rates: list[int], padding: str) -> Any:
    """[places, in]: what each place of a convolution over images, channels last, sees."""
    if sizes == [1, 1]:
        seen = fed[:, :: strides[0], :: strides[1]]
    else:
        seen = tf.image.extract_patches(fed, [1, *sizes, 1], [1, *strides, 1], [1, *rates, 1], padding)
    return tf.reshape(seen, [-1, seen.shape[-1]])
