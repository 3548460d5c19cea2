"""All plans that a search tries of a project's targets, and what the best of them cost on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from . import frameworks, pipeline, recording, worker
from .bundle.writer import scratch_folder
from .checks import checked, is_recorded_first
from .errors import EdgepackError
from .events import Listener, step
from .judge import Judge
from .latency import in_turns
from .precision.search import Point
from .project import Project
from .registry import TargetInfo
from .target import Plan


@dataclass(frozen=True)
class Tuned:
    """A plan on the front (see edgepack.precision.search).

    Attributes:
        sqnr_db: the least of all outputs, on calibration samples.
        metrics: those of the task that the gate bounds, on the samples that choose.
        passed: whether it meets the gate on these; ``best``: whether it is what ``auto`` takes.
        seconds: of a call, the median; ``to_float``: the median of its ratio to the last point in each round.
    """

    name: str
    plan: Plan
    bytes: int
    sqnr_db: float
    metrics: Mapping[str, float]
    passed: bool
    best: bool
    seconds: float
    to_float: float


@dataclass
class Tuning:
    """What became of one target."""

    target: str
    tried: int = 0
    points: tuple[Tuned, ...] = ()
    error: EdgepackError | None = None


def run(project: Project, lane: Callable[[str], Listener], debug: bool = False) -> list[Tuning]:
    """Tune every target of the project, one after the other, for they are measured. Raises UsageError."""
    infos = checked(project)
    found = [Tuning(info.label) for info in infos]
    with scratch_folder() as shared:
        asked_first = is_recorded_first(project, infos)
        recorded = recording.recorded(project, shared, lane(""), debug) if asked_first else None
        for info, tuning in zip(infos, found, strict=True):
            workdir = shared / info.label
            workdir.mkdir()
            label = info.label if len(infos) > 1 else ""
            try:
                tuning.tried, tuning.points = worker.run(
                    explore,
                    project,
                    info,
                    workdir,
                    recorded,
                    env=frameworks.environment(info.forms),
                    listener=lane(label),
                    scratch=(shared,),
                    debug=debug,
                )
            except EdgepackError as error:
                tuning.error = error
    return found


def explore(
    project: Project, info: TargetInfo, workdir: Path, recorded: pipeline.Recorded | None
) -> tuple[int, tuple[Tuned, ...]]:
    """How many plans were tried, and the front. Runs in a process of its own. Raises as ``pipeline.build``."""
    bench, model = pipeline.workbench(project, info.name, workdir, recorded)
    judge = bench.lowered(project.compression, model)
    search = judge.search(info.io(project.build.io))
    best = search.best
    with step("measure"):
        seconds = _seconds(judge, search.front)
    return search.count, tuple(
        Tuned(
            point.name,
            point.trial.plan,
            point.trial.bytes,
            point.trial.sqnr_db,
            point.trial.metrics,
            search.passes(point),
            best is not None and point.trial is best.trial,
            median(own),
            median(each / last for each, last in zip(own, seconds[-1], strict=True)),
        )
        for point, own in zip(search.front, seconds, strict=True)
    )


def _seconds(judge: Judge, front: Sequence[Point]) -> list[list[float]]:
    """Of a call of every point, in every round."""
    backend = next(iter(judge.target.host_backends), "")
    meters = [
        judge.target.meter(judge.emit(point.trial.plan, f"point-{number}"), backend)
        for number, point in enumerate(front, 1)
    ]
    return in_turns(meters, next(iter(judge.reference.samples.held_back)))
