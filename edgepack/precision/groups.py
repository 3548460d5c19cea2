"""Tensors whose channels can only be scaled together, the layers that make and read them, and what such layers read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from ..spec import Array
from .equalise import Values

Tensor = TypeVar("Tensor")
Layer = TypeVar("Layer")


@dataclass
class Group(Generic[Tensor, Layer]):
    """Tensors with one scale a channel.

    Attributes:
        makers, readers: layers; makers have their outputs in the group, readers their inputs.
        constants: what is added to members, one value a channel.
        is_open: whether nothing else reads or makes a member.
    """

    tensors: set[Tensor]
    makers: list[Layer] = field(default_factory=list)
    readers: list[Layer] = field(default_factory=list)
    constants: set[Tensor] = field(default_factory=set)
    is_open: bool = True


class Groups(Generic[Tensor, Layer]):
    """Groups while they are found: each tensor is one by itself, until it is joined to others."""

    def __init__(self) -> None:
        self._group: dict[Tensor, Group[Tensor, Layer]] = {}

    def of(self, tensor: Tensor) -> Group[Tensor, Layer]:
        if tensor not in self._group:
            self._group[tensor] = Group({tensor})
        return self._group[tensor]

    def close(self, tensors: Iterable[Tensor]) -> None:
        """Let these, and all that is joined to them, keep their scale."""
        for tensor in tensors:
            self.of(tensor).is_open = False

    def join(self, one: Tensor, other: Tensor) -> None:
        first, second = self.of(one), self.of(other)
        if first is second:
            return
        first.tensors |= second.tensors
        first.makers += second.makers
        first.readers += second.readers
        first.constants |= second.constants
        first.is_open = first.is_open and second.is_open
        for tensor in second.tensors:
            self._group[tensor] = first

    @property
    def scalable(self) -> list[Group[Tensor, Layer]]:
        """Those that layers both make and read, and nothing else, in the order that they were seen."""
        found = {id(group): group for group in self._group.values()}.values()
        return [group for group in found if group.is_open and group.makers and group.readers]


@dataclass
class Channels:
    """Adds up what a tensor holds, by channel."""

    peak: Array = field(default_factory=lambda: np.zeros(0))
    squares: Array = field(default_factory=lambda: np.zeros(0))
    count: int = 0

    def see(self, values: Array) -> None:
        """Values of one sample, the last axis that of the channels."""
        flat = values.reshape(-1, values.shape[-1])
        peak, squares = np.abs(flat).max(0), np.einsum("pc,pc->c", flat, flat)
        self.peak = np.maximum(self.peak, peak) if self.count else peak
        self.squares = self.squares + squares if self.count else squares
        self.count += len(flat)

    @property
    def values(self) -> Values:
        return Values(self.peak, self.squares / max(self.count, 1))
