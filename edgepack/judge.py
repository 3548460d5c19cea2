"""Emit what the project asks for, look into it, and hold it against the original, on every backend of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from . import parity
from .choosing import Chooser
from .errors import ModelError
from .events import Step, step, warn
from .metrics import evaluation as evaluate
from .metrics.evaluation import Evaluation, Scores
from .model import Model
from .precision.notes import Note, notes_on
from .precision.reasons import explained
from .precision.search import Search
from .records import Records, RecordWriter
from .samples import SampleSet
from .spec import Arrays, Asked, Precision
from .target import IO, Artifact, Audit, Lowering, Plan, Runner, Target

LAYER_SAMPLES = 4
"""How many held-back samples the layer-by-layer comparison takes; it keeps every intermediate tensor."""

FURTHER_SAMPLES = 4
"""How many held-back samples a further backend answers: plain JavaScript may take seconds for one."""


@dataclass(frozen=True)
class Reference:
    """The original: the loaded model, its samples, and its answers to the held-back ones.

    Attributes:
        model: made smaller, where that was asked for; the answers are the original's all the same.
        origin: the form of the framework in which it was asked.
        compression: what making it smaller came to (see edgepack.compress.stage).
        seconds: that it took by closed form.
    """

    model: Model
    samples: SampleSet
    golden: Records
    origin: str = ""
    compression: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Row:
    """How an artifact compares on one backend.

    Attributes:
        backend: empty where the runtime has only one.
        error: why it cannot run there; then there are no outputs.
    """

    backend: str
    samples: int = 0
    outputs: Mapping[str, parity.Metrics] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Trial:
    """What one plan gave: the artifact, what is in it, its answers, its rows, that of ``runner`` first, and its scores."""

    artifact: Artifact
    audit: Audit
    runner: Runner
    answers: Records
    rows: tuple[Row, ...]
    scores: Scores

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the gate is not met; a further backend that misses it is one that must not be used, and no more."""
        return *self.rows[0].failures, *self.scores.failures


@dataclass(frozen=True)
class Judged:
    """The artifact to ship, or to reject.

    Attributes:
        runner: on the best backend that can run it.
        answers: of ``runner``, to all held-back samples.
        rows: of every backend of this machine, that of ``runner`` first.
        backends: of a user's device, with the reason where the artifact must not run there.
        layers: per op, against the float32 artifact; empty for a float32 artifact.
        cautions: what the metrics do not show by themselves.
        scores: of the task's metrics.
        search: what found the plan, where none was asked for.
        notes: what was tried to make its integers more accurate.
    """

    artifact: Artifact
    float32: Artifact
    runner: Runner
    audit: Audit
    answers: Records
    rows: tuple[Row, ...]
    backends: Mapping[str, str]
    layers: tuple[parity.LayerParity, ...]
    cautions: tuple[str, ...]
    plan: Plan
    scores: Scores = Scores()
    search: Search | None = None
    notes: tuple[Note, ...] = ()

    @property
    def outputs(self) -> Mapping[str, parity.Metrics]:
        """The metrics on the best backend."""
        return self.rows[0].outputs

    @property
    def failures(self) -> tuple[str, ...]:
        """See Trial."""
        return *self.rows[0].failures, *self.scores.failures


