"""Declared pre- and post-processing, realised in TensorFlow; and what of it the source does already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from edgepack.spec import Affine, Signature
from edgepack.wrap import Decided, Found, InputSteps, Where, Wrap

from .._keras.function import Function, Tensors

if TYPE_CHECKING:
    from .frozen import Frozen

AFFINE_OPS = {"Mul", "Add", "AddV2", "Sub", "RealDiv", "BiasAdd"}
PASSING_OPS = {"Identity", "Cast", "StopGradient", "EnsureShape", "PreventGradient"}
RESHAPING_OPS = {"Reshape", "Squeeze", "ExpandDims"}
ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}


@dataclass(frozen=True)
class Wrapped:
    """A function with the declared steps around it, and where each of them is."""

    function: Function
    processing: tuple[tuple[str, str, Where], ...] = ()
    notes: list[str] = field(default_factory=list)


def inspect(concrete: Any, signature: Signature) -> Found:
    """Look at the first and last steps of a frozen function."""
    scalings = {
        spec.name: affine
        for spec, tensor in zip(signature.inputs, concrete.inputs, strict=True)
        if spec.dtype == "float32" and (affine := _scaling(concrete.graph, tensor)) is not None
    }
    activations = {
        spec.name: ACTIVATIONS[op.type]
        for spec, tensor in zip(signature.outputs, concrete.outputs, strict=True)
        if (op := _producer(tensor)).type in ACTIVATIONS
    }
    return Found(scalings, activations)


def _producer(tensor: Any) -> Any:
    while tensor.op.type in PASSING_OPS | RESHAPING_OPS:
        tensor = tensor.op.inputs[0]
    return tensor.op


def _scaling(graph: Any, placeholder: Any) -> Affine | None:
    """Follow the input through elementwise steps with constants, then probe what they compute of 0 and of 1."""
    end, found = placeholder, False
    while len(consumers := end.consumers()) == 1:
        op = consumers[0]
        if op.type in AFFINE_OPS and len(op.inputs) == 2:
            other = op.inputs[1] if op.inputs[0] is end else op.inputs[0]
            if _depends_on_inputs(other) or (op.type == "RealDiv" and op.inputs[1] is end):
                break
            found = True
        elif op.type not in PASSING_OPS:
            break
        end = op.outputs[0]
    if not found or end.shape != placeholder.shape or not end.dtype.is_floating:
        return None
    zeros = np.zeros(placeholder.shape, placeholder.dtype.as_numpy_dtype)
    with tf.compat.v1.Session(graph=graph) as session:
        offset = session.run(end.name, {placeholder.name: zeros}).astype(np.float64)
        scale = session.run(end.name, {placeholder.name: zeros + 1}).astype(np.float64) - offset
    per_channel = [_per_channel(values) for values in (scale, offset)]
    if any(values is None for values in per_channel):
        return None  # differs from place to place: no plain normalisation
    affine = Affine(per_channel[0] or (), per_channel[1] or ())
    return None if affine.is_identity else affine


def _per_channel(values: Any) -> tuple[float, ...] | None:
    flat = values.reshape(-1, values.shape[-1] if values.ndim else 1)
    if np.ptp(flat, axis=0).max(initial=0) > 1e-6 * max(1.0, float(np.abs(flat).max(initial=0))):
        return None
    first = flat[0]
    return (float(first[0]),) if np.ptp(first) < 1e-12 else tuple(map(float, first))


def _depends_on_inputs(tensor: Any) -> bool:
    todo, seen = [tensor], set()
    while todo:
        each = todo.pop()
        if each.op.type == "Placeholder":
            return True
        if each.name not in seen:
            seen.add(each.name)
            todo += list(each.op.inputs)
    return False


def realise(function: Function, frozen: Frozen, found: Found, declared: Wrap) -> Wrapped:
    """Put the declared steps around a function, except those that it already does. Raises UsageError."""
    declared.check_outputs([spec.name for spec in frozen.signature.outputs])
    decided = Decided()
    inputs, pre = list(function.inputs), {}
    for index, spec in enumerate(function.inputs):
        step = declared.input(spec.name)
        if step is not None:
            steps = decided.input(spec, step, found)
            inputs[index] = steps.fed
            if steps.swap or steps.affine or steps.transpose or steps.fed.dtype != spec.dtype:
                pre[spec.name] = _action(steps, spec.dtype)
    post = {}
    for spec in frozen.signature.outputs:
        after = declared.output(spec.name)
        activation = decided.activation(spec.name, after.activation, found) if after else "none"
        if activation != "none":
            post[spec.name] = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}[activation]
    if not pre and not post:
        return Wrapped(function, tuple(decided.processing), decided.notes)

    def call(tensors: Tensors) -> Tensors:
        fed = {name: pre[name](value) if name in pre else value for name, value in tensors.items()}
        return {
            name: post[name](value) if name in post else value for name, value in function.call(fed).items()
        }

    wrapped = replace(function, inputs=tuple(inputs), call=call)
    return Wrapped(wrapped, tuple(decided.processing), decided.notes)


def _action(steps: InputSteps, dtype: str) -> Callable[[Any], Any]:
    """What becomes of what the app feeds."""

    def action(value: Any) -> Any:
        value = tf.reverse(value, [-1]) if steps.swap else value
        if steps.affine is not None:
            value = value * tf.constant(steps.affine.scale, tf.float32)
            if any(steps.affine.offset):
                value = value + tf.constant(steps.affine.offset, tf.float32)
        value = tf.transpose(value, [0, 3, 1, 2]) if steps.transpose else value
        return tf.cast(value, dtype)

    return action
