"""Channels of a Keras model: which can go, and the model without them (see edgepack.compress.channels)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from edgepack.compress.coupling import Axis, Coupled, proven
from edgepack.compress.student import Group
from edgepack.errors import ModelError
from edgepack.spec import Array, Signature

from .._keras.source import input_name, symbolic
from .follow import CONVOLUTIONS, DEPTHWISE, SEPARABLE, TRANSPOSED, Follow, is_graph

L = keras.layers
CLOSE = 1e-4
"""How near a model without channels is to one that does not use them, relative to the largest output."""


class Channels:
    """The channels of a model that can go.

    Attributes:
        groups: those that only layers read, in a fixed order.

    Raises:
        ModelError: the model is not a graph of layers.
    """

    def __init__(self, model: Any, layers: Mapping[str, Any], signature: Signature) -> None:
        if not is_graph(model):
            raise ModelError(
                "Channels cannot be removed from this Keras model: it computes by code of its own, not as a graph of layers.",
                "Build it with the functional API, or use --prune or --cluster.",
            )
        self._model, self._layers, self._signature = model, layers, signature
        self._follow = Follow(model)
        names = {id(layer): name for name, layer in layers.items()}
        found = {}
        for coupled in self._follow.coupling.groups():
            reading = [place for place in coupled.places if place in self._follow.read]
            known = all(
                self._name(place, names) and not _is_depthwise(self._layer(place)) for place in reading
            )
            if reading and known and len(coupled.places[reading[0]]) > 1:
                found[self._group(coupled, reading, names)] = coupled
        self.groups = proven(found, self._holds)

    def slim(self, gone: Mapping[Group, Array]) -> tuple[Any, dict[int, Any]]:
        """(a model without these channels, the layers that take others' places by the id of these)."""
        positions: dict[int, dict[tuple[str | None, int], list[int]]] = {}
        for group, channels in gone.items():
            for place, found in self.groups[group].places.items():
                layer, variable = self._follow.owned[place.owner]
                axes = positions.setdefault(id(layer), {})
                axes.setdefault((variable, place.axis), []).extend(found[channels].ravel().tolist())
        return _without(self._model, positions)

    def _layer(self, place: Axis) -> Any:
        return self._follow.owned[place.owner][0]

    def _name(self, place: Axis, names: Mapping[int, str]) -> str | None:
        layer, variable = self._follow.owned[place.owner]
        return names.get(id(layer)) if variable == "kernel" else None

    def _group(self, coupled: Coupled, reading: Sequence[Axis], names: Mapping[int, str]) -> Group:
        rows, columns = {}, {}
        for place, found in coupled.places.items():
            name = self._name(place, names)
            if name is None:
                continue
            layer = self._layer(place)
            if place in reading:
                inputs = layer.kernel.shape[-2]
                places = inputs * np.arange(math.prod(layer.kernel.shape[:-2]))
                columns[name] = (found[:, :, None] + places).reshape(len(found), -1)
            else:
                each = layer.depth_multiplier if _is_depthwise(layer) else 1
                rows[name] = (found[:, :, None] * each + np.arange(each)).reshape(len(found), -1)
        return Group(rows, columns)

    def _holds(self, some: Mapping[Group, Coupled]) -> bool:
        rng = np.random.default_rng(0)
        gone = {group: rng.permutation(group.size)[: group.size // 2] for group in some}
        kernels = {name: self._layers[name].kernel.numpy() for group in some for name in group.columns}
        self.groups = dict(some)
        try:
            for group, channels in gone.items():
                for name, columns in group.columns.items():
                    kernel = self._layers[name].kernel
                    matrix = kernel.numpy().reshape(-1, kernel.shape[-1])
                    matrix[columns[channels].ravel()] = 0
                    kernel.assign(matrix.reshape(kernel.shape))
            unused, without = (self._answers(each) for each in (self._model, self.slim(gone)[0]))
        except (ValueError, TypeError):  # a layer that cannot be made anew with other channels
            return False
        finally:
            for name, value in kernels.items():
                self._layers[name].kernel.assign(value)
        return all(
            bool(np.abs(one - other).max() <= CLOSE * np.abs(one).max())
            for one, other in zip(unused, without, strict=True)
        )

    def _answers(self, model: Any) -> list[Array]:
        """The model's outputs, for one and the same example."""
        function, rng = symbolic(model), np.random.default_rng(0)
        static = {spec.name: spec.static_shape for spec in self._signature.inputs}
        fed = {}
        for spec in function.inputs:
            known = static.get(spec.name, ())
            shape = known if len(known) == len(spec.shape) else tuple(size or 1 for size in spec.shape)
            fed[spec.name] = keras.ops.cast(rng.uniform(0, 2, shape), spec.dtype)
        return [np.asarray(each) for each in function.call(fed).values()]


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, DEPTHWISE)


def _without(
    model: Any, positions: Mapping[int, Mapping[tuple[str | None, int], Sequence[int]]]
) -> tuple[Any, dict[int, Any]]:
    """The graph anew, the layers in ``positions`` (by id) shorter along axes of their variables."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    anew: dict[int, tuple[Any, Any]] = {}

    def made(layer: Any) -> Any:
        if id(layer) not in positions:
            return layer
        other = type(layer).from_config(_config(layer, positions[id(layer)]))
        anew[id(layer)] = layer, other
        return other

    inputs = keras.tree.map_structure(
        lambda each: keras.Input(batch_shape=each.shape, dtype=each.dtype, name=input_name(each)), graph.input
    )
    graph.compiled = False  # how it was trained is of no interest here, and may not be known
    slim = keras.models.clone_model(graph, inputs, clone_function=made, recursive=True)
    for layer, other in anew.values():
        for old, new in zip(layer.weights, other.weights, strict=True):
            value = old.numpy()
            for (variable, axis), gone in positions[id(layer)].items():
                if variable is not None and getattr(layer, variable) is old:
                    value = np.delete(value, list(gone), axis)
            new.assign(value)
    return slim, {own: other for own, (_, other) in anew.items()}


def _config(layer: Any, axes: Mapping[tuple[str | None, int], Sequence[int]]) -> dict[str, Any]:
    """What a layer is made of, with as many outputs as are left."""
    config: dict[str, Any] = layer.get_config()
    for (variable, axis), gone in axes.items():
        if variable is None:
            shape = list(config["target_shape"])
            shape[axis] -= len(gone)
            config["target_shape"] = tuple(shape)
        elif isinstance(layer, L.Dense) and (variable, axis) == ("kernel", 1):
            config["units"] -= len(gone)
        elif (variable, axis) == (_kernel(layer), _outputs(layer)):
            config["filters"] -= len(gone)
    return config


def _kernel(layer: Any) -> str:
    return "pointwise_kernel" if isinstance(layer, SEPARABLE) else "kernel"


def _outputs(layer: Any) -> int:
    """The axis of a convolution's kernel that its filters lie along; none of a depthwise one."""
    if not isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED, *SEPARABLE)):
        return -1
    count = len(getattr(layer, _kernel(layer)).shape)
    return count - 2 if isinstance(layer, TRANSPOSED) else count - 1
