"""How an op's result and weights lie in a .ptl, told from the tensors that it is called with and gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from edgepack.precision.causes import Grid, Stored

from .machine import Call

LAYERS = ("conv", "linear")


def stored(call: Call, made: torch.Tensor, before: Stored | None, weighed: bool) -> Stored:
    """What is known of an op.

    Args:
        before: of another call of the same name: a clamp has its layer's, and that has the weights.
        weighed: whether they are asked for.
    """
    axis = 1 if made.ndim >= 4 or "conv" in call.kind else -1
    result = None
    if made.is_quantized and made.qscheme() == torch.per_tensor_affine:
        limits = torch.iinfo(made.dtype)
        result = Grid(np.array([made.q_scale()]), made.q_zero_point(), limits.min, limits.max, axis)
    if before is not None and before.weights is not None:
        return replace(before, result=result)
    weight = next(_weights(call), None) if weighed else None
    if weight is None:
        return Stored(result, axis)
    rows = weight.transpose(0, 1) if "transpose" in call.kind else weight
    if not rows.is_quantized:
        return Stored(result, axis, rows.detach().float().numpy())
    return Stored(result, axis, rows.dequantize().numpy(), rows.int_repr().numpy())


def _weights(call: Call) -> Iterator[torch.Tensor]:
    """A layer's weights, unpacked where they are packed."""
    if not any(layer in call.kind for layer in LAYERS) or len(call.args) < 2:
        return
    given: Any = call.args[1]
    if isinstance(given, torch.Tensor):
        yield given
    elif isinstance(given, torch.ScriptObject):
        yield given.unpack()[0]  # type: ignore[attr-defined]
