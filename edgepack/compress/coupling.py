"""Which channels can only go together, told by following each from the layer that makes it to those that read it.

A channel is a number. What a framework finds out about its operations it says here: the numbers along the axes of stored
arrays, which numbers are one and the same channel (a residual addition joins two), and which ones cannot go. Groups of
coupled layers: Fang et al., DepGraph: Towards Any Structural Pruning, 2023; here every single channel is followed, so a
concatenation, a flattening or a shuffle is no special case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..spec import Array
from .student import Group

NOTHING = 0
"""The number of what is no channel that could go: an input's, a constant's, or one lost sight of."""


@dataclass(frozen=True)
class Axis:
    """Of a stored array, which lies under this name in the model."""

    owner: str
    axis: int


@dataclass(frozen=True)
class Coupled:
    """Channels that run through the same axes.

    Attributes:
        places: where on each axis a channel lies, [channels, n].
    """

    places: dict[Axis, Array]


class Coupling:
    """See the module."""

    def __init__(self) -> None:
        self._parents = [NOTHING]
        self._closed: set[int] = set()
        self._owners: set[str] = set()
        self._axes: dict[Axis, Array] = {}

    def along(self, owner: str, axis: int, size: int) -> Array:
        """The channels along an axis of a stored array, [size]; new ones when it is first asked for."""
        place = Axis(owner, axis)
        if place not in self._axes:
            first = len(self._parents)
            self._parents.extend(range(first, first + size))
            self._axes[place] = np.arange(first, first + size)
        return self._axes[place]

    def join(self, some: Array, others: Array) -> None:
        """Say that these are the same channels, one by one; what is joined with NOTHING cannot go."""
        count = len(self._parents)
        pairs = np.unique(some.ravel() * count + others.ravel())
        for one, other in zip((pairs // count).tolist(), (pairs % count).tolist(), strict=True):
            if NOTHING in (one, other):
                self._closed |= {one, other}
            else:
                self._parents[self._root(one)] = self._root(other)

    def met(self, one: Array, other: Array) -> Array:
        """Two operands, as they broadcast: their channels are the same, unless one has a single value for all of the other's."""
        count = max(one.ndim, other.ndim)
        one, other = (each.reshape((1,) * (count - each.ndim) + each.shape) for each in (one, other))
        shape = np.broadcast_shapes(one.shape, other.shape)
        for single, rest in ((one, other), (other, one)):
            varying = [axis for axis in range(count) if not is_constant(rest, axis)]
            if varying and all(single.shape[axis] == 1 for axis in varying):
                self.close(single)
                return np.broadcast_to(rest, shape)
        one, other = np.broadcast_to(one, shape), np.broadcast_to(other, shape)
        self.join(one, other)
        return one

    def close(self, channels: Array) -> None:
        """Say that these cannot go."""
        self._closed.update(np.unique(channels).tolist())

    def close_owner(self, owner: str) -> None:
        """Say that no axis of this array can get shorter."""
        self._owners.add(owner)

    def groups(self) -> list[Coupled]:
        """The channels that can go, by the axes that they run through, in a fixed order."""
        for place, channels in self._axes.items():
            if place.owner in self._owners:
                self.close(channels)
        closed = {self._root(channel) for channel in self._closed}
        places: dict[int, dict[Axis, list[int]]] = defaultdict(lambda: defaultdict(list))
        for place, channels in self._axes.items():
            for position, channel in enumerate(map(self._root, channels.tolist())):
                if channel not in closed:
                    places[channel][place].append(position)
        alike: dict[frozenset[tuple[Axis, int]], list[dict[Axis, list[int]]]] = defaultdict(list)
        for each in places.values():
            alike[frozenset((place, len(found)) for place, found in each.items())].append(each)
        return [_stacked(each) for each in alike.values()]

    def _root(self, channel: int) -> int:
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel


def is_constant(channels: Array, axis: int) -> bool:
    """Whether they are the same everywhere along an axis."""
    return bool((channels == channels.take([0], axis)).all())


def proven(
    groups: dict[Group, Coupled], holds: Callable[[dict[Group, Coupled]], bool]
) -> dict[Group, Coupled]:
    """Those of which some can go without a trace, as ``holds`` tries with many at once."""
    if not groups or holds(groups):
        return groups
    if len(groups) == 1:
        return {}
    both, half = list(groups.items()), len(groups) // 2
    return proven(dict(both[:half]), holds) | proven(dict(both[half:]), holds)


def _stacked(alike: Iterable[dict[Axis, list[int]]]) -> Coupled:
    channels = list(alike)
    return Coupled({place: np.array([each[place] for each in channels]) for place in channels[0]})
