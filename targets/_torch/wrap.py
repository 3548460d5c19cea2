"""Declared pre- and post-processing, realised in PyTorch; and what of it the source does already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from edgepack.errors import UsageError
from edgepack.model import Where
from edgepack.spec import Affine, TensorSpec
from edgepack.wrap import InputWrap, Wrap

from .observe import Observed
from .source import Input

Constant = Callable[[tuple[float, ...]], Any]
"""Gives values as a constant tensor of the program that is being put together."""

Pre = Callable[[Any, Constant], Any]
Post = Callable[[Any], Any]


@dataclass
class Wrapped:
    """The declared steps that are to be put around a source, and where each of them is.

    Attributes:
        fed: what the app feeds, by input.
        pre: how it becomes what the module takes, where it is not that already.
        post: what becomes of an output.
        scalings: what an input's values first go through, the source's own step behind the declared one.
    """

    fed: dict[str, TensorSpec] = field(default_factory=dict)
    pre: dict[str, Pre] = field(default_factory=dict)
    post: dict[str, Post] = field(default_factory=dict)
    scalings: dict[str, Affine] = field(default_factory=dict)
    processing: list[tuple[str, str, Where]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def realise(inputs: tuple[Input, ...], observed: Observed, declared: Wrap) -> Wrapped:
    """The declared steps, except those that the source already does. Raises UsageError."""
    declared.check_outputs([each.name for each in observed.outputs])
    wrapped = Wrapped({each.name: each.spec for each in inputs}, scalings=dict(observed.scalings))
    for each in inputs:
        step = declared.input(each.name)
        if step is not None:
            _input_step(each.spec, step, observed.scalings.get(each.name), wrapped)
    _output_steps(observed, declared, wrapped)
    return wrapped


def _input_step(spec: TensorSpec, step: InputWrap, there: Affine | None, wrapped: Wrapped) -> None:
    """What the app feeds for one input, and how it becomes what the module takes."""
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
        wrapped.notes.append(
            f"The source already computes {words} of the input '{spec.name}'; it is not added twice."
        )
        wrapped.processing.append((spec.name, words, "source"))
        add_affine = False
    elif add_affine:
        if there is not None:
            wrapped.notes.append(
                f"The source begins with {there} of the input '{spec.name}'; the declared {words} comes before it."
            )
        wrapped.processing.append((spec.name, words, "baked"))
    swap = step.channels == "bgr" and fed[-1] == 3
    wrapped.processing += [(spec.name, "RGB to BGR", "baked")] if swap else []
    wrapped.processing += [(spec.name, "NHWC to NCHW", "baked")] if transpose else []
    dtype = "float32" if step.kind == "image" or add_affine else spec.dtype
    value_range = (0.0, 255.0) if step.kind == "image" else None
    wrapped.fed[spec.name] = TensorSpec(spec.name, fed, dtype, range=value_range)
    if swap or add_affine or transpose:
        wrapped.pre[spec.name] = _action(swap, affine if add_affine else None, transpose)
    steps = [each for each in (affine if add_affine else None, there) if each is not None]
    if steps:
        wrapped.scalings[spec.name] = _composed(steps, swap)


def _action(swap: bool, affine: Affine | None, transpose: bool) -> Pre:
    def action(value: Any, constant: Constant) -> Any:
        value = value.flip(-1) if swap else value
        if affine is not None:
            value = value * (affine.scale[0] if len(affine.scale) == 1 else constant(affine.scale))
            if any(affine.offset):
                value = value + (affine.offset[0] if len(affine.offset) == 1 else constant(affine.offset))
        return value.permute(0, 3, 1, 2) if transpose else value

    return action


def _composed(steps: list[Affine], swap: bool) -> Affine:
    """The steps, one after the other, as one step on what is fed."""
    size = max(len(step.scale) for step in steps)
    scale, offset = (1.0,) * size, (0.0,) * size
    for step in steps:
        by, plus = (values * size if len(values) == 1 else values for values in (step.scale, step.offset))
        scale = tuple(a * b for a, b in zip(scale, by, strict=True))
        offset = tuple(a * b + c for a, b, c in zip(offset, by, plus, strict=True))
    return Affine(scale[::-1], offset[::-1]) if swap else Affine(scale, offset)


def _output_steps(observed: Observed, declared: Wrap, wrapped: Wrapped) -> None:
    activations: Mapping[str, Post] = {
        "softmax": lambda value: torch.softmax(value, -1),
        "sigmoid": torch.sigmoid,
    }
    for each in observed.outputs:
        step = declared.output(each.name)
        if step is None or step.activation == "none":
            continue
        if observed.activations.get(each.name) == step.activation:
            wrapped.notes.append(
                f"The output '{each.name}' already ends with {step.activation}; it is not added twice."
            )
            wrapped.processing.append((each.name, step.activation, "source"))
        else:
            wrapped.processing.append((each.name, step.activation, "baked"))
            wrapped.post[each.name] = activations[step.activation]
