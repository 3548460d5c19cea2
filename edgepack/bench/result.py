"""What the measurements say: summaries, and ratios with the noise in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from .lineup import Entrant
from .measure import Cost


@dataclass(frozen=True)
class Spread:
    """Of many values the middle one, and what one in ten is below or above."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        p10, middle, p90 = np.percentile(values, (10, 50, 90)).tolist()
        return cls(middle, p10, p90)


@dataclass(frozen=True)
class Ratio:
    """A bundle against its float sibling: less than 1 is faster, smaller.

    Attributes:
        latency: of the median calls of every round; both were asked in the same round, so that what drifts drops out, and
            the spread over the rounds is noise.
        size: of the artifacts.
    """

    latency: Spread
    size: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the latencies differ by more than they scatter."""
        return not self.latency.p10 <= 1 <= self.latency.p90


@dataclass(frozen=True)
class Result:
    """A bundle and what it costs.

    Attributes:
        first: seconds of the first call of a fresh process, the median of all that were started.
        load: likewise, from the artifact's files to being ready to answer.
        calls: seconds of the warm ones.
        round_medians: seconds of the median call, round by round.
        ratio: against the float sibling, where there is one.
    """

    entrant: Entrant
    cost: Cost
    first: float
    load: float
    calls: Spread
    round_medians: tuple[float, ...]
    ratio: Ratio | None


def results(entrants: Sequence[Entrant], costs: Sequence[Cost]) -> tuple[Result, ...]:
    """One for every entrant."""
    return tuple(_result(place, entrants, costs) for place in range(len(entrants)))


def _result(place: int, entrants: Sequence[Entrant], costs: Sequence[Cost]) -> Result:
    entrant, cost = entrants[place], costs[place]
    ratio = None
    if entrant.sibling is not None:
        size = entrant.bundle.artifact.bytes / entrants[entrant.sibling].bundle.artifact.bytes
        ratio = ratio_of(cost, costs[entrant.sibling], size)
    return Result(
        entrant,
        cost,
        first=median(start.first for start in cost.starts),
        load=median(start.load for start in cost.starts),
        calls=Spread.of([seconds for each in cost.rounds for seconds in each]),
        round_medians=_round_medians(cost),
        ratio=ratio,
    )


def ratio_of(own: Cost, other: Cost, size: float) -> Ratio:
    """Of two that were asked in the same rounds."""
    rounds = zip(_round_medians(own), _round_medians(other), strict=True)
    return Ratio(Spread.of([one / two for one, two in rounds]), size)


def _round_medians(cost: Cost) -> tuple[float, ...]:
    return tuple(median(each) for each in cost.rounds)
