"""Layers of a PyTorch module whose weights are one matrix, what they are fed with, and what training holds in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from edgepack.compress.lockstep import Stop
from edgepack.compress.student import Hold, Kind, Layer

CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d)


def described(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> tuple[Layer, ...]:
    """The convolutions and linear layers that compute with an example, in that order; one whose weight is shared, once."""
    order: dict[str, torch.nn.Module] = {}
    places: Counter[int] = Counter()

    def hook(name: str) -> Any:
        def note(layer: Any, args: Any, output: torch.Tensor) -> None:
            order.setdefault(name, layer)
            places[id(layer.weight)] += output.numel() // len(layer.weight)

        return note

    hooks = [
        each.register_forward_hook(hook(name)) for name, each in module.named_modules() if _is_layer(each)
    ]
    module(*example)
    for each in hooks:
        each.remove()
    first = {id(layer.weight): name for name, layer in reversed(order.items())}
    fed = input_bytes(module, list(first.values()), example)
    layers = []
    for name, layer in order.items():
        weight: Any = layer.weight
        if fed.get(name):  # else it computes with something that it makes of its weight
            shape = (len(weight), weight[0].numel())
            layers.append(Layer(name, _kind(layer), shape, True, places[id(weight)]))
    return tuple(layers)


def _is_layer(module: torch.nn.Module) -> bool:
    """Plain ones: a weight that is computed anew in each call (weight_norm, say) cannot be set."""
    if not isinstance(module, (torch.nn.Linear, *CONVOLUTIONS)):
        return False
    return isinstance(module._parameters.get("weight"), torch.nn.Parameter)


def _kind(layer: Any) -> Kind:
    if isinstance(layer, torch.nn.Linear):
        return "linear"
    return "conv" if layer.groups == 1 else "depthwise"


@dataclass(frozen=True)
class Unfold:
    """Makes what a weight sees of what its function is given: [places, in]."""

    function: Callable[..., torch.Tensor]
    given: Mapping[str, Any]

    def __call__(self) -> torch.Tensor:
        return self.function(**self.given)

    @property
    def bytes(self) -> int:
        """Of what the function is given, before it is unfolded."""
        return int(self.given["input"].nbytes)


class Watch(TorchFunctionMode):
    """Tells what convolutions and linear functions are fed with, for some weights: [places, in], as a weight sees them.

    It watches the functions, as a module may do more than its class says: pad what it is fed with, say.

    Args:
        see: is told, before the function computes, the weight's name and how to make what it sees.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], see: Callable[[str, Unfold], object]) -> None:
        super().__init__()
        self._names = {id(weight): name for name, weight in weights.items()}
        self._see = see

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        unfold = UNFOLDS.get(getattr(func, "__name__", ""))
        if unfold is not None:
            given = dict(zip(ARGUMENTS, args, strict=False)) | kwargs
            name = self._names.get(id(given["weight"]))
            if name is not None:
                self._see(name, Unfold(unfold, given))
        return func(*args, **kwargs)


def input_bytes(
    module: torch.nn.Module, names: Sequence[str], tensors: tuple[torch.Tensor, ...]
) -> dict[str, list[int]]:
    """How much layers are fed with, call by call."""
    found: dict[str, list[int]] = {name: [] for name in names}
    with torch.no_grad(), Watch(_weights(module, names), lambda name, made: found[name].append(made.bytes)):
        module(*tensors)
    return found


def inputs(
    module: torch.nn.Module, calls: Mapping[str, int], tensors: tuple[torch.Tensor, ...]
) -> dict[str, torch.Tensor]:
    """What layers are fed with in so many calls each, as [places, in]."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in calls}

    def see(name: str, made: Unfold) -> None:
        found[name].append(made())
        if all(len(found[each]) >= count for each, count in calls.items()):
            raise _AllSeen

    with suppress(_AllSeen), torch.no_grad(), Watch(_weights(module, list(calls)), see):
        module(*tensors)
    return {name: torch.cat(parts) for name, parts in found.items()}


def halt(
    module: torch.nn.Module, names: Sequence[str], tensors: tuple[torch.Tensor, ...], stop: Stop
) -> None:
    """Compute, and stop before each of some layers."""
    with (
        torch.no_grad(),
        Watch(_weights(module, names), lambda name, made: stop(name, lambda: np.asarray(made()))),
    ):
        module(*tensors)


def _weights(module: torch.nn.Module, names: Sequence[str]) -> dict[str, Any]:
    return {name: module.get_submodule(name).weight for name in names}


class _AllSeen(Exception):
    """All that is watched for is there; what comes behind it need not be computed."""


ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


def _linear(input: torch.Tensor, **_: Any) -> torch.Tensor:
    return input.reshape(-1, input.shape[-1])


def _convolved(
    input: torch.Tensor,
    weight: torch.Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    **_: Any,
) -> torch.Tensor:
    places = weight.ndim - 2
    kernel, stride, dilation = tuple(weight.shape[2:]), _each(stride, places), _each(dilation, places)
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
        around = [(each // 2, each - each // 2) for each in total]
    else:
        around = [(each, each) for each in _each(padding, places)]
    fed = functional.pad(input, [edge for pair in reversed(around) for edge in pair])
    if places == 1:
        fed, kernel, stride, dilation = fed.unsqueeze(-2), (1, *kernel), (1, *stride), (1, *dilation)
    if kernel == (1, 1):
        seen = fed[:, :, :: stride[0], :: stride[1]].flatten(2)
    else:
        seen = functional.unfold(fed, kernel, dilation, stride=stride)
    return seen.transpose(1, 2).reshape(-1, seen.shape[1])


def _each(size: Any, places: int) -> tuple[int, ...]:
    return (size,) * places if isinstance(size, int) else tuple(size) * (places // len(size))


UNFOLDS: dict[str, Any] = {"linear": _linear, "conv1d": _convolved, "conv2d": _convolved}


class Masked(torch.nn.Module):
    """Weights that stay zero where they are."""

    mask: torch.Tensor

    def __init__(self, hold: Hold, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.as_tensor(hold.mask).reshape(weight.shape).to(weight.dtype))

    def forward(self, weight: torch.Tensor) -> Any:
        return weight * self.mask


class Coded(torch.nn.Module):
    """Weights that are the nearest code times their channel's scale; the gradient passes as if they were not.

    The straight-through estimator: Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons, 2013.
    """

    mask: torch.Tensor
    codes: torch.Tensor
    edges: torch.Tensor
    scales: torch.Tensor

    def __init__(self, hold: Hold, weight: torch.Tensor) -> None:
        super().__init__()
        assert hold.codes is not None
        assert hold.scales is not None
        mask = torch.ones_like(weight) if hold.mask is None else torch.as_tensor(hold.mask)
        codes = torch.as_tensor(hold.codes, dtype=weight.dtype)
        codes = codes if hold.mask is None else codes[codes != 0]
        scales = torch.as_tensor(hold.scales, dtype=weight.dtype)
        self.register_buffer("mask", mask.reshape(weight.shape).to(weight.dtype))
        self.register_buffer("codes", codes)
        self.register_buffer("edges", (codes[1:] + codes[:-1]) / 2)
        self.register_buffer("scales", scales.reshape(-1, *[1] * (weight.ndim - 1)))

    def forward(self, weight: torch.Tensor) -> Any:
        units = (weight / self.scales).detach()
        found = self.codes[torch.bucketize(units, self.edges)] * self.scales * self.mask
        return weight * self.mask + (found - weight * self.mask).detach()
