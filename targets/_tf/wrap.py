"""Declared pre- and post-processing, realised in TensorFlow; and what of it the source does already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from edgepack.errors import UsageError
from edgepack.model import Where
from edgepack.spec import Affine, Signature, TensorSpec
from edgepack.wrap import InputWrap, Wrap

from .._keras.function import Function, Tensors

if TYPE_CHECKING:
    from .model import Frozen

AFFINE_OPS = {"Mul", "Add", "AddV2", "Sub", "RealDiv", "BiasAdd"}
PASSING_OPS = {"Identity", "Cast", "StopGradient", "EnsureShape", "PreventGradient"}
RESHAPING_OPS = {"Reshape", "Squeeze", "ExpandDims"}
ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}


@dataclass(frozen=True)
class Found:
    """What a frozen graph does at its edges.

    Attributes:
        scalings: the multiplication and addition that an input's values first go through, where there is one.
        activations: the activation that an output ends with, where there is one.
    """

    scalings: Mapping[str, Affine]
    activations: Mapping[str, str]


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
    processing: list[tuple[str, str, Where]] = []
    notes: list[str] = []
    inputs, pre = list(function.inputs), {}
    for index, spec in enumerate(function.inputs):
        step = declared.input(spec.name)
        if step is None:
            continue
        fed, action = _input_step(spec, step, found.scalings.get(spec.name), processing, notes)
        inputs[index] = fed
        if action is not None:
            pre[spec.name] = action
    post = _output_steps(frozen.signature, found, declared, processing, notes)
    if not pre and not post and tuple(inputs) == function.inputs:
        return Wrapped(function, tuple(processing), notes)

    def call(tensors: Tensors) -> Tensors:
        fed = {name: pre[name](value) if name in pre else value for name, value in tensors.items()}
        return {
            name: post[name](value) if name in post else value for name, value in function.call(fed).items()
        }

    return Wrapped(replace(function, inputs=tuple(inputs), call=call), tuple(processing), notes)


def _input_step(
    spec: TensorSpec, step: InputWrap, there: Affine | None, processing: list[Any], notes: list[str]
) -> tuple[TensorSpec, Any]:
    """What the app feeds for one input, and how it becomes what the network takes (None: as it is)."""
    step.check(spec)
    shape = spec.static_shape
    transpose = step.layout == "NCHW" and len(shape) == 4
    fed = (shape[0], shape[2], shape[3], shape[1]) if transpose else shape
    affine = step.affine
    if len(affine.scale) not in (1, fed[-1]):
        raise UsageError(
            f"The input '{spec.name}' has {fed[-1]} channels; {len(affine.scale)} values are declared for them.",
            "Give one value, or one for every channel.",
        )
    add_affine = not affine.is_identity
    words = str(affine)
    if add_affine and there is not None and there.close_to(affine):
        notes.append(
            f"The source already computes {words} of the input '{spec.name}'; it is not added twice."
        )
        processing.append((spec.name, words, "source"))
        add_affine = False
    elif add_affine:
        if there is not None:
            notes.append(
                f"The source begins with {there} of the input '{spec.name}'; the declared {words} comes before it."
            )
        processing.append((spec.name, words, "baked"))
    swap = step.channels == "bgr" and fed[-1] == 3
    processing += [(spec.name, "RGB to BGR", "baked")] if swap else []
    processing += [(spec.name, "NHWC to NCHW", "baked")] if transpose else []
    dtype = "float32" if step.kind == "image" or add_affine else spec.dtype
    fed_spec = TensorSpec(spec.name, fed, dtype)
    if not (swap or add_affine or transpose or dtype != spec.dtype):
        return fed_spec, None

    def action(value: Any) -> Any:
        value = tf.reverse(value, [-1]) if swap else value
        if add_affine:
            value = value * tf.constant(affine.scale, tf.float32)
            if any(affine.offset):
                value = value + tf.constant(affine.offset, tf.float32)
        value = tf.transpose(value, [0, 3, 1, 2]) if transpose else value
        return tf.cast(value, spec.dtype)

    return fed_spec, action


def _output_steps(
    signature: Signature, found: Found, declared: Wrap, processing: list[Any], notes: list[str]
) -> dict[str, Any]:
    activations = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}
    steps = {}
    for spec in signature.outputs:
        step = declared.output(spec.name)
        if step is None or step.activation == "none":
            continue
        if found.activations.get(spec.name) == step.activation:
            notes.append(
                f"The output '{spec.name}' already ends with {step.activation}; it is not added twice."
            )
            processing.append((spec.name, step.activation, "source"))
        else:
            processing.append((spec.name, step.activation, "baked"))
            steps[spec.name] = activations[step.activation]
    return steps
