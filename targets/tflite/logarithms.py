"""What a logarithm is taken of stays in float: to it, a value's error counts in proportion to the value, however small that is.

Integers have one step for all values of a tensor. The quiet bands of a spectrum are less than a step of the loud ones, and
what their logarithm tells is then nothing but rounding.
"""

from __future__ import annotations

import numpy as np

from .calibrate import Ranges
from .flatbuffer import ModelView, OpView

STEPS = 16
"""Of 256; where the least value reaches so many, its logarithm is known to 3 percent."""

REASON = "a logarithm is taken of what comes of it, to which the least values count as much as the greatest"

_ACTIVATIONS = {
    "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "ELU", "GELU", "HARD_SWISH", "LOGISTIC", "TANH", "SOFTMAX",
}  # fmt: skip


def exact(view: ModelView, ranges: Ranges) -> frozenset[str]:
    """The names of the ops that must not compute with integers.

    From a logarithm back to the inputs, or to the first activation: what is before that is a network, not a transform of
    the input, and knows its own values no better.
    """
    makers = {index: op for op in view.ops if not op.subgraph for index in op.outputs}
    found: dict[str, OpView] = {}
    waiting = [op.inputs[0] for op in makers.values() if op.kind == "LOG" and _is_wide(view, op, ranges)]
    while waiting:
        op = makers.get(waiting.pop())
        if op is not None and op.name not in found and not (op.activated or op.kind in _ACTIVATIONS):
            found[op.name] = op
            waiting += op.inputs
    return frozenset(found)


def _is_wide(view: ModelView, op: OpView, ranges: Ranges) -> bool:
    """Whether the least value of what the logarithm is taken of is too few steps."""
    measured = ranges.get(view.tensor_name(0, op.inputs[0]))
    return measured is not None and bool(np.min(measured["min"]) < np.max(measured["max"]) * STEPS / 256)
