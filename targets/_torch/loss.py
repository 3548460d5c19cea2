"""What a student learns from: the teacher's answers, and what the teacher's layers give.

Answers: Hinton et al., Distilling the Knowledge in a Neural Network, 2015. Layers: Romero et al., FitNets, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

FEATURES = 1.0
"""Weight of the layers' part of the loss."""

SMALLEST = 1e-8
"""Of a probability, before its logarithm."""


class Feature:
    """Runs a module and notes what some of its layers give."""

    @staticmethod
    def record(
        module: torch.nn.Module, names: Sequence[str], tensors: tuple[torch.Tensor, ...]
    ) -> tuple[tuple[torch.Tensor, ...], list[torch.Tensor]]:
        """(the answers, what the named layers gave in the order of the names)."""
        found: dict[str, torch.Tensor] = {}

        def hook(name: str) -> Any:
            return lambda layer, args, output: found.__setitem__(name, output)

        hooks = [module.get_submodule(name).register_forward_hook(hook(name)) for name in names]
        try:
            answers = module(*tensors)
        finally:
            for each in hooks:
                each.remove()
        return answers, [found[name] for name in names]


def loss(
    answers: Sequence[torch.Tensor],
    taught: Sequence[torch.Tensor],
    features: Sequence[torch.Tensor],
    wanted: Sequence[torch.Tensor],
) -> torch.Tensor:
    """The answers' loss and the layers', each a mean."""
    total = torch.stack([_answer(own, other) for own, other in zip(answers, taught, strict=True)]).mean()
    if features:
        layers = torch.stack([_relative(own, other) for own, other in zip(features, wanted, strict=True)])
        total = total + FEATURES * layers.mean()
    return total


def probability_log(probabilities: torch.Tensor) -> torch.Tensor:
    """Their logarithms, none below that of ``SMALLEST``."""
    return probabilities.clamp(min=SMALLEST).log()


def _answer(own: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Of class probabilities the divergence, and the error of their logarithms; of other values the relative error."""
    if not own.dtype.is_floating_point:
        return torch.zeros(())
    is_distribution = taught.ndim == 2 and taught.shape[1] > 1
    is_distribution &= bool((taught.min() >= 0) & ((taught.sum(-1) - 1).abs().max() < 1e-3))
    if not is_distribution:
        return _relative(own, taught)
    own, other = probability_log(own), probability_log(taught)
    divergence = (taught * (other - own)).sum(-1).mean()
    return divergence + _relative(own - own.mean(-1, keepdim=True), other - other.mean(-1, keepdim=True))


def _relative(own: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return ((own - wanted) ** 2).mean() / (wanted.var(unbiased=False) + 1e-12)
