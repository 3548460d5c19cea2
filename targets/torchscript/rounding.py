"""Adaptive rounding of a graph's layers (see edgepack.precision.rounding)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch.fx import GraphModule, Node

from edgepack.precision import rounding
from edgepack.precision.patches import Window, rows, thinned
from edgepack.precision.rounding import Inputs
from edgepack.spec import Array, Arrays, Signature

from .graph import arguments, calls, constant, kind, spread
from .kernels import CONVOLUTIONS, Limits
from .observe import observe

LAYERS = CONVOLUTIONS | {"aten::linear"}


@dataclass(frozen=True)
class Rounded:
    """A layer's weights as they are to be stored.

    Attributes:
        codes: int8, in the weight's shape.
        bias: [out].
    """

    codes: torch.Tensor
    bias: torch.Tensor


def layers(module: GraphModule, limits: Limits) -> list[Node]:
    """The convolutions and linear layers that can have integer weights."""
    found = (node for node in calls(module) if kind(node) in LAYERS)
    return [node for node in found if limits.is_static(node) or limits.is_dynamic(node)]


def passed_over(module: GraphModule, limits: Limits) -> dict[str, str]:
    """The layers whose weights keep the nearest integers, by the op's name, and why."""
    shared = uses(module)
    every = ((node.meta["name"], _obstacle(module, node, shared)) for node in layers(module, limits))
    return {name: why for name, why in every if why}


def moments(
    module: GraphModule, signature: Signature, limits: Limits, samples: Iterable[Arrays]
) -> dict[str, Inputs]:
    """What the layers read that adaptive rounding is for, by the node's name."""
    shared = uses(module)
    able = [node for node in layers(module, limits) if not _obstacle(module, node, shared)]
    seen = {node.name: Inputs() for node in able}
    read: dict[str, list[Node]] = {}
    for node in able:
        read.setdefault(arguments(node)["input"].name, []).append(node)

    def see(name: str, values: torch.Tensor) -> None:
        for node in read[name]:
            seen[node.name].see(_read(module, node, values))

    observe(module, signature, samples, read, see)
    return seen


def rounded(module: GraphModule, seen: Mapping[str, Inputs], how: rounding.How) -> dict[str, Rounded]:
    """The layers that were seen, by the node's name."""
    found = {}
    for node in calls(module):
        if node.name in seen:
            matrix = _matrix(module, node)
            codes, moved = rounding.settled(matrix, seen[node.name], how, has_bias=True)
            bias = constant(module, arguments(node)["bias"])
            own = torch.from_numpy(moved).float()
            found[node.name] = Rounded(_shaped(module, node, codes), own if bias is None else bias + own)
    return found


def uses(module: GraphModule) -> Counter[int]:
    """How often the memory of each constant is read."""
    read = ((node, constant(module, node)) for node in module.graph.nodes)
    found: Counter[int] = Counter()
    for node, tensor in read:
        if tensor is not None:
            found[tensor.untyped_storage().data_ptr()] += len(node.users)
    return found


def weight_of(module: GraphModule, node: Node) -> torch.Tensor:
    found = constant(module, arguments(node)["weight"])
    assert found is not None
    return found


def is_depthwise(module: GraphModule, node: Node) -> bool:
    """Whether every channel is convolved by itself, with one filter."""
    groups = arguments(node).get("groups", 1)
    return bool(groups > 1 and groups == len(weight_of(module, node)) and _width(module, node) == 1)


def is_grouped(module: GraphModule, node: Node) -> bool:
    return arguments(node).get("groups", 1) > 1 and not is_depthwise(module, node)


def _width(module: GraphModule, node: Node) -> int:
    return int(weight_of(module, node).shape[1])


def _obstacle(module: GraphModule, node: Node, shared: Mapping[int, int]) -> str:
    """Why a layer is not for rounding; empty for one that is."""
    if shared[weight_of(module, node).untyped_storage().data_ptr()] > 1:
        return rounding.SHARED
    if is_grouped(module, node):
        return rounding.GROUPED
    matrix = _matrix(module, node)
    if matrix.shape[1] > rounding.WIDEST:
        return rounding.TOO_WIDE
    return rounding.CODED if rounding.is_coded(matrix) else ""


def _matrix(module: GraphModule, node: Node) -> Array:
    """A layer's weights as [out, in]; in the order in which ``rows`` has its inputs, channels last."""
    weight = weight_of(module, node)
    return weight.movedim(1, -1).flatten(1).float().numpy()


def _shaped(module: GraphModule, node: Node, matrix: Array) -> torch.Tensor:
    last = weight_of(module, node).movedim(1, -1).shape
    return torch.from_numpy(matrix).reshape(last).movedim(-1, 1).contiguous()


def _read(module: GraphModule, node: Node, values: torch.Tensor) -> Array:
    """What a layer reads at some places of one sample."""
    if kind(node) == "aten::linear":
        return thinned(values.numpy())
    given, shape = arguments(node), weight_of(module, node).shape
    dims = len(shape) - 2
    image = values.reshape(-1, *values.shape[-dims - 1 :]).movedim(1, -1)
    sizes = [[1, *shape[2:]] if dims == 1 else list(shape[2:])]
    for key, otherwise in (("stride", 1), ("dilation", 1), ("padding", 0)):
        sizes.append([*[otherwise] * (2 - dims), *spread(given[key], dims)])
    if dims == 1:
        image = image.unsqueeze(1)
    kernel, strides, dilation, (above, beside) = ((high, wide) for high, wide in sizes)
    window = Window(kernel, strides, dilation, ((above, above), (beside, beside)))
    return rows(image.numpy(), window, is_depthwise(module, node))
