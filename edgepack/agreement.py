"""How far the bundles of one build agree with each other: every pair of targets, on all held-back samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from .parity import Metrics, compare
from .records import Records


@dataclass(frozen=True)
class Agreement:
    """Two targets' answers compared; the first one's count as the signal."""

    targets: tuple[str, str]
    outputs: Mapping[str, Metrics]

    def other(self, target: str) -> str:
        """The target that ``target`` is compared with."""
        return self.targets[1] if target == self.targets[0] else self.targets[0]


def pairwise(answers: Mapping[str, Records]) -> tuple[Agreement, ...]:
    """Every pair, in the order of the targets; none where there are fewer than two."""
    return tuple(
        Agreement((first, second), compare(answers[second], answers[first]))
        for first, second in combinations(answers, 2)
    )
