"""Activations that a source writes as arithmetic, as the ops that they are."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .edit import insert, put, replace
from .graph import arguments, constant, kind
from .kernels import clamp_bounds

aten = torch.ops.aten


def scalar(module: GraphModule, given: object) -> float | None:
    """The number that an operand stands for, if all of it is one number."""
    if isinstance(given, bool | int | float):
        return float(given)
    tensor = constant(module, given)
    if tensor is None or tensor.numel() == 0 or not bool((tensor == tensor.flatten()[0]).all()):
        return None
    return float(tensor.flatten()[0])


def _operands(module: GraphModule, node: Node) -> tuple[Node, float] | None:
    """The tensor and the number of an op on a tensor and a number, in whichever order."""
    first, second = node.args[:2]
    for value, other in ((first, second), (second, first)):
        number = scalar(module, other)
        if isinstance(value, Node) and scalar(module, value) is None and number is not None:
            same = value.meta["val"].shape == node.meta["val"].shape
            return (value, number) if same else None
    return None


def clamp(module: GraphModule, node: Node) -> None:
    """Limits in every spelling, one after another, become one clamp; from zero up, a relu."""
    bounds = _limits(module, node)
    if bounds is None:
        return
    source, low, high = bounds
    inner = clamp_bounds(source)
    is_spelled = kind(node) in ("aten::relu", "aten::relu6", "aten::hardtanh")
    if inner is not None and len(source.users) == 1:
        low, high = (min(max(edge, low), high) for edge in inner)
        source = source.args[0]  # type: ignore[assignment]
    elif is_spelled:
        return
    if (low, high) == (-math.inf, math.inf):
        put(module, node, source)
    elif (low, high) == (0.0, math.inf):
        replace(module, node, aten.relu.default, (source,))
    elif low > -math.inf and high < math.inf:
        replace(module, node, aten.hardtanh.default, (source, low, high))
    else:
        edges = (edge if math.isfinite(edge) else None for edge in (low, high))
        replace(module, node, aten.clamp.default, (source, *edges))


def _limits(module: GraphModule, node: Node) -> tuple[Node, float, float] | None:
    found = node.meta.get("val")
    if not isinstance(found, torch.Tensor) or not found.dtype.is_floating_point:
        return None
    if kind(node) in ("aten::maximum", "aten::minimum"):
        pair = _operands(module, node)
        if pair is None:
            return None
        return (*pair, math.inf) if kind(node) == "aten::maximum" else (pair[0], -math.inf, pair[1])
    if kind(node) in ("aten::clamp", "aten::clip", "aten::clamp_min", "aten::clamp_max"):
        given = arguments(node)
        edges = [given.get("min"), given.get("max")]
        low, high = (scalar(module, edge) if edge is not None else None for edge in edges)
        if any(edge is not None and number is None for edge, number in zip(edges, (low, high), strict=True)):
            return None
        return given["self"], -math.inf if low is None else low, math.inf if high is None else high
    bounds = clamp_bounds(node)
    return (node.args[0], *bounds) if bounds is not None else None  # type: ignore[return-value]


def hard_sigmoid(module: GraphModule, node: Node) -> None:
    """``relu6(x + 3) / 6``, and that times ``x``."""
    if kind(node) not in ("aten::mul", "aten::div") or "rounding_mode" in node.kwargs:
        return
    pair = _operands(module, node)
    if pair is not None and _is_sixth(node, pair[1]):
        source = _of_gate(module, pair[0])
        if source is not None:
            replace(module, node, aten.hardsigmoid.default, (source,))
            return
        product = pair[0]
        if kind(product) == "aten::mul" and len(product.users) == 1:
            gated = _gated(product, lambda gate: _of_gate(module, gate))
            if gated is not None:
                replace(module, node, aten.hardswish.default, (gated,))
        return
    gated = _gated(node, lambda gate: gate.args[0] if kind(gate) == "aten::hardsigmoid" else None)
    if kind(node) == "aten::mul" and gated is not None:
        replace(module, node, aten.hardswish.default, (gated,))


def _is_sixth(node: Node, number: float) -> bool:
    return math.isclose(number, 6.0 if kind(node) == "aten::div" else 1 / 6, rel_tol=1e-6)


def _of_gate(module: GraphModule, node: Node) -> Node | None:
    """The ``x`` of ``relu6(x + 3)``."""
    inner = node.args[0] if clamp_bounds(node) == (0.0, 6.0) and len(node.users) == 1 else None
    if not isinstance(inner, Node) or kind(inner) != "aten::add" or len(inner.users) != 1:
        return None
    pair = _operands(module, inner)
    return pair[0] if pair is not None and pair[1] == 3.0 and not inner.kwargs else None


def _gated(product: Node, source_of: Any) -> Node | None:
    """The ``x`` of a product of ``x`` and a gate that reads it, alone."""
    first, second = product.args[:2]
    for value, gate in ((first, second), (second, first)):
        if isinstance(gate, Node) and len(gate.users) == 1 and source_of(gate) is value:
            return value if isinstance(value, Node) else None
    return None


def split_silu(module: GraphModule, node: Node) -> None:
    """``x * sigmoid(x)``, both of which have integer kernels."""
    if kind(node) == "aten::silu":
        gate = insert(module, node, aten.sigmoid.default, (node.args[0],), f"{node.meta['name']}.sigmoid")
        replace(module, node, aten.mul.Tensor, (node.args[0], gate))
