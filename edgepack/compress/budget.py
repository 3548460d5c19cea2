"""How much of each method: what a sweep tries, and what ``--prune auto`` chooses from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .wanted import METHODS, Wanted

SWEEP: Mapping[str, tuple[Mapping[str, float], ...]] = {
    "prune": tuple({"prune": ratio} for ratio in (0.2, 0.35, 0.5, 0.65, 0.8, 0.9)),
    "prune channels": tuple({"prune_channels": ratio} for ratio in (0.1, 0.2, 0.3, 0.4, 0.5)),
    "low rank": tuple({"low_rank": ratio} for ratio in (0.2, 0.35, 0.5)),
    "cluster": tuple({"cluster": count} for count in (128, 64, 32, 16, 8)),
    "prune and cluster": (
        {"prune": 0.35, "cluster": 64},
        {"prune": 0.5, "cluster": 32},
        {"prune": 0.65, "cluster": 32},
        {"prune": 0.8, "cluster": 16},
    ),
    "channels and cluster": (
        {"prune_channels": 0.1, "cluster": 64},
        {"prune_channels": 0.3, "cluster": 32},
        {"prune_channels": 0.5, "cluster": 16},
    ),
}
"""The points of a curve by series, each from the mildest to the strongest."""


STEPS = 10
"""In so many steps a budget becomes none."""

MOST_VALUES = 255
"""A layer in int8 has no more."""


@dataclass(frozen=True)
class Budget:
    """Amounts by the names of ``Wanted`` and of [compress]; none leaves the model as it is."""

    amounts: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, amounts: Mapping[str, float]) -> Budget:
        return cls(tuple(amounts.items()))

    @classmethod
    def given(cls, wanted: Wanted) -> Budget:
        """The amounts that are asked for."""
        found = {name: getattr(wanted, name) for name in METHODS}
        return cls.of({name: amount for name, amount in found.items() if amount is not None})

    def on(self, wanted: Wanted) -> Wanted:
        """What is wanted, with these amounts."""
        amounts: dict[str, Any] = dict(self.amounts)
        return replace(wanted, **amounts)

    @property
    def milder(self) -> tuple[Budget, ...]:
        """Less and less of the same methods, strongest first: shares fall, and numbers of values rise, in even steps."""
        kept = [1 - step / STEPS for step in range(1, STEPS)]
        found = (
            Budget(tuple((name, _less(amount, share)) for name, amount in self.amounts)) for share in kept
        )
        return tuple(dict.fromkeys(budget for budget in found if budget != self))

    def __str__(self) -> str:
        return (
            ", ".join(f"{name.replace('_', ' ')} {amount:g}" for name, amount in self.amounts) or "as it is"
        )

    @property
    def flags(self) -> str:
        """As the command line takes them."""
        return " ".join(f"--{name.replace('_', '-')} {amount:g}" for name, amount in self.amounts)


def _less(amount: float, share: float) -> float:
    """This share of an amount; of a number of values, as many more as are so many bits nearer to ``MOST_VALUES``."""
    if isinstance(amount, int):
        return round(MOST_VALUES * math.pow(amount / MOST_VALUES, share))
    return round(amount * share, 3)


def sweep(fixed: Budget) -> dict[str, tuple[Budget, ...]]:
    """The points to try, by series: those of methods that are not fixed, with what is fixed."""
    given = dict(fixed.amounts)
    return {
        name: tuple(Budget.of({**given, **each}) for each in series)
        for name, series in SWEEP.items()
        if not any(method in given for each in series for method in each)
    }
