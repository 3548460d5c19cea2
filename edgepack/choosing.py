"""Which plan ships: the precision that was asked for, or what a search finds.

Chosen on calibration samples; the held-back ones have to agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from .errors import GateError
from .events import step
from .metrics.evaluation import Evaluation, candidate
from .parity import Gate
from .precision.ladder import stored_better
from .precision.plan import uniform_plan
from .precision.search import Search
from .precision.trials import Trials
from .spec import AUTO, Asked, Precision
from .target import IO, Artifact, Plan

if TYPE_CHECKING:
    from .judge import Judge, Trial

SEARCH_SAMPLES = 32
"""How many calibration samples choose precisions."""


@dataclass(frozen=True)
class Chosen:
    """A plan, how its artifact compares, and the search that found it, if there was one."""

    plan: Plan
    trial: Trial
    search: Search | None = None


@dataclass(frozen=True)
class Chooser:
    """Chooses among the plans that a judge can emit.

    Attributes:
        float32: the artifact in float.
    """

    judge: Judge
    io: IO
    float32: Artifact

    def choose(self, asked: Asked, take: int | None = None) -> Chosen:
        """See Judge.judge."""
        if asked != AUTO:
            return self._as_asked(asked)
        search = self.search(thorough=take is not None)
        places, trial = search.places, None
        for plan in search.plans() if take is None else [search.taken(take)]:
            trial = self._attempt(plan, search.why)
            if not trial.failures and not places.failures(trial.rows[0].outputs):
                break
        assert trial is not None  # there is always float32
        return Chosen(plan, trial, search)

    def search(self, thorough: bool) -> Search:
        """The search to be; float32 is judged first. Raises GateError."""
        closest = self._attempt(Plan(Precision.FLOAT32, io=self.io))
        if failures := closest.failures:
            raise GateError(
                f"The gate cannot be met, so nothing was searched: even float32 misses it: {'; '.join(failures)}.",
                "Ask for less with --gate; what float32 misses, no other precision meets.",
            )
        judge, evaluation = self.judge, self.judge.evaluation
        choosing = evaluation.choosing if evaluation else None
        trials = self._trials(closest.rows[0].backend, judge.deciding, choosing)
        return Search(judge.lowering, judge.offered, self.io, trials, thorough)

    def _as_asked(self, precision: Precision) -> Chosen:
        """Every op in it, as accurate as the gate asks for; where it is weights that are stored in it, the fewest a step up."""
        plan = uniform_plan(self.judge.lowering, precision, self.io)
        if precision in self.judge.lowering.improves:
            plain = replace(plan, plain=True)
            trial = self._attempt(plain)
            if not trial.failures:
                return Chosen(plain, trial)
        trial = self._attempt(plan)
        ladder = stored_better(self.judge.lowering, plan)
        if not trial.failures or not ladder.moves:
            return Chosen(plan, trial)
        with step("choose weights") as choosing:
            count = ladder.fewest(self._trials(trial.rows[0].backend, self.judge.gate).passes)
            choosing.detail = f"{count} of {len(ladder.moves)} stored better"
        for plan in ladder.upwards(count):
            trial = self._attempt(plan, ladder.why(plan))
            if not trial.failures:
                break
        return Chosen(plan, trial)

    def _attempt(self, plan: Plan, why: Mapping[str, str] = MappingProxyType({})) -> Trial:
        if plan.default == Precision.FLOAT32 and not plan.ops:
            return self.judge.attempt(self.float32, plan, why)
        with step("emit"):
            artifact = self.judge.emit(plan, "artifact")
        return self.judge.attempt(artifact, plan, why)

    def _trials(self, backend: str, gate: Gate, evaluation: Evaluation | None = None) -> Trials:
        """What tries plans on a backend, by a gate of tensors and metrics of the task."""
        judge, reference = self.judge, self.judge.reference
        calibration = reference.samples.calibration
        every = max(1, len(calibration) // SEARCH_SAMPLES)  # neighbours in a file are often alike
        few = list(islice(calibration, 0, SEARCH_SAMPLES * every, every))
        task = partial(candidate, evaluation, model=reference.model) if evaluation else None
        return Trials(
            lambda plan: judge.emit(plan, "candidate"),
            lambda artifact: judge.target.open(artifact, backend),
            few,
            [reference.model(inputs) for inputs in few],
            gate,
            task,
        )
