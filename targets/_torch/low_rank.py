"""Layers of a PyTorch module that become two (see edgepack.compress.low_rank)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from edgepack.spec import Array

CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d)


def splitting(module: torch.nn.Module) -> frozenset[str]:
    """The names of modules that two can take the place of: plain ones that are at one place."""
    named = list(module.named_modules(remove_duplicate=False))
    counts = Counter(id(each) for _, each in named)
    return frozenset(name for name, each in named if counts[id(each)] == 1 and _splits(each))


def _splits(layer: Any) -> bool:
    if type(layer) is torch.nn.Linear:
        return True
    return type(layer) in CONVOLUTIONS and layer.groups == 1


def split(module: torch.nn.Module, name: str, first: Array, second: Array) -> None:
    """Put two layers of weights [rank, in] and [out, rank] in the place of one."""
    path, _, leaf = name.rpartition(".")
    layer: Any = module.get_submodule(name)
    rank = len(first)
    has_bias = layer.bias is not None
    two: tuple[Any, Any]
    if isinstance(layer, torch.nn.Linear):
        two = (
            torch.nn.Linear(layer.in_features, rank, False),
            torch.nn.Linear(rank, layer.out_features, has_bias),
        )
    else:
        how = {key: getattr(layer, key) for key in ("stride", "padding", "dilation", "padding_mode")}
        two = (
            type(layer)(layer.in_channels, rank, layer.kernel_size, bias=False, **how),
            type(layer)(rank, layer.out_channels, 1, bias=has_bias),
        )
    with torch.no_grad():
        for each, weight in zip(two, (first, second), strict=True):
            each.weight.copy_(torch.from_numpy(weight).reshape(each.weight.shape))
        if has_bias:
            two[1].bias.copy_(layer.bias)
    both = torch.nn.Sequential(*two).eval()
    for parameter in both.parameters():
        parameter.requires_grad_(False)
    setattr(module.get_submodule(path), leaf, both)
