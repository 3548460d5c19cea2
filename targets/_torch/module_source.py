"""torch.nn.Module objects that a factory returns."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from edgepack.errors import ModelError

from .source import Parameter, Source
from .weights import prepare

TAKING = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def source(made: torch.nn.Module) -> Source:
    """The module, without what only training and speed put around it. Raises ModelError."""
    module = _bare(made)
    return Source(module, _parameters(module), prepare(module))


def _bare(module: torch.nn.Module) -> torch.nn.Module:
    """What is inside torch.compile and the wrappers of data parallel training."""
    inner: Any = getattr(module, "_orig_mod", None)
    if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
        inner = module.module
    return _bare(inner) if isinstance(inner, torch.nn.Module) else module


def _parameters(module: torch.nn.Module) -> tuple[Parameter, ...]:
    kind = type(module).__name__
    if getattr(module.forward, "__name__", "") == "_forward_unimplemented":
        raise ModelError(
            f"The module {kind} has no forward.",
            "Give it one: def forward(self, image): ...; a ModuleList or ModuleDict has none.",
        )
    given = inspect.signature(module.forward).parameters.values()
    parameters = tuple(
        Parameter(each.name, each.default is each.empty, each.kind == each.KEYWORD_ONLY)
        for each in given
        if each.kind in (*TAKING, each.KEYWORD_ONLY)
    )
    if not parameters:
        starred = next((str(each) for each in given if each.kind == each.VAR_POSITIONAL), None)
        what = f"takes {starred}, which gives its inputs no names" if starred else "takes no inputs"
        raise ModelError(
            f"The forward of {kind} {what}.",
            "Write a module around it whose forward names every input: def forward(self, image, mask): ....",
        )
    return parameters
