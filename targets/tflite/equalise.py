"""Equalised channels: a float file that computes the same, with activations that int8 treats better (see channels)."""

from __future__ import annotations

from collections.abc import Iterable

from edgepack.precision import equalise
from edgepack.precision.groups import Channels
from edgepack.precision.rounding import is_coded
from edgepack.spec import Array, Arrays

from .channels import LAYERS, Found, groups
from .flatbuffer import ModelView, OpView, write
from .observe import observe


def equalised(data: bytes, samples: Iterable[Arrays]) -> tuple[bytes, dict[str, Array]]:
    """The file with the channels of what it computes scaled; and the scales, by the name of the tensor.

    The same file, and no scales, where nothing would help.
    """
    view = ModelView(data)
    found = [each for each in groups(view) if not any(_is_coded(view, op) for op in each.readers)]
    held = {index: Channels() for group in found for index in group.tensors}
    observe(data, samples, held, lambda index, values: held[index].see(values))
    scales: dict[str, Array] = {}
    for group in found:
        chosen = _scales(view, group, held)
        if (chosen != 1).any():
            _apply(view, group, chosen)
            scales |= {view.tensor_name(0, index): chosen for index in group.tensors}
    return (write(view.model), scales) if scales else (data, {})


def _is_coded(view: ModelView, op: OpView) -> bool:
    """Whether a layer would lose its codebook if its inputs had scales of their own."""
    return op.kind != "DEPTHWISE_CONV_2D" and is_coded(_rows(view, op).reshape(len(_rows(view, op)), -1))


def _scales(view: ModelView, group: Found, held: dict[int, Channels]) -> Array:
    readers = [
        equalise.Reader(held[op.inputs[0]].values, _rows(view, op), op.kind != "DEPTHWISE_CONV_2D")
        for op in group.readers
    ]
    return equalise.scales([held[index].values for index in group.tensors], readers)


def _rows(view: ModelView, op: OpView) -> Array:
    """A layer's weights as [out, places, channels]."""
    weight = view.values(0, op.inputs[1])
    return weight.reshape(weight.shape[0], -1, weight.shape[-1])


def _apply(view: ModelView, group: Found, scales: Array) -> None:
    for op in group.makers:
        weight, *bias = op.inputs[1:]
        along = scales if op.kind == "DEPTHWISE_CONV_2D" else _column(scales, len(view.shape(0, weight)))
        view.put(0, weight, view.values(0, weight) * along)
        for index in bias:
            view.put(0, index, view.values(0, index) * scales)
    for op in group.readers:
        weight = op.inputs[1]
        assert view.shape(0, weight)[LAYERS[op.kind]] == len(scales)
        view.put(0, weight, view.values(0, weight) / scales)
    for index in group.constants:
        view.put(0, index, view.values(0, index) * scales)


def _column(scales: Array, rank: int) -> Array:
    """Scales along the first axis of a weight."""
    return scales.reshape(-1, *[1] * (rank - 1))
