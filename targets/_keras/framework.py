"""Keras models run by PyTorch, for targets that take models of the form ``torch``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import torch

from edgepack.model import HandedOver, LoadRequest
from edgepack.spec import Signature

from .._torch.model import TorchModel, build
from .._torch.source import Parameter, Source
from .._torch.weights import prepare
from . import pooling, source
from .function import Function, Tensors
from .recurrent import fuse


def load(request: LoadRequest) -> TorchModel:
    """The model in ``request.path``. Raises ModelError, UsageError."""
    return _model(source.load(request), request)


def adopt(made: object, request: LoadRequest) -> TorchModel:
    """The model in what a factory returned. Raises ModelError, UsageError."""
    assert isinstance(made, keras.Model)
    return _model(source.function(made, request), request)


def hand_over(made: object, folder: Path) -> HandedOver:
    """All of the model that can be written."""
    assert isinstance(made, keras.Model)
    return source.hand_over(made, folder)


def _model(function: Function, request: LoadRequest) -> TorchModel:
    function = _as_original(function, request.original)
    module = KerasModule(function)
    parameters = tuple(Parameter(spec.name, spec=spec) for spec in function.inputs)
    notes = prepare(module, has_modes=False)
    if request.original is not None:
        notes += (
            "Keras runs it on PyTorch; the answers that it is held to are those of Keras on TensorFlow.",
        )
    return build(Source(module, parameters, notes), request)


def _as_original(function: Function, original: Signature | None) -> Function:
    """With inputs and outputs in the original's order: what Keras writes and reads again has those of a dict sorted."""
    if original is None:
        return function
    inputs = [spec.name for spec in original.inputs]
    outputs = [spec.name for spec in original.outputs]

    def call(tensors: Tensors) -> Tensors:
        given = function.call(tensors)
        return {name: given[name] for name in sorted(given, key=_place_in(outputs))}

    ordered = sorted(function.inputs, key=lambda spec: _place_in(inputs)(spec.name))
    return replace(function, inputs=tuple(ordered), call=call)


def _place_in(names: list[str]) -> Callable[[str], int]:
    return lambda name: names.index(name) if name in names else len(names)


class KerasModule(torch.nn.Module):
    """A Keras model, called with its input tensors in order; it answers with tensors by name."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        fuse(function.keep)
        pooling.correct(function.keep)
        self.model = function.keep
        self._function = function

    def forward(self, *tensors: torch.Tensor) -> Tensors:
        names = (spec.name for spec in self._function.inputs)
        return dict(self._function.call(dict(zip(names, tensors, strict=True))))
