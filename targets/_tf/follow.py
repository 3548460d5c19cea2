"""Follows every channel of a Keras model through its graph of layers (see edgepack.compress.coupling).

Every tensor has a companion of its shape, for a batch of 1, with the number of a channel at each place. Layers that are not
known here, or that mix channels, close those that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from edgepack.compress.coupling import Axis, Coupling, is_constant
from edgepack.spec import Array

L = keras.layers
CONVOLUTIONS = (L.Conv1D, L.Conv2D, L.Conv3D)
TRANSPOSED = (L.Conv1DTranspose, L.Conv2DTranspose)
DEPTHWISE = (L.DepthwiseConv1D, L.DepthwiseConv2D)
SEPARABLE = (L.SeparableConv1D, L.SeparableConv2D)
ONE_BY_ONE = (
    *(L.ReLU, L.LeakyReLU, L.ELU, L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.GaussianNoise),
    *(L.GaussianDropout, L.AlphaDropout, L.ActivityRegularization, L.Identity),
)
SPATIAL = (
    *(L.MaxPooling1D, L.MaxPooling2D, L.MaxPooling3D, L.AveragePooling1D, L.AveragePooling2D),
    *(L.AveragePooling3D, L.GlobalMaxPooling1D, L.GlobalMaxPooling2D, L.GlobalAveragePooling1D),
    *(L.GlobalAveragePooling2D, L.ZeroPadding1D, L.ZeroPadding2D, L.UpSampling1D, L.UpSampling2D),
    *(L.Cropping1D, L.Cropping2D, L.RepeatVector),
)
"""Each result is made of values of one channel."""

MERGES = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)
OPERATIONS = frozenset(
    ["Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Relu", "Relu6", "Sigmoid"]
    + [
        "Silu",
        "Tanh",
        "Gelu",
        "HardSigmoid",
        "HardSilu",
        "Softplus",
        "Elu",
        "LeakyRelu",
        "Negative",
        "Square",
    ]
)
"""Of keras.ops, element by element."""

ACTIVATIONS = frozenset(
    ["linear", "relu", "relu6", "elu", "selu", "silu", "gelu", "sigmoid", "hard_sigmoid", "hard_silu", "tanh"]
    + ["softplus", "softsign", "exponential", "leaky_relu", "mish"]
)


class Follow:
    """See the module.

    Attributes:
        coupling: what is found.
        read: the axes that layers read channels by.
        owned: the layer, and which of its variables, of every owner of an axis; a Reshape's ``None`` is its target shape.
    """

    def __init__(self, model: Any) -> None:
        self.coupling = Coupling()
        self.read: set[Axis] = set()
        self.owned: dict[str, tuple[Any, str | None]] = {}
        self._names: dict[tuple[int, str | None], str] = {}
        for each in self._graph(model, [np.zeros(_shape(each), int) for each in model.inputs]):
            self.coupling.close(each)

    def _graph(self, model: Any, inputs: Sequence[Array]) -> list[Array]:
        """The companions of a graph's outputs."""
        if isinstance(model, keras.Sequential):
            model = model._functional
        found = {id(tensor): each for tensor, each in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if not node.is_input:
                    given = [found[id(each)] for each in node.input_tensors]
                    shapes = [_shape(each) for each in node.outputs]
                    made = self._node(node, given, shapes)
                    found |= {id(each): own for each, own in zip(node.outputs, made, strict=True)}
        return [found[id(each)] for each in model.outputs]

    def _node(self, node: Any, given: list[Array], shapes: list[tuple[int, ...]]) -> list[Array]:
        layer = node.operation
        if is_graph(layer):
            return self._graph(layer, given)
        arguments = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
        others = [each for each in arguments if not isinstance(each, keras.KerasTensor)]
        is_plain = all(each is None or isinstance(each, bool | int | float | str) for each in others)
        rule = self._rule(layer) if is_plain and len(shapes) == 1 else None
        made = None if rule is None else rule(layer, given, shapes[0])
        if made is not None:
            return [made]
        for each in given:
            self.coupling.close(each)
        for variable in getattr(layer, "weights", ()):
            if (id(layer), variable.name) in self._names:
                self.coupling.close_owner(self._names[id(layer), variable.name])
        return [np.zeros(shape, int) for shape in shapes]

    def _rule(self, layer: Any) -> Callable[[Any, list[Array], tuple[int, ...]], Array | None] | None:
        kind = type(layer)
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            return None
        rules: Mapping[tuple[Any, ...], Callable[[Any, list[Array], tuple[int, ...]], Array | None]] = {
            (*CONVOLUTIONS, *TRANSPOSED, L.Dense): self._multiplied,
            DEPTHWISE: self._depthwise,
            SEPARABLE: self._separable,
            (L.BatchNormalization,): self._normalised,
            SPATIAL: self._spatial,
            MERGES: self._merged,
            ONE_BY_ONE: self._merged,
            (L.Activation,): self._activated,
            (L.Rescaling,): self._rescaled,
            (L.Concatenate,): lambda layer, given, shape: np.concatenate(given, layer.axis),
            (L.Flatten,): lambda layer, given, shape: given[0].reshape(1, -1),
            (L.Permute,): lambda layer, given, shape: given[0].transpose(0, *layer.dims),
            (L.Reshape,): self._reshaped,
        }
        for kinds, rule in rules.items():
            if kind in kinds:
                return rule
        if kind.__module__.startswith("keras.src.ops.") and kind.__name__ in OPERATIONS:
            return self._merged
        return None

    def _along(self, layer: Any, variable: str | None, axis: int, size: int) -> Array:
        key = (id(layer), variable)
        name = self._names.setdefault(key, f"{len(self._names)} {layer.name}")
        self.owned[name] = layer, variable
        return self.coupling.along(name, axis, size)

    def _axis(self, layer: Any, variable: str, axis: int) -> Array:
        shape = getattr(layer, variable).shape
        return self._along(layer, variable, axis % len(shape), shape[axis])

    def _read(self, layer: Any, variable: str, axis: int, channels: Array) -> None:
        self.coupling.join(self._axis(layer, variable, axis), channels)
        ndim = len(getattr(layer, variable).shape)
        self.read.add(Axis(self._names[id(layer), variable], axis % ndim))

    def _given(self, layer: Any, made: Array, shape: tuple[int, ...]) -> Array:
        """What a layer makes, its bias added and its activation applied."""
        if layer.use_bias:
            self.coupling.join(self._axis(layer, "bias", 0), made)
        if not _is_one_by_one(layer.activation):
            self.coupling.close(made)
        return np.broadcast_to(made, shape)

    def _multiplied(self, layer: Any, given: list[Array], shape: tuple[int, ...]) -> Array | None:
        channels = _channels(given[0])
        if channels is None or getattr(layer, "groups", 1) != 1:
            return None
        reads, makes = (-1, -2) if isinstance(layer, TRANSPOSED) else (-2, -1)
        self._read(layer, "kernel", reads, channels)
        return self._given(layer, self._axis(layer, "kernel", makes), shape)

    def _depthwise(self, layer: Any, given: list[Array], shape: tuple[int, ...]) -> Array | None:
        channels = _channels(given[0])
        if channels is None:
            return None
        self.coupling.join(self._axis(layer, "kernel", -2), channels)
        return self._given(layer, np.repeat(channels, layer.depth_multiplier), shape)

    def _separable(self, layer: Any, given: list[Array], shape: tuple[int, ...]) -> Array | None:
        channels = _channels(given[0])
        if channels is None:
            return None
        self.coupling.join(self._axis(layer, "depthwise_kernel", -2), channels)
        self._read(layer, "pointwise_kernel", -2, np.repeat(channels, layer.depth_multiplier))
        return self._given(layer, self._axis(layer, "pointwise_kernel", -1), shape)

    def _normalised(self, layer: Any, given: list[Array], shape: tuple[int, ...]) -> Array | None:
        channels = _channels(given[0])
        if channels is None or layer.axis not in (-1, len(shape) - 1):
            return None
        for variable in ("gamma", "beta", "moving_mean", "moving_variance"):
            if getattr(layer, variable) is not None:
                self.coupling.join(self._axis(layer, variable, 0), channels)
        return given[0]

    def _spatial(self, layer: Any, given: list[Array], shape: tuple[int, ...]) -> Array | None:
        channels = _channels(given[0])
        return None if channels is None else np.broadcast_to(channels, shape)

    def _activated(self, layer: Any, given: list[Array], shape: tuple[int, ...]) -> Array | None:
        return given[0] if _is_one_by_one(layer.activation) else None

    def _rescaled(self, layer: Any, given: list[Array], shape: tuple[int, ...]) -> Array | None:
        return given[0] if np.ndim(layer.scale) == 0 and np.ndim(layer.offset) == 0 else None

    def _merged(self, layer: Any, given: list[Array], shape: tuple[int, ...]) -> Array:
        total = given[0]
        for each in given[1:]:
            total = self.coupling.met(total, each)
        return np.broadcast_to(total, shape)

    def _reshaped(self, layer: Any, given: list[Array], shape: tuple[int, ...]) -> Array | None:
        """Its target shape changes with the channels, where they lie along one axis."""
        if given[0].size != np.prod(shape):
            return None
        found: Array = given[0].reshape(shape)
        varying = [axis for axis in range(1, len(shape)) if not is_constant(found, axis)]
        if not found.any():
            return found
        if len(varying) != 1:
            return None
        (axis,) = varying
        if layer.target_shape[axis - 1] != -1:
            own = np.moveaxis(found, axis, -1).reshape(-1, shape[axis])[0]
            self.coupling.join(self._along(layer, None, axis - 1, shape[axis]), own)
        return found


def is_graph(layer: Any) -> bool:
    """Whether a model is the graph of layers that Keras made of it, and nothing else."""
    if isinstance(layer, keras.Sequential):
        return type(layer).call is keras.Sequential.call and getattr(layer, "_functional", None) is not None
    return (
        isinstance(layer, keras.Model)
        and hasattr(layer, "_nodes_by_depth")
        and type(layer).call is keras.src.models.Functional.call
    )


def _shape(tensor: Any) -> tuple[int, ...]:
    """For a batch of 1; an open size is 2, as more of the same lies there."""
    return (1, *(size or 2 for size in tensor.shape[1:]))


def _is_one_by_one(activation: Any) -> bool:
    return activation is None or (
        getattr(activation, "__module__", "").startswith("keras.") and activation.__name__ in ACTIVATIONS
    )


def _channels(companion: Array) -> Array | None:
    """Along the last axis, where they are the same along all others."""
    rows = companion.reshape(-1, companion.shape[-1])
    return rows[0] if bool((rows == rows[0]).all()) else None
