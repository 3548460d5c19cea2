"""Equalised channels: a graph that computes the same, with activations that int8 treats better (see channels)."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch.fx import GraphModule, Node

from edgepack.precision import equalise
from edgepack.precision.groups import Channels
from edgepack.precision.rounding import is_coded
from edgepack.spec import Array, Arrays, Signature

from .channels import AXIS, Found, groups
from .graph import arguments, constant
from .kernels import absorbed
from .observe import observe
from .rounding import is_depthwise, weight_of
from .scaled import Scaled


def equalised(
    module: GraphModule, signature: Signature, samples: Iterable[Arrays]
) -> tuple[GraphModule, tuple[Scaled, ...]]:
    """The same graph with other weights; and what is scaled there.

    The same module, and nothing, where nothing would help.
    """
    found = [each for each in groups(module) if not any(_is_coded(module, node) for node in each.readers)]
    inside = absorbed(module)  # whose results no integers store
    held = {node.name: Channels() for group in found for node in group.tensors - inside.keys()}

    def see(name: str, values: torch.Tensor) -> None:
        held[name].see(values.movedim(AXIS, -1).numpy())

    observe(module, signature, samples, held, see)
    made, scaled = copy.copy(module), list[Scaled]()
    names = {clamp: node.meta["name"] for node, clamp in inside.items()}
    for group in found:
        chosen = _scales(module, group, held)
        if (chosen != 1).any():
            _apply(made, group, torch.from_numpy(chosen))
            own = sorted({names.get(node, node.meta["name"]) for node in group.tensors})
            scaled.append(Scaled(tuple(own), tuple(node.meta["name"] for node in group.readers), chosen))
    return (made, tuple(scaled)) if scaled else (module, ())


def _is_coded(module: GraphModule, node: Node) -> bool:
    """Whether a layer would lose its codebook if its inputs had scales of their own."""
    return not is_depthwise(module, node) and is_coded(weight_of(module, node).flatten(1).numpy())


def _scales(module: GraphModule, group: Found, held: dict[str, Channels]) -> Array:
    readers = [
        equalise.Reader(
            held[arguments(node)["input"].name].values, _rows(module, node), not is_depthwise(module, node)
        )
        for node in group.readers
    ]
    return equalise.scales([held[node.name].values for node in group.tensors if node.name in held], readers)


def _rows(module: GraphModule, node: Node) -> Array:
    """A layer's weights as [out, places, channels]."""
    weight = weight_of(module, node)
    axis = 0 if is_depthwise(module, node) else 1
    last = weight.movedim(axis, -1)
    return last.reshape(last.shape[0], -1, last.shape[-1]).numpy()


def _apply(module: GraphModule, group: Found, scales: torch.Tensor) -> None:
    for node in group.makers:
        given = arguments(node)
        for each in (given["weight"], given["bias"]):
            if each is not None:
                _multiply(module, each, scales, 0)
    for node in group.readers:
        axis = 0 if is_depthwise(module, node) else 1
        _multiply(module, arguments(node)["weight"], 1 / scales, axis)


def _multiply(module: GraphModule, node: Node, scales: torch.Tensor, axis: int) -> None:
    tensor = constant(module, node)
    assert tensor is not None
    shape = [-1 if each == axis else 1 for each in range(tensor.dim())]
    owner, _, name = str(node.target).rpartition(".")
    other = torch.nn.Buffer((tensor.double() * scales.reshape(shape)).float())
    holder = module.get_submodule(owner)
    delattr(holder, name)
    setattr(holder, name, other)
