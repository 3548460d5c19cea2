"""How fast an artifact is beside another: both loaded in one process that does nothing else, and asked in turns.

Times differ from run to run, so they are no part of a bundle, whose bytes must not: they are told when it has been built.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from . import registry, worker
from .events import Listener, step
from .judge import Judged, Trial
from .meter import Meter
from .registry import TargetInfo
from .samples import SampleSet
from .spec import Arrays
from .target import Artifact, Target

WARM_SECONDS = 0.2
ROUND_SECONDS = 0.02
SECONDS = 2.0
"""For all rounds of an artifact."""

MIN_ROUNDS, MAX_ROUNDS = 5, 40


@dataclass(frozen=True)
class Race:
    """Two artifacts of one target, and what to ask them.

    Attributes:
        backend: of the target's runtime.
        inputs: one sample.
    """

    info: TargetInfo
    backend: str
    before: Artifact
    after: Artifact
    inputs: Arrays

    @classmethod
    def of(cls, info: TargetInfo, plain: Trial, made: Trial | Judged, samples: SampleSet) -> Race:
        """Of the original's artifact and another that was made of it."""
        inputs = next(iter(samples.held_back))
        return cls(info, made.rows[0].backend, plain.artifact, made.artifact, inputs)


def measure(race: Race, listener: Listener, debug: bool = False) -> dict[str, float]:
    """Milliseconds of a call, ``latency before``, the ``latency ratio``, and ``latency`` by it; in a fresh process.

    Raises:
        EdgepackError: the runtime cannot run them.
    """
    # OMP_NUM_THREADS is for libraries below a runtime: they read it when they are imported
    return worker.run(run, race, env={"OMP_NUM_THREADS": "1"}, listener=listener, debug=debug)


def run(race: Race) -> dict[str, float]:
    """See ``measure``; in this process."""
    with step("measure latency") as measuring:
        found = compare(registry.load_target(race.info), race)
        measuring.detail = f"{found['latency before']:.3g} ms -> {found['latency']:.3g} ms"
    return found


def compare(target: Target, race: Race) -> dict[str, float]:
    """What the two cost; one thread each."""
    meters = [target.meter(each, race.backend, 1) for each in (race.before, race.after)]
    before, after = in_turns(meters, race.inputs)
    one, ratio = 1000 * median(before), median(b / a for a, b in zip(before, after, strict=True))
    # on a busy machine the medians of both may tell of two times of day; the ratio is of one
    return {
        "latency before": round(one, 6),
        "latency": round(one * ratio, 6),
        "latency ratio": round(ratio, 4),
    }


def in_turns(meters: Sequence[Meter], inputs: Arrays) -> list[list[float]]:
    """Seconds of a call of each, in every round: a round asks all, in an order that turns, so that what drifts drifts for all."""
    calls = [_warm(meter, inputs) for meter in meters]
    found: list[list[float]] = [[] for _ in meters]
    start, count = time.monotonic(), len(meters)
    while len(found[0]) < MIN_ROUNDS or (
        len(found[0]) < MAX_ROUNDS and time.monotonic() - start < count * SECONDS
    ):
        first = len(found[0]) + 1
        for which in ((first + place) % count for place in range(count)):
            found[which].append(median(meters[which].time(inputs, calls[which])))
    return found


def _warm(meter: Meter, inputs: Arrays) -> int:
    """Bring it to its speed; how many calls make a round."""
    (call,) = meter.time(inputs, 1)
    until = time.monotonic() + WARM_SECONDS
    while time.monotonic() < until:
        call = min(call, *meter.time(inputs, 1))
    return max(1, int(ROUND_SECONDS / call))
