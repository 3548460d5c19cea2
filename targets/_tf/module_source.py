"""tf.Module objects and bare tf.functions that a factory returns."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edgepack.errors import ModelError, UsageError
from edgepack.model import LoadRequest
from edgepack.spec import TensorSpec

from .._keras.function import Function, Tensors, named_outputs

USUAL = ("serve", "predict", "__call__", "call", "forward", "infer")


def function(made: Any, request: LoadRequest) -> Function:
    """The module's function that takes a declared signature. Raises UsageError, ModelError."""
    candidates = {"": made} if hasattr(made, "get_concrete_function") else _tf_functions(made)
    if not candidates:
        raise ModelError(
            f"The tf.Module {type(made).__qualname__} has no tf.function.",
            "Decorate one: @tf.function(input_signature=[tf.TensorSpec([1, 224, 224, 3], tf.float32, name='image')]).",
        )
    chosen = candidates[choose(list(candidates), request.signature, type(made).__qualname__)]
    concrete = _concrete(chosen, request)
    arguments, keywords = concrete.structured_input_signature
    flat = [spec for spec in tf.nest.flatten((arguments, keywords)) if isinstance(spec, tf.TensorSpec)]
    inputs = tuple(
        TensorSpec(spec.name or f"input_{index}", _shape(spec), spec.dtype.name)
        for index, spec in enumerate(flat)
    )

    def call(tensors: Tensors) -> Tensors:
        values = [tensors[spec.name] for spec in inputs]
        packed, named = tf.nest.pack_sequence_as((arguments, keywords), values)
        return named_outputs(chosen(*packed, **named))

    return Function(inputs, call, made)


def choose(names: list[str], wanted: str | None, where: str) -> str:
    """The signature to convert: the one asked for, the only one, or one with a usual name. Raises UsageError."""
    listed = ", ".join(names)
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"{where} has no signature '{wanted}'.", f"It has: {listed}.")
        return wanted
    if len(names) == 1:
        return names[0]
    for usual in ("serving_default", *USUAL):
        if usual in names:
            return usual
    raise UsageError(f"{where} has several signatures: {listed}.", f"Choose one: --signature {names[0]}.")


def _tf_functions(module: Any) -> dict[str, Any]:
    names = [
        name
        for name in dir(type(module)) + list(vars(module))
        if not name.startswith("_") or name == "__call__"
    ]
    found = {name: getattr(module, name, None) for name in names}
    return {name: value for name, value in found.items() if hasattr(value, "get_concrete_function")}


def _concrete(chosen: Any, request: LoadRequest) -> Any:
    if getattr(chosen, "input_signature", None) is None and hasattr(chosen, "input_signature"):
        specs = [
            tf.TensorSpec(shape, dtype or "float32", name=name)
            for name, (shape, dtype) in request.shapes.items()
        ]
        if not specs:
            raise UsageError(
                "The tf.function has no input_signature, so its inputs are not known.",
                "Declare it, @tf.function(input_signature=[...]), or give --shape NAME=1x224x224x3 for every argument.",
            )
        return chosen.get_concrete_function(*specs)
    try:
        return chosen.get_concrete_function()
    except Exception as error:
        raise ModelError(
            f"The tf.function cannot be traced: {_first_line(error)}", "Call it once in Python to see why."
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _shape(spec: tf.TensorSpec) -> tuple[int | None, ...]:
    if spec.shape.rank is None:
        raise UsageError(
            f"The input '{spec.name}' has no known number of dimensions.", "Give its tf.TensorSpec a shape."
        )
    return tuple(spec.shape.as_list())
