"""How fast an artifact is beside another: both loaded in one process that does nothing else, and asked in turns.

Times differ from run to run, so they are no part of a bundle, whose bytes must not: they are told when it has been built.
"""

from __future__ import annotations

import time
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
    """Milliseconds of a call, ``latency before`` and ``latency``, and the ``latency ratio``; in a fresh process.

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
    """One thread each; a round asks both, and who is first changes, so that what drifts drifts for both."""
    meters = [target.meter(each, race.backend, 1) for each in (race.before, race.after)]
    calls = [_warm(meter, race.inputs) for meter in meters]
    rounds: list[dict[int, float]] = []
    start = time.monotonic()
    while len(rounds) < MIN_ROUNDS or (len(rounds) < MAX_ROUNDS and time.monotonic() - start < 2 * SECONDS):
        order = (0, 1) if len(rounds) % 2 else (1, 0)
        rounds.append({which: median(meters[which].time(race.inputs, calls[which])) for which in order})
    return {
        "latency before": round(1000 * median(each[0] for each in rounds), 6),
        "latency": round(1000 * median(each[1] for each in rounds), 6),
        "latency ratio": round(median(each[1] / each[0] for each in rounds), 4),
    }


def _warm(meter: Meter, inputs: Arrays) -> int:
    """Bring it to its speed; how many calls make a round."""
    (call,) = meter.time(inputs, 1)
    until = time.monotonic() + WARM_SECONDS
    while time.monotonic() < until:
        call = min(call, *meter.time(inputs, 1))
    return max(1, int(ROUND_SECONDS / call))
