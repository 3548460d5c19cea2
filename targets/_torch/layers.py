"""Weights of a PyTorch module that are a matrix, whatever calls them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from edgepack.compress.student import Kind, Layer
from edgepack.spec import Array

from .watching import Look, Use, step_by_step

BIASED = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)


@dataclass(frozen=True)
class Weight:
    """A matrix in a module.

    Attributes:
        parameter: its name in the module.
        is_turned: it is stored [in, out].
        bias: the parameter that takes up a shift; where the module has none yet, it is made.
        calls: of one run.
        is_output: what the module of its name returns is what it gives.
    """

    layer: Layer
    parameter: str
    is_turned: bool
    bias: str | None
    calls: int
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


def described(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> tuple[Weight, ...]:
    """The matrices that compute with an example, in that order; one that is shared, once."""
    named = dict(_weights(module))
    look = Look(named)
    called: set[str] = set()
    hooks = [
        each.register_forward_hook(lambda *_, name=name: called.add(name))
        for name, each in module.named_modules()
        if isinstance(each, BIASED)
    ]
    with torch.no_grad(), step_by_step(), look:
        module(*example)
    for each in hooks:
        each.remove()
    return tuple(_described(module, name, uses, called) for name, uses in look.uses.items())


def _weights(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, each in (*module.named_parameters(), *module.named_buffers()):
        if each.dtype == torch.float32:
            yield name, each


def _described(module: torch.nn.Module, name: str, uses: list[Use], called: set[str]) -> Weight:
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
    return Weight(layer, name, turned, bias, len(uses), layer.name in called)


def _lacks_bias(layer: torch.nn.Module, leaf: str) -> bool:
    """Whether it computes with a bias if it is given one: a class of the user's own may not."""
    return type(layer) in BIASED and leaf == "weight" and layer.bias is None