@dataclass(frozen=True)
class Judge:
    """Emits plans of one lowering and holds what comes of them against the original.

    Attributes:
        gate: of tensors: what every output must meet.
        workdir: for the artifacts.
        offered: the precisions that the target has, for a search.
        evaluation: the gate of the task.
        tensors_decide: whether ``gate`` does; else it guides, where there is no other measure, and the task's decides.
    """

    target: Target
    lowering: Lowering
    reference: Reference
    gate: parity.Gate
    workdir: Path
    offered: Sequence[Precision] = ()
    evaluation: Evaluation | None = None
    tensors_decide: bool = True

    def judge(self, asked: Asked, io: IO, take: int | None = None) -> Judged:
        """The artifact in a precision; where it is weights that are stored in it, with the few that need more a step up.

        Args:
            asked: ``auto`` for the best plan that meets the gate, found by trying.
            take: the number of a plan that was tried, in place of the best.

        Raises:
            GateError: not even float32 meets the gate, so there is nothing to search.
            ModelError: the runtime cannot run the artifact on any backend.
            UsageError: there is no plan of that number.
        """
        chooser = self._chooser(io)
        chosen = chooser.choose(asked, take)
        float32, trial = chooser.float32, chosen.trial
        rows = (*trial.rows, *self._further(trial))
        layers = () if trial.artifact is float32 else self._compare_layers(float32, trial)
        for caution in (cautions := tuple(parity.cautions(rows[0].outputs))):
            warn(caution)
        return Judged(
            trial.artifact,
            float32,
            trial.runner,
            trial.audit,
            trial.answers,
            rows,
            self._backends(trial.runner, rows),
            layers,
            cautions,
            chosen.plan,
            trial.scores,
            chosen.search,
            notes_on(chosen.plan, self.lowering.notes),
        )

    def trial(self, asked: Asked, io: IO) -> Trial:
        """The artifact that ``judge`` would ship, and how it compares on the best backend; no more is asked of it."""
        return self._chooser(io).choose(asked).trial

    def search(self, io: IO) -> Search:
        """All that there is to try, tried. Raises as ``judge``."""
        found = self._chooser(io).search(thorough=True)
        found.run()
        return found

    def failures(
        self, plan: Plan, samples: Iterable[Arrays], expected: Iterable[Arrays], backend: str = ""
    ) -> list[str]:
        """Why a plan does not meet the gate of tensors on some samples, the answers to which are expected."""
        runner = self.target.open(self.emit(plan, "candidate"), backend)
        return self.gate.failures(parity.measure(runner, samples, expected))

    @property
    def deciding(self) -> parity.Gate:
        """What tensors must meet; where the task decides, only to be numbers."""
        return self.gate if self.tensors_decide else parity.Gate(())

    def _chooser(self, io: IO) -> Chooser:
        with step("emit float32"):
            return Chooser(self, io, self.emit(Plan(Precision.FLOAT32), "float32"))

    def emit(self, plan: Plan, name: str) -> Artifact:
        folder = self.workdir / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return self.lowering.emit(plan, folder)

    def attempt(self, artifact: Artifact, plan: Plan, why: Mapping[str, str]) -> Trial:
        """Look into the artifact of a plan and measure it on the best backend that can run it.

        Args:
            why: what moved an op up, by its name.
        """
        with step("audit") as auditing:
            audit = explained(self.target.audit(artifact), self.lowering, plan, why)
            auditing.detail = ", ".join(f"{count} {name}" for name, count in audit.ops_by_precision.items())
        with step("parity") as measuring:
            runner, answers, rows = self._measure(artifact, measuring)
            measuring.detail = "; ".join(
                f"{name} {metrics.sqnr_db:.1f} dB" for name, metrics in rows[0].outputs.items()
            )
        scores = evaluate.artifact(self.evaluation, runner, self.reference.model, answers)
        return Trial(artifact, audit, runner, answers, rows, scores)

    def _measure(self, artifact: Artifact, measuring: Step) -> tuple[Runner, Records, tuple[Row, ...]]:
        held_back = self.reference.samples.held_back
        cannot: list[tuple[str, ModelError]] = []
        for backend in self.target.host_backends or ("",):
            try:
                runner = self.target.open(artifact, backend)
                answers = self._ask(runner, measuring.track(held_back, len(held_back)))
            except ModelError as error:
                cannot.append((backend, error))
                continue
            outputs = parity.compare(answers, self.reference.golden)
            row = Row(backend, len(held_back), outputs, tuple(self.deciding.failures(outputs)))
            return runner, answers, (row, *(Row(name, error=error.message) for name, error in cannot))
        raise cannot[0][1]

    def _ask(self, runner: Runner, samples: Iterable[Arrays]) -> Records:
        writer = RecordWriter(self.workdir / "answers.records")
        with writer:
            for inputs in samples:
                writer.write(runner(inputs))
        return writer.records

    def _further(self, trial: Trial) -> Iterator[Row]:
        """The backends of this machine that were not asked yet.

        One that agrees with the best as float32 does is as right; the gate is for more samples than a slow backend is given.
        """
        asked = {row.backend for row in trial.rows}
        for backend in self.target.host_backends:
            if backend in asked:
                continue
            with step(f"parity on {backend}") as measuring:
                samples = list(islice(self.reference.samples.held_back, FURTHER_SAMPLES))
                try:
                    runner = self.target.open(trial.artifact, backend)
                    answers = [runner(inputs) for inputs in measuring.track(samples, len(samples))]
                except ModelError as error:
                    yield Row(backend, error=error.message)
                    continue
                outputs = parity.compare(answers, islice(self.reference.golden, len(samples)))
                best = parity.compare(answers, map(trial.runner, samples))
                agrees = not parity.default_gate(Precision.FLOAT32).failures(best)
                failures = () if agrees else tuple(self.gate.failures(outputs))
                worst = min(metrics.sqnr_db for metrics in best.values())
                measuring.detail = f"{worst:.1f} dB beside {trial.rows[0].backend}"
                yield Row(backend, len(samples), outputs, failures)

    def _backends(self, runner: Runner, rows: tuple[Row, ...]) -> Mapping[str, str]:
        """What a user's device may compute with: what lacks a kernel, could not run or answered wrongly here, may not."""
        found = dict(self.target.backends(runner, next(iter(self.reference.samples.held_back))))
        for row in rows[1:]:
            reason = row.error or "; ".join(row.failures)
            if reason:
                found[row.backend] = found.get(row.backend) or reason
        for backend, reason in found.items():
            if reason:
                warn(f"The bundle does not use {backend}: {reason}")
        return found

    def _compare_layers(self, float32: Artifact, trial: Trial) -> tuple[parity.LayerParity, ...]:
        with step("compare layers"):
            few = islice(self.reference.samples.held_back, LAYER_SAMPLES)
            reference = self.target.open(float32, trial.rows[0].backend)
            return tuple(parity.layer_parity(reference, trial.runner, few))
