"""Plans tried on calibration samples: how large the artifact is, how near its answers are, whether the gate holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ModelError
from ..metrics.evaluation import Scores
from ..parity import MAX_DB, Gate, Metrics, compare
from ..spec import Arrays
from ..target import Artifact, Plan, Runner

PROBE_SAMPLES = 8
"""As many as tell loud ops from quiet ones."""

DROWNED_DB = 20.0
"""What places that the others drown must reach, where the gate names no SQNR."""


@dataclass(frozen=True)
class Tried:
    """What came of a plan.

    Attributes:
        scores: of the task's metrics, where these choose.
        error: why it cannot be emitted or run; then there are no outputs.
    """

    plan: Plan
    bytes: int
    outputs: Mapping[str, Metrics] = field(default_factory=dict)
    scores: Scores = Scores()
    error: str = ""

    @property
    def sqnr_db(self) -> float:
        """The least of all outputs."""
        return min((metrics.sqnr_db for metrics in self.outputs.values()), default=-MAX_DB)

    @property
    def metrics(self) -> dict[str, float]:
        """Those of the task that the gate bounds."""
        return {name: score.artifact for name, score in self.scores.by_metric.items() if score.asked}

    def __str__(self) -> str:
        told = [f"{self.sqnr_db:.1f} dB", *(f"{name} {value:.4g}" for name, value in self.metrics.items())]
        return self.error or ", ".join([*filter(None, (*told, self.scores.error)), f"{self.bytes:,} bytes"])


class Places:
    """Places of the last axis whose values are small beside the others' and were seen to drown in their rounding.

    An output's metrics look at all its values together, where boxes of 0..640 hide what became of scores of 0..1. From
    when they were seen to, these places must keep the gate's SQNR by themselves.
    """

    def __init__(self, gate: Gate) -> None:
        self._asks = bool(gate.thresholds)
        asked = [each.value for each in gate.thresholds if each.metric == "sqnr_db"]
        self._least = max(asked, default=DROWNED_DB)
        self._seen: dict[str, set[int]] = {}

    def note(self, outputs: Mapping[str, Metrics]) -> None:
        """See what drowns; a gate that asks nothing of tensors asks nothing of their places."""
        for name, metrics in outputs.items():
            if self._asks and metrics.drowned:
                self._seen.setdefault(name, set()).update(metrics.drowned)

    def __bool__(self) -> bool:
        return bool(self._seen)

    def __str__(self) -> str:
        return "; ".join(
            f"{name} at {', '.join(map(str, sorted(each)))}" for name, each in self._seen.items()
        )

    def sqnr_db(self, outputs: Mapping[str, Metrics]) -> dict[str, float]:
        """The least SQNR of an output's places, for outputs that have such."""
        return {
            name: min(metrics.places_db[place] for place in self._seen[name])
            for name, metrics in outputs.items()
            if name in self._seen and metrics.places_db
        }

    def failures(self, outputs: Mapping[str, Metrics]) -> list[str]:
        return [
            f"{name}: sqnr_db is {found:.4g} at places whose values are small, not >= {self._least:g}"
            for name, found in self.sqnr_db(outputs).items()
            if found < self._least
        ]


class Trials:
    """Tries plans, each once.

    Args:
        emit: writes the artifact of a plan.
        open_: loads it into the runtime.
        samples: to choose by, and ``expected``, the original's answers to them.
        gate: of tensors; an empty one where only the task's metrics choose.
        task: measures these, with the bounds on them.
    """

    def __init__(
        self,
        emit: Callable[[Plan], Artifact],
        open_: Callable[[Artifact], Runner],
        samples: Sequence[Arrays],
        expected: Sequence[Arrays],
        gate: Gate,
        task: Callable[[Runner], Scores] | None = None,
    ) -> None:
        self._task = task
        self._emit, self._open, self._samples, self._expected = emit, open_, samples, expected
        self.gate, self.places = gate, Places(gate)
        self._made: dict[object, Tried] = {}
        self._noise: dict[object, float] = {}

    @property
    def count(self) -> int:
        """How many plans were tried, probes among them."""
        return len(self._made.keys() | self._noise.keys())

    def __call__(self, plan: Plan) -> Tried:
        key = _key(plan)
        if key not in self._made:
            self._made[key] = self._try(plan, 1, self._task)
        return self._made[key]

    def __contains__(self, plan: Plan) -> bool:
        return _key(plan) in self._made

    def _try(self, plan: Plan, every: int, task: Callable[[Runner], Scores] | None = None) -> Tried:
        try:
            artifact = self._emit(plan)
            runner = self._open(artifact)
            outputs = compare(map(runner, self._samples[::every]), self._expected[::every])
            return Tried(plan, artifact.bytes, outputs, task(runner) if task else Scores())
        except ModelError as error:
            return Tried(plan, 0, error=error.message)

    def failures(self, trial: Tried) -> list[str]:
        """Why the gate does not hold, by these samples."""
        if trial.error:
            return [trial.error]
        tensors = [*self.gate.failures(trial.outputs), *self.places.failures(trial.outputs)]
        return [*tensors, *trial.scores.failures]

    def passes(self, plan: Plan) -> bool:
        return not self.failures(self(plan))

    def noise(self, plan: Plan) -> float:
        """Noise by signal power of the worst output (of its drowned places, where it has such), by a few of the samples."""
        key = _key(plan)
        if key not in self._noise:
            trial = self._try(plan, max(1, len(self._samples) // PROBE_SAMPLES))
            worst = min([trial.sqnr_db, *self.places.sqnr_db(trial.outputs).values()])
            self._noise[key] = float(10 ** (-worst / 10))
        return self._noise[key]


def _key(plan: Plan) -> object:
    return plan.default, tuple(sorted(plan.ops.items())), plan.io
