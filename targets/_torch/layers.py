"""Weights of a PyTorch module that are a matrix, whatever calls them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch

from edgepack.compress.student import Kind, Layer
from edgepack.spec import Array

from . import low_rank
from .watching import Look, Use, step_by_step

BIASED = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)


@dataclass(frozen=True)
class Weight:
    """A matrix in a module.

    Attributes:
        parameter: its name in the module.
        is_turned: it is stored [in, out].
        bias: the parameter that takes up a shift; where the module has none yet, it is made.
        is_output: what the module of its name returns is what it gives.
    """

    layer: Layer
    parameter: str
    is_turned: bool
    bias: str | None
    is_output: bool

    def of(self, module: torch.nn.Module) -> torch.Tensor:
        return tensor(module, self.parameter)

    def matrix(self, stored: torch.Tensor) -> torch.Tensor:
        """[out, in]."""
        turned = stored.transpose(0, 1) if self.is_turned else stored
        return turned.reshape(self.layer.shape)

    def stored(self, matrix: Array, like: torch.Tensor) -> torch.Tensor:
        """The other way."""
        turned = like.transpose(0, 1) if self.is_turned else like
        given = torch.as_tensor(matrix, dtype=like.dtype).reshape(turned.shape)
        return given.transpose(0, 1) if self.is_turned else given


def tensor(module: torch.nn.Module, name: str) -> torch.Tensor:
    """The parameter or buffer of that name."""
    path, _, leaf = name.rpartition(".")
    found: torch.Tensor = getattr(module.get_submodule(path), leaf)
    return found


def described(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> tuple[tuple[Weight, ...], bool]:
    """The matrices that compute with an example, in that order; one that is shared, once.

    Returns:
        them, and whether it takes ``step_by_step`` to see them all.
    """
    called: Counter[str] = Counter()
    hooks = [
        each.register_forward_hook(lambda *_, name=name: called.update([name]))
        for name, each in module.named_modules()
        if isinstance(each, BIASED)
    ]
    looks = []
    for way in (nullcontext, step_by_step):
        looks.append(Look(dict(_weights(module))))
        called.clear()
        with torch.no_grad(), way(), looks[-1]:
            module(*example)
        if not looks[-1].is_fused:
            break
    for each in hooks:
        each.remove()
    found = looks[-1].uses.items()
    weights = [_described(module, name, uses, called) for name, uses in found]
    splitting = low_rank.splitting(module)
    return tuple(
        replace(each, layer=replace(each.layer, splits=each.is_output and each.layer.name in splitting))
        for each in weights
    ), len(looks) > 1


def _weights(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, each in (*module.named_parameters(), *module.named_buffers()):
        if each.dtype == torch.float32:
            yield name, each


def _described(module: torch.nn.Module, name: str, uses: list[Use], called: Counter[str]) -> Weight:
    first = uses[0]
    same = all((use.kind, use.is_turned) == (first.kind, first.is_turned) for use in uses)
    kind: Kind = first.kind if same else "weights"
    turned = first.is_turned and same
    stored = tensor(module, name)
    shape = stored.transpose(0, 1).shape if turned else stored.shape
    path, _, leaf = name.rpartition(".")
    bias = first.bias if all(use.bias == first.bias for use in uses) else None
    is_open = len(uses) == 1 and kind in ("linear", "conv") and bias is None
    if is_open and _lacks_bias(module.get_submodule(path), leaf):
        bias = f"{path}.bias"
    layer = Layer(
        path if leaf == "weight" else name,
        kind,
        (1, stored.numel()) if all(use.is_table for use in uses) else (shape[0], math.prod(shape[1:])),
        bias is not None,
        sum(use.places for use in uses),
    )
    return Weight(layer, name, turned, bias, called[layer.name] == len(uses))


def _lacks_bias(layer: torch.nn.Module, leaf: str) -> bool:
    """Whether it computes with a bias if it is given one: a class of the user's own may not."""
    return type(layer) in BIASED and leaf == "weight" and layer.bias is None
