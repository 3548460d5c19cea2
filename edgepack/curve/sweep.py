"""Make an artifact for each budget, and hold it against the original; what was measured once is remembered."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from .. import __version__, latency, parity, pipeline, sources
from ..bundle.writer import cache_dir
from ..compress.budget import Budget
from ..compress.kept import METHOD
from ..compress.sizes import total, zipped
from ..compress.stage import check
from ..compress.wanted import Wanted
from ..errors import EdgepackError
from ..events import inside, step
from ..judge import Trial
from ..pipeline import Recorded
from ..project import CompressTable, Project
from ..workbench import Workbench


@dataclass(frozen=True)
class Point:
    """What a budget came to.

    Attributes:
        series: which of the curves it is on; empty for the original.
        nonzero: weights of linear layers and convolutions that are not zero.
        zipped: bytes of the artifact, each file deflated.
        agreement: with the original on held-back samples, of the artifact in the target's runtime.
        sqnr_db: of the worst output.
        latency_ratio: to the artifact of the original, one thread, on this machine.
        failures: why the gate is not met.
        error: why the budget cannot be had of this model; then there are no figures.
    """

    series: str
    budget: Budget
    nonzero: int = 0
    macs: int = 0
    bytes: int = 0
    zipped: int = 0
    agreement: float = 0.0
    sqnr_db: float = 0.0
    latency_ratio: float = 1.0
    failures: tuple[str, ...] = ()
    error: str = ""

    @property
    def passed(self) -> bool:
        return not self.failures and not self.error


@dataclass(frozen=True)
class Curve:
    """All points of a target, the original first."""

    target: str
    precision: str
    gate: str
    points: tuple[Point, ...]

    @property
    def smallest(self) -> Point | None:
        """The smallest download of those that meet the gate; of two alike, the one that agrees better."""
        passed = [point for point in self.points if point.passed]
        return min(passed, key=lambda point: (point.zipped, -point.agreement), default=None)


def sweep(
    project: Project,
    target_name: str,
    series: Mapping[str, tuple[Budget, ...]],
    workdir: Path,
    recorded: Recorded | None,
) -> Curve:
    """Runs in a process of its own. Raises EdgepackError where there would be no point at all."""
    bench, model = pipeline.workbench(project, target_name, workdir, recorded)
    teacher = check(project.compression, model, bench.samples, bench.golden)
    makers = _Makers(bench, bench.plain(model))
    points = [makers.original(total(bench.sizes(teacher)))]
    for name, budgets in series.items():
        for budget in budgets:
            with step(budget.flags) as running, inside(running):
                points.append(makers.point(name, budget))
                running.detail = words(points[-1])
    return Curve(bench.info.label, project.build.precision, project.gate_expression, tuple(points))


def words(point: Point) -> str:
    """A point in a line."""
    verdict = point.error or ("passed" if point.passed else "failed")
    return f"{point.zipped / 1000:,.1f} kB zipped, {100 * point.agreement:.1f} % agree: {verdict}"


class _Makers:
    """Makes the points of one target."""

    def __init__(self, bench: Workbench, plain: Trial) -> None:
        self._bench, self._plain = bench, plain
        self._key = _key(bench)

    def original(self, found: Mapping[str, float]) -> Point:
        return _measured("", Budget(), self._plain, found, 1.0)

    def point(self, series: str, budget: Budget) -> Point:
        """Made, or remembered from an earlier sweep."""
        wanted = budget.on(self._bench.project.compression)
        note = (
            cache_dir()
            / "curves"
            / f"{self._key}-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]}.json"
        )
        if note.is_file():
            known = json.loads(note.read_text())
            return Point(series, budget, **known | {"failures": tuple(known["failures"])})
        try:
            point = self._made(series, budget, wanted)
        except EdgepackError as error:  # of this budget: another may fit the model
            return Point(series, budget, error=error.message)
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_suffix(".partial")
        own = {name: value for name, value in asdict(point).items() if name not in ("series", "budget")}
        partial.write_text(json.dumps(own))
        partial.replace(note)
        return point

    def _made(self, series: str, budget: Budget, wanted: Wanted) -> Point:
        bench, build = self._bench, self._bench.project.build
        judge = bench.lowered(wanted, bench.load())
        trial = judge.trial(build.precision, bench.info.io(build.io))
        race = latency.Race.of(bench.info, self._plain, trial, judge.reference.samples)
        ratio = latency.measure(race, listener=lambda event: None)["latency ratio"]
        point = _measured(series, budget, trial, judge.reference.compression, ratio)
        shutil.rmtree(judge.workdir)
        return point


def _measured(
    series: str,
    budget: Budget,
    trial: Trial,
    found: Mapping[str, float],
    latency_ratio: float,
) -> Point:
    outputs = trial.rows[0].outputs
    return Point(
        series,
        budget,
        nonzero=int(found["weights"] - found["zeros"]),
        macs=int(found["macs"]),
        bytes=trial.artifact.bytes,
        zipped=zipped(trial.artifact),
        agreement=parity.agreement(outputs),
        sqnr_db=round(min(metrics.sqnr_db for metrics in outputs.values()), 3),
        latency_ratio=latency_ratio,
        failures=trial.failures,
    )


def _key(bench: Workbench) -> str:
    """Identifies what the points of a curve depend on, amounts and learning aside."""
    project = bench.project.model_copy(update={"compress": CompressTable()})
    left_out = {"build": {"out", "zip", "devices", "targets"}}
    digest = hashlib.sha256(f"{__version__} {METHOD} {bench.info.label}".encode())
    digest.update(project.model_dump_json(exclude=left_out).encode())
    digest.update(sources.sha256(project.model.source).encode())
    if bench.evaluation is not None:
        digest.update(repr((bench.evaluation.original, len(bench.evaluation.labels))).encode())
    for package in bench.info.packages:
        digest.update(f"{package} {version(package)}".encode())
    for records in (bench.samples.calibration, bench.samples.held_back, bench.golden):
        for arrays in records:
            for array in arrays.values():
                digest.update(array.tobytes())
    return digest.hexdigest()[:16]
