"""How an op's result and weights lie in a .ptl, told from the tensors that it is called with and gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from edgepack.precision.causes import Grid, Stored
from edgepack.spec import Array

from .machine import Call

LAYERS = ("conv", "linear")


def stored(
    call: Call,
    made: torch.Tensor,
    before: Stored | None,
    weighed: bool,
    own: Array | None = None,
    read: Array | None = None,
) -> Stored:
    """What is known of an op.

    Args:
        before: of another call of the same name: a clamp has its layer's, and that has the weights.
        weighed: whether they are asked for.
        own, read: what the channels of its result and of its input are multiplied by, where they are.
    """
    axis = 1 if made.ndim >= 4 or "conv" in call.kind or own is not None else -1
    result = None
    if made.is_quantized and made.qscheme() == torch.per_tensor_affine:
        limits = torch.iinfo(made.dtype)
        scale = np.array([made.q_scale()]) / (own if own is not None else 1)
        result = Grid(scale, made.q_zero_point(), limits.min, limits.max, axis)
    if before is not None and before.weights is not None:
        return replace(before, result=result)
    weight = next(_weights(call), None) if weighed else None
    if weight is None:
        return Stored(result, axis)
    rows = weight.transpose(0, 1) if "transpose" in call.kind else weight
    real = rows.dequantize() if rows.is_quantized else rows.detach().float()
    values = _as_the_model_has_them(real.numpy(), own, read)
    return Stored(result, axis, values, rows.int_repr().numpy() if rows.is_quantized else None)


def _as_the_model_has_them(rows: Array, own: Array | None, read: Array | None) -> Array:
    """Weights [out, in, ...], or by channel [out, 1, ...], without the scales of channels."""
    ones = [1] * (rows.ndim - 2)
    if own is not None:
        rows = rows / own.reshape(-1, 1, *ones)
    if read is not None:
        rows = rows * read.reshape(*((1, -1) if rows.shape[1] == read.size else (-1, 1)), *ones)
    return rows


def _weights(call: Call) -> Iterator[torch.Tensor]:
    """A layer's weights, unpacked where they are packed."""
    if not any(layer in call.kind for layer in LAYERS) or len(call.args) < 2:
        return
    given: Any = call.args[1]
    if isinstance(given, torch.Tensor):
        yield given
    elif isinstance(given, torch.ScriptObject):
        yield given.unpack()[0]  # type: ignore[attr-defined]
