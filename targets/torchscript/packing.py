"""Weights as qnnpack's kernels take them: qint8, symmetric, with a step for each output channel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import GraphModule, Node

from .graph import arguments, constant, kind, spread

if TYPE_CHECKING:
    from .rounding import Rounded

SMALLEST_STEP = 2.0**-40
GREATEST = 2**30
"""Steps that a bias may have, so that sums still fit an int32; qnnpack makes nonsense of more."""


def stored(module: GraphModule, node: Node, layer: Rounded | None, step: float = math.inf) -> torch.Tensor:
    """A layer's weights in qint8. Shape as the layer has them.

    Args:
        layer: with a rounding of its own.
        step: of the input, where it is int8. Beside next to no weight, as a pruned channel has it, a bias would be too many
            steps: such a channel gets a coarser one, which costs nothing that counts.
    """
    weight, bias = _weight(module, node), bias_of(module, node, layer)
    steps = _steps(weight)
    if layer is not None:
        weight = layer.codes * steps.reshape(-1, *[1] * (weight.dim() - 1))
    if bias is not None:
        steps = torch.maximum(steps, bias.abs().double() / (step * GREATEST))
    return _per_channel(weight, steps)


def bias_of(module: GraphModule, node: Node, layer: Rounded | None) -> torch.Tensor | None:
    return constant(module, arguments(node)["bias"]) if layer is None else layer.bias


def pack(node: Node, weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[str, Any]:
    """The kernel of a convolution or linear layer, and its weights, in qint8, packed for it."""
    given = arguments(node)
    if kind(node) == "aten::linear":
        return "linear", torch.ops.quantized.linear_prepack(weight, bias)
    dims = weight.dim() - 2
    shape = [spread(given[key], dims) for key in ("stride", "padding", "dilation")]
    if dims == 1:
        return "conv1d", torch.ops.quantized.conv1d_prepack(weight, bias, *shape, given["groups"])
    return "conv2d", torch.ops.quantized.conv2d_prepack(weight, bias, *shape, given["groups"])


def pack_cells(module: GraphModule, node: Node) -> list[Any]:
    """The weights of a recurrent op's layers and directions, each packed for the dynamic kernel."""
    given = arguments(node)
    tensors = [constant(module, each) for each in given["params"]]
    size = 4 if given["has_biases"] else 2
    cells = []
    for start in range(0, len(tensors), size):
        of_input, of_hidden, *biases = (each for each in tensors[start : start + size] if each is not None)
        gates = len(of_input)
        biases = biases or [torch.zeros(gates), torch.zeros(gates)]
        packed = [
            torch.ops.quantized.linear_prepack(_per_channel(weight, _steps(weight)), bias)
            for weight, bias in zip((of_input, of_hidden), biases, strict=True)
        ]
        cells.append(torch.ops.quantized.make_quantized_cell_params_dynamic(*packed, *biases, False))
    return cells


def _weight(module: GraphModule, node: Node) -> torch.Tensor:
    found = constant(module, arguments(node)["weight"])
    assert found is not None
    return found


def _steps(weight: torch.Tensor) -> torch.Tensor:
    """[out], float64: the greatest weight of a channel is 127 of them."""
    return (weight.abs().flatten(1).amax(1).double() / 127).clamp(min=SMALLEST_STEP)


def _per_channel(weight: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    zeros = torch.zeros(len(steps), dtype=torch.int64)
    return torch.quantize_per_channel(weight.detach().float(), steps, zeros, 0, torch.qint8)
