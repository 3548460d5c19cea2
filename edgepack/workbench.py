"""Where a loaded model becomes an artifact: as it is, made smaller, or in one way after another."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import parity
from .compress import stage
from .compress.sizes import LayerSize, layer_sizes, zipped
from .compress.stage import Compressed
from .compress.student import Teacher
from .compress.wanted import Wanted
from .elsewhere import Elsewhere
from .events import inside, step
from .judge import Judge, Reference, Trial
from .layout import channels_last
from .metrics.evaluation import Evaluation
from .model import Model
from .project import Project
from .records import Records
from .registry import TargetInfo
from .samples import SampleSet
from .target import Target


@dataclass(frozen=True)
class Workbench:
    """What artifacts of one model for one target are made with.

    Attributes:
        load: the original, afresh: making it smaller uses it up.
        golden: its answers to the held-back samples.
        origin: the form of the framework in which it was asked.
        workdir: an empty folder.
        evaluation: what artifacts are evaluated by, if metrics of the task are asked for.
        elsewhere: the original's own framework, where this is another.
    """

    project: Project
    info: TargetInfo
    target: Target
    load: Callable[[], Model]
    samples: SampleSet
    golden: Records
    origin: str
    workdir: Path
    evaluation: Evaluation | None = None
    elsewhere: Elsewhere | None = None

    def plain(self, model: Model) -> Trial:
        """The artifact that would ship without compression, and how it compares."""
        with step("lower original") as running, inside(running):
            judge = self.lowered(Wanted(), model)
            build = self.project.build
            trial = judge.trial(build.precision, self.info.io(build.io))
            agreement = 100 * parity.agreement(trial.rows[0].outputs)
            running.detail = f"{zipped(trial.artifact) / 1000:,.1f} kB zipped, {agreement:.1f} % agree"
        return trial

    def smaller(self, wanted: Wanted, model: Model) -> Compressed:
        """The model made smaller, in one framework whatever the target's: all targets get the same weights, once."""
        if self.elsewhere is not None and wanted.is_any:
            return self.elsewhere.smaller(wanted)
        return stage.compress(wanted, model, self.samples, self.golden)

    def sizes(self, teacher: Teacher) -> tuple[LayerSize, ...]:
        """Of the original's layers."""
        return layer_sizes(teacher.student()) if self.elsewhere is None else self.elsewhere.sizes()

    def lowered(self, wanted: Wanted, model: Model, plain: Trial | None = None) -> Judge:
        """The model, made smaller as is wanted and lowered.

        Args:
            plain: the artifact of the original, to tell what it was before.

        Raises:
            ModelError: it has no layers, or an op that the target lacks.
            UsageError: what is wanted cannot be.
        """
        smaller = self.smaller(wanted, model)
        turned, samples = self.turned(smaller.model)
        before = _before(plain) if smaller.found and plain else {}
        found = {**smaller.found, **before}
        reference = Reference(turned, samples, self.golden, self.origin, found, smaller.seconds)
        workdir = Path(tempfile.mkdtemp(prefix="lowered-", dir=self.workdir))
        with step("lower"):
            lowering = self.target.lower(turned, samples.calibration, workdir)
        return Judge(
            self.target,
            lowering,
            reference,
            self.project.parity_gate,
            workdir,
            self.info.precisions,
            self.evaluation,
            self.project.tensors_decide,
        )

    def turned(self, model: Model) -> tuple[Model, SampleSet]:
        """A model and its samples as the target sees them."""
        turns = self.info.layout == "NHWC" and self.project.build.layout == "auto"
        return channels_last(model, self.samples) if turns else (model, self.samples)


def _before(plain: Trial) -> dict[str, float]:
    """What a manifest tells of the artifact that would ship without compression."""
    return {
        "bytes before": plain.artifact.bytes,
        "zipped before": zipped(plain.artifact),
        "artifact agreement before": parity.agreement(plain.rows[0].outputs),
        "passed before": float(not plain.failures),
    }
