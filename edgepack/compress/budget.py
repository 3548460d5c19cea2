"""How much of each method: what a sweep tries, and what ``--prune auto`` chooses from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from .stage import Wanted

SWEEP: Mapping[str, tuple[Mapping[str, float], ...]] = {
    "prune": tuple({"prune": ratio} for ratio in (0.2, 0.35, 0.5, 0.65, 0.8, 0.9)),
    "prune channels": tuple({"prune_channels": ratio} for ratio in (0.1, 0.2, 0.3, 0.4, 0.5)),
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
        found = {each.name: getattr(wanted, each.name) for each in fields(wanted) if each.name in METHODS}
        return cls.of({name: amount for name, amount in found.items() if amount is not None})

    def on(self, wanted: Wanted) -> Wanted:
        """What is wanted, with these amounts."""
        amounts: dict[str, Any] = dict(self.amounts)
        return replace(wanted, **amounts)

    def __str__(self) -> str:
        return (
            ", ".join(f"{name.replace('_', ' ')} {amount:g}" for name, amount in self.amounts) or "as it is"
        )

    @property
    def flags(self) -> str:
        """As the command line takes them."""
        return " ".join(f"--{name.replace('_', '-')} {amount:g}" for name, amount in self.amounts)


METHODS = tuple(dict.fromkeys(name for series in SWEEP.values() for each in series for name in each))
"""The fields of ``Wanted`` that are amounts."""


def sweep(fixed: Budget) -> dict[str, tuple[Budget, ...]]:
    """The points to try, by series: those of methods that are not fixed, with what is fixed."""
    given = dict(fixed.amounts)
    return {
        name: tuple(Budget.of({**given, **each}) for each in series)
        for name, series in SWEEP.items()
        if not any(method in given for each in series for method in each)
    }
