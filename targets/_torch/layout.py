"""Channels first or last: samples that have the one for a module that takes the other."""

from __future__ import annotations

from dataclasses import replace

from edgepack.errors import ModelError
from edgepack.model import LoadRequest
from edgepack.spec import format_shape

from .probe import computes
from .source import Input, Source


def refuse_other_layout(source: Source, inputs: tuple[Input, ...], request: LoadRequest) -> None:
    """For inputs that the module does not compute with: raise ModelError where it would in the other layout."""
    for index, each in enumerate(inputs):
        shape = each.spec.static_shape
        if len(shape) != 4 or each.name in request.shapes:
            continue
        batch, first, second, third = shape
        declared = request.wrap.input(each.name)
        was_moved = declared is not None and declared.kind == "image" and declared.layout == "NCHW"
        # what the samples are, read as the layout that was not assumed
        other = (batch, second, third, first) if was_moved else (batch, third, first, second)
        tried = (*inputs[:index], _reshaped(each, other), *inputs[index + 1 :])
        if not computes(source, tried):
            continue
        if was_moved:
            raise ModelError(
                f"The samples of '{each.name}' are channels first ({format_shape(other)}), as the module takes them; "
                "but its layout is declared NCHW, and such an input is fed channels last.",
                "Give samples channels last: array.transpose(1, 2, 0); that is what a camera gives.",
            )
        raise ModelError(
            f"The samples of '{each.name}' are channels last ({format_shape(shape)}); "
            f"the module takes them channels first: it computes with {format_shape(other)}.",
            f'Declare it, and the app feeds channels last: [input.{each.name}] kind = "image", layout = "NCHW" '
            f"(--input {each.name}:kind=image,layout=NCHW); or give samples channels first.",
        )


def _reshaped(each: Input, shape: tuple[int, ...]) -> Input:
    return replace(each, spec=replace(each.spec, shape=shape))
