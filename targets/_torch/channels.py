"""Channels of a PyTorch module: which can go, and the module without them (see edgepack.compress.channels)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from edgepack.compress.coupling import Axis, Coupled, proven
from edgepack.compress.student import Group, Layer
from edgepack.spec import Array

from .follow import Follow

CLOSE = 1e-4
"""How near a module without channels is to one that does not use them, relative to the largest output."""

CONVOLUTIONS = torch.nn.modules.conv._ConvNd
NORMALISATIONS = torch.nn.modules.batchnorm._NormBase


def groups(
    module: torch.nn.Module, example: tuple[torch.Tensor, ...], layers: Sequence[Layer]
) -> dict[Group, Coupled]:
    """Channels that only layers read, in a fixed order.

    Tried: a module's code may have sizes of its own, which tell only when it computes without some channels.
    """
    follow = Follow(module)
    with torch.no_grad(), follow:
        follow.finish(module(*example))
    owners = dict(module.named_parameters())
    weights = {id(module.get_submodule(each.name).weight): each for each in layers}
    owned = {name: weights[id(owner)] for name, owner in owners.items() if id(owner) in weights}
    found = {}
    for coupled in follow.coupling.groups():
        reading = [place for place in coupled.places if place in follow.read]
        known = all(place.axis == 1 and place.owner in owned for place in reading)
        if reading and known and len(coupled.places[reading[0]]) > 1:
            found[_group(coupled, reading, owned, owners)] = coupled
    return proven(found, lambda some: _holds(module, example, some))


def _group(
    coupled: Coupled, reading: Sequence[Axis], owned: Mapping[str, Layer], owners: Mapping[str, Any]
) -> Group:
    columns = {}
    for place in reading:
        kernel = np.arange(owners[place.owner][0, 0].numel())
        inputs = coupled.places[place]
        own = inputs[:, :, None] * len(kernel) + kernel
        columns[owned[place.owner].name] = own.reshape(len(inputs), -1)
    rows = {
        owned[place.owner].name: found
        for place, found in coupled.places.items()
        if place.owner in owned and place.axis == 0
    }
    return Group(rows, columns)


def _holds(
    module: torch.nn.Module, example: tuple[torch.Tensor, ...], found: Mapping[Group, Coupled]
) -> bool:
    rng, trial = np.random.default_rng(0), copy.deepcopy(module)
    gone = {group: rng.permutation(group.size)[: group.size // 2] for group in found}
    with torch.no_grad():
        for group, channels in gone.items():
            for name, columns in group.columns.items():
                weight: Any = trial.get_submodule(name).weight
                matrix = weight.flatten(1).clone()
                matrix[:, columns[channels].ravel()] = 0
                weight.copy_(matrix.reshape(weight.shape))
        unused = trial(*example)
        slim(trial, [(found[group], channels) for group, channels in gone.items()])
        try:
            without = trial(*example)
        except Exception:  # the user's code, which knows sizes of its own
            return False
    return all(
        one.shape == other.shape
        and bool((one.double() - other.double()).abs().max() <= CLOSE * one.double().abs().max())
        for one, other in zip(unused, without, strict=True)
    )


def slim(module: torch.nn.Module, gone: Sequence[tuple[Coupled, Array]]) -> None:
    """Take channels away from every array that they run through, in place."""
    positions: dict[str, dict[int, list[int]]] = {}
    for coupled, channels in gone:
        for place, found in coupled.places.items():
            axes = positions.setdefault(place.owner, {})
            axes.setdefault(place.axis, []).extend(found[channels].ravel().tolist())
    stored = dict((*module.named_parameters(), *module.named_buffers()))
    slimmer = {id(stored[owner]): _without(stored[owner], axes) for owner, axes in positions.items()}
    for each in module.modules():
        before = getattr(each, "weight", None)
        for arrays in (each._parameters, each._buffers):
            for name, own in arrays.items():
                if id(own) in slimmer:
                    arrays[name] = slimmer[id(own)]
        if id(before) in slimmer:
            _describe(each)


def _without(array: torch.Tensor, axes: Mapping[int, Sequence[int]]) -> Any:
    slimmer = array.detach()
    for axis, gone in axes.items():
        stay = np.setdiff1d(np.arange(array.shape[axis]), gone)
        slimmer = slimmer.index_select(axis, torch.from_numpy(stay))
    return torch.nn.Parameter(slimmer, False) if isinstance(array, torch.nn.Parameter) else slimmer


def _describe(module: Any) -> None:
    """Let a module's numbers say what its weight is."""
    if isinstance(module, torch.nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, CONVOLUTIONS):
        first, second = module.weight.shape[:2]
        if module.groups > 1:  # one group a channel: others keep theirs
            module.groups = first // (module.out_channels // module.groups)
            second = module.groups
        module.out_channels, module.in_channels = (second, first) if module.transposed else (first, second)
    elif isinstance(module, NORMALISATIONS):
        module.num_features = len(module.weight)
    elif isinstance(module, torch.nn.PReLU):
        module.num_parameters = len(module.weight)
