"""A budget of multiplications, spent on groups of channels: always where the outputs mind least for what it saves."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import GateError
from ..spec import Array
from .student import Group, Layer

MOST = 0.95
"""Of no group do more channels go than this share."""

MULTIPLE, LARGE = 8, 32
"""Of a group of 32 or more a multiple of 8 is kept: kernels compute so many channels at once, and pad what is left over."""


class Ledger:
    """The multiplications of layers, while channels go.

    Attributes:
        left: of all layers.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._places = {layer.name: layer.places for layer in layers}
        self._rows = {layer.name: layer.shape[0] for layer in layers}
        self._columns = {layer.name: layer.shape[1] for layer in layers}
        self.left = sum(layer.macs for layer in layers)

    def saved(self, group: Group, count: int) -> int:
        """What goes when so many more channels of a group do."""
        found = 0
        for name in {*group.rows, *group.columns}:
            rows, columns = self._fewer(group, name, count)
            found += self._places[name] * (self._rows[name] * self._columns[name] - rows * columns)
        return found

    def take(self, group: Group, count: int) -> None:
        """Let so many more go."""
        self.left -= self.saved(group, count)
        for name in {*group.rows, *group.columns}:
            self._rows[name], self._columns[name] = self._fewer(group, name, count)

    def _fewer(self, group: Group, name: str, count: int) -> tuple[int, int]:
        rows = group.rows[name].shape[1] if name in group.rows else 0
        columns = group.columns[name].shape[1] if name in group.columns else 0
        return self._rows[name] - count * rows, self._columns[name] - count * columns


def check(layers: Sequence[Layer], groups: Sequence[Group], share: float) -> None:
    """Raises GateError where this share of the multiplications cannot go, even with all channels that can."""
    ledger = Ledger(layers)
    total = ledger.left
    for group in groups:
        gone = 0
        while (more := further(group.size, gone, MOST)) is not None:
            gone = more
        ledger.take(group, gone)
    most = 1 - ledger.left / total
    if most < share:
        raise GateError(
            f"At most {100 * most:.1f} % of the multiplications can go with channels; {100 * share:.1f} % was asked for.",
            "Ask for less with --prune-channels, or keep fewer layers.",
        )


def spend(
    layers: Sequence[Layer], groups: Sequence[Group], costs: Sequence[Array], share: float
) -> list[int]:
    """How many channels of each group go, so that ``share`` of all multiplications does.

    Of a group goes at most twice what an even share would be: a few samples do not tell all that it is for
    (the last layers' channels are for classes that they may not show). Where that is not enough, more may, up to ``MOST``.

    Args:
        costs: of each group, by how many of its channels are gone, [channels + 1].
    """
    ledger = Ledger(layers)
    wanted = (1 - share) * ledger.left
    gone = [0] * len(groups)
    taken = []
    for most in (min(factor * share, MOST) for factor in (2.0, 3.0, MOST / share)):
        while ledger.left > wanted:
            steps = []
            for index, group in enumerate(groups):
                more = further(group.size, gone[index], most)
                if more is not None:
                    saved = ledger.saved(group, more - gone[index])
                    steps.append(((costs[index][more] - costs[index][gone[index]]) / saved, index, more))
            if not steps:
                break
            _, index, more = min(steps)
            taken.append((index, gone[index]))
            ledger.take(groups[index], more - gone[index])
            gone[index] = more
    for index, before in reversed(
        taken
    ):  # what the last steps saved beyond the budget may be some step's before
        if ledger.left - ledger.saved(groups[index], before - gone[index]) <= wanted:
            ledger.take(groups[index], before - gone[index])
            gone[index] = before
    return gone


def further(size: int, gone: int, most: float) -> int | None:
    """The next larger number of channels that may be gone of ``size``; none where it would be too many."""
    kept = size - gone - 1
    if size >= LARGE:
        kept -= kept % MULTIPLE
    return size - kept if kept > 0 and kept >= (1 - most) * size - 1e-9 else None
