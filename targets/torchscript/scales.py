"""Scales that qnnpack's kernels take together: where those of an op's input and output are too far apart, it is not created.

An addition takes inputs of 2**-14 to 2**8 times its output's scale, a leaky ReLU of 2**-8 to 2**8 times (QNNPACK's
``add.c`` and ``leaky-relu.c``).
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from .graph import calls, kind
from .kernels import FIXED, PASSING, Limits, absorbed
from .ranges import Ranges, quantization

SPANS = {"aten::add": (2.0**-14, 2.0**8), "aten::leaky_relu": (2.0**-8, 2.0**8)}
ROOM = 2.0
"""How far inside of a span widened ranges end up."""


def fit(module: GraphModule, limits: Limits, ranges: Ranges) -> None:
    """Widen the ranges of ops whose scales are too far apart, in place; what is still unfit loses its int8.

    Wider costs nothing there: of a sum, the wide one of two inputs has coarser steps than the output needs, and the narrow
    one is less than a step of it.
    """
    scales = _Scales(module, ranges)
    for node in calls(module):
        if kind(node) not in SPANS or not limits.is_static(node):
            continue
        low, high = SPANS[kind(node)]
        sources = [each for each in node.all_input_nodes if each.op != "get_attr"]
        scales.widen(node, max(map(scales.of, sources)) / high * ROOM)
        for each in sources:
            scales.widen(each, scales.of(node) * low * ROOM)
        if not all(low <= scales.of(each) / scales.of(node) < high for each in sources):
            limits.refuse(node, "the scales of its inputs and its output are too far apart for qnnpack")


class _Scales:
    """The scales in which values are stored."""

    def __init__(self, module: GraphModule, ranges: Ranges) -> None:
        self._clamps = absorbed(module)
        self._ends = set(self._clamps.values())
        self._ranges = ranges

    def of(self, node: Node) -> float:
        node = self._owner(node)
        return FIXED[kind(node)].scale if kind(node) in FIXED else quantization(self._ranges[node.name]).scale

    def widen(self, node: Node, scale: float) -> None:
        """Have a scale of at least this, where it is not the kernel's own."""
        node = self._owner(node)
        if kind(node) not in FIXED:
            self._ranges[node.name] = _at_least(self._ranges[node.name], scale)

    def _owner(self, node: Node) -> Node:
        """Whose range decides: a clamp has that of the op before it, and what only moves values that of its input."""
        node = self._clamps.get(node, node)
        while kind(node) in PASSING and node not in self._ends:
            source: Any = node.args[0]
            node = self._clamps.get(source, source)
        return node


def _at_least(extent: tuple[float, float], scale: float) -> tuple[float, float]:
    """A range whose scale is at least this."""
    low, high = min(extent[0], 0.0), max(extent[1], 0.0)
    if quantization(extent).scale >= scale:
        return extent
    if high == low:
        return (0.0, scale * 255)
    factor = scale * 255 / (high - low)
    return (low * factor, high * factor)
