"""Trying a source out: example inputs, and whether it computes with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .outputs import outputs_of
from .source import Input, Source


def examples(inputs: Iterable[Input], seed: int = 0, batch: int = 1) -> dict[str, torch.Tensor]:
    """A tensor for every input as the module takes it: floats of 0..1, and integers that every vocabulary has.

    Args:
        batch: so many times the first dimension.
    """
    draw = torch.Generator().manual_seed(seed)
    tensors = {}
    for each in inputs:
        shape = list(each.spec.static_shape)
        shape[:1] = [size * batch for size in shape[:1]]
        floats = torch.rand(shape, generator=draw)
        plain = torch.full(shape, 1 - seed % 2, dtype=each.dtype)
        tensors[each.name] = floats.to(each.dtype) if each.dtype.is_floating_point else plain
    return tensors


def call(source: Source, inputs: tuple[Input, ...], values: dict[str, Any]) -> Any:
    """What the source's module returns for values by input name."""
    keywords = {each.name: values[each.name] for each in inputs if each.keyword}
    return source.module(*(values[each.name] for each in inputs if not each.keyword), **keywords)


def computes(source: Source, inputs: tuple[Input, ...]) -> bool:
    """Whether the module takes such inputs; why it does not is for a call that explains it."""
    try:
        with torch.no_grad():
            call(source, inputs, examples(inputs))
    except Exception:
        return False
    return True


def scales_with_batch(source: Source, inputs: tuple[Input, ...]) -> bool:
    """Whether twice the first dimension gives twice the first dimension: it is the batch."""
    try:
        with torch.no_grad():
            once = outputs_of(call(source, inputs, examples(inputs)))
            twice = outputs_of(call(source, inputs, examples(inputs, batch=2)))
    except Exception:
        return False
    return [each.tensor.shape for each in twice] == [
        (2 * shape[0], *shape[1:]) if (shape := each.tensor.shape) else shape for each in once
    ]
