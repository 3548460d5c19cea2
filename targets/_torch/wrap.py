"""Declared pre- and post-processing, realised in PyTorch; and what of it the source does already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from edgepack.spec import Affine, TensorSpec
from edgepack.wrap import Decided, InputSteps, Where, Wrap

from .observe import Observed
from .source import Input

Constant = Callable[[tuple[float, ...]], Any]
"""Gives values as a constant tensor of the program that is being put together."""

Pre = Callable[[Any, Constant], Any]
Post = Callable[[Any], Any]

ACTIVATIONS: dict[str, Post] = {"softmax": lambda value: torch.softmax(value, -1), "sigmoid": torch.sigmoid}


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
    decided = Decided()
    wrapped = Wrapped(
        {each.name: each.spec for each in inputs},
        scalings=dict(observed.scalings),
        processing=decided.processing,
        notes=decided.notes,
    )
    for each in inputs:
        step = declared.input(each.name)
        if step is not None:
            _put_before(each.name, decided.input(each.spec, step, observed), observed, wrapped)
    for output in observed.outputs:
        after = declared.output(output.name)
        activation = decided.activation(output.name, after.activation, observed) if after else "none"
        if activation != "none":
            wrapped.post[output.name] = ACTIVATIONS[activation]
    return wrapped


def _put_before(name: str, steps: InputSteps, observed: Observed, wrapped: Wrapped) -> None:
    wrapped.fed[name] = steps.fed
    if steps.swap or steps.affine or steps.transpose:
        wrapped.pre[name] = _action(steps)
    scalings = [each for each in (steps.affine, observed.scalings.get(name)) if each is not None]
    if scalings:
        wrapped.scalings[name] = _composed(scalings, steps.swap)


def _action(steps: InputSteps) -> Pre:
    affine = steps.affine

    def action(value: Any, constant: Constant) -> Any:
        value = value.flip(-1) if steps.swap else value
        if affine is not None:
            value = value * (affine.scale[0] if len(affine.scale) == 1 else constant(affine.scale))
            if any(affine.offset):
                value = value + (affine.offset[0] if len(affine.offset) == 1 else constant(affine.offset))
        return value.permute(0, 3, 1, 2) if steps.transpose else value

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
