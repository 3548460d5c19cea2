"""One job a target: reserve its place, run the pipeline in a worker, publish what passed, put aside what did not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import pipeline, readers, registry, sources, worker
from .bundle.manifest import Manifest, bundle_name
from .bundle.writer import folder, publish, reserve, scratch_folder, write_zip
from .errors import EdgepackError, GateError, UsageError
from .events import Event, Listener, StepEnded
from .parity import MAX_DB, LayerParity
from .project import Project
from .registry import TargetInfo
from .spec import Precision


@dataclass
class Job:
    """What became of one target.

    Attributes:
        path: the published bundle, or the rejected one that was put aside.
        seconds: wall time of every step.
    """

    target: str
    precision: str
    path: Path | None = None
    manifest: Manifest | None = None
    zip_bytes: int | None = None
    worst: tuple[LayerParity, ...] = ()
    error: EdgepackError | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def bytes(self) -> int | None:
        """Of all files of the bundle, the manifest aside."""
        return sum(file.bytes for file in self.manifest.files) if self.manifest else None


def run(
    project: Project,
    lane: Callable[[str], Listener],
    force: bool = False,
    debug: bool = False,
    at_once: int | None = None,
) -> list[Job]:
    """Build every target of the project; one that fails does not stop the others.

    Args:
        lane: who listens to a target's events; ``""`` is what all share, or the only one's.
        at_once: how many targets to build side by side; by default as many as there are processors.

    Raises:
        UsageError: what no target could be built from.
    """
    sources.check(project.model.source)
    readers.check(project.data.representative)
    infos = [registry.target(name, project.build.runtime) for name in project.build.targets]
    registry.check_runtime(project.build.runtime, infos)
    for info in infos:
        if project.build.precision not in info.precisions:
            raise UsageError(
                f"The target '{info.label}' has no precision '{project.build.precision}'.",
                f"It has {', '.join(info.precisions)}.",
            )
    if len(infos) == 1:
        return [_run_one(project, infos[0], None, lane(""), force, debug)]
    return _run_several(project, infos, lane, force, debug, at_once or os.cpu_count() or 1)


def _run_several(
    project: Project,
    infos: list[TargetInfo],
    lane: Callable[[str], Listener],
    force: bool,
    debug: bool,
    at_once: int,
) -> list[Job]:
    """Ask the original once, then build the targets side by side, each in a process of its own."""
    with scratch_folder() as shared, folder(Path(project.build.out)):
        try:
            recorded = worker.run(
                pipeline.record,
                project,
                shared,
                env=_env(infos[0]),
                listener=lane(""),
                scratch=(shared,),
                debug=debug,
            )
        except EdgepackError as error:
            return [Job(info.label, project.build.precision, error=error) for info in infos]
        with ThreadPoolExecutor(at_once) as pool:
            futures = [
                pool.submit(_run_one, project, info, recorded, lane(info.label), force, debug, (shared,))
                for info in infos
            ]
            try:
                return [future.result() for future in futures]
            except BaseException:  # Ctrl-C, which threads do not get
                pool.shutdown(wait=False, cancel_futures=True)
                worker.end_all()
                raise


def _run_one(
    project: Project,
    info: TargetInfo,
    recorded: pipeline.Recorded | None,
    listener: Listener,
    force: bool,
    debug: bool,
    shared: tuple[Path, ...] = (),
) -> Job:
    job = Job(info.label, project.build.precision)

    def listen(event: Event) -> None:
        if isinstance(event, StepEnded):
            job.seconds[event.name] = round(event.seconds, 3)
        listener(event)

    name = bundle_name(project.name, project.model.version, info.name, info.runtime, project.build.precision)
    destination = Path(project.build.out) / name
    try:
        with reserve(destination, force) as place:
            built = worker.run(
                pipeline.build,
                project,
                info.name,
                place.workdir,
                place.staging,
                recorded,
                env=_env(info),
                listener=listen,
                scratch=(place.staging, place.workdir, *shared),
                debug=debug,
            )
            job.manifest, job.worst = built.manifest, built.worst
            if built.failures:
                job.path = _put_aside(place.staging, destination)
                job.error = _rejection(job, built.failures, info.precisions)
            else:
                job.path, job.zip_bytes = _ship(place.staging, destination, project.build.zip)
    except EdgepackError as error:
        job.error = error
    except OSError as error:
        job.error = UsageError(
            f"{error.strerror} ({error.filename}).", "Check permissions and the space left on the disk."
        )
    return job


def _env(target: TargetInfo) -> dict[str, str]:
    return {
        key: value
        for info in registry.frameworks()
        if info.form in target.forms
        for key, value in info.env.items()
    }


def _ship(staging: Path, destination: Path, as_zip: bool) -> tuple[Path, int | None]:
    """Publish the bundle, and its .zip; a .zip of the bundle that it replaces goes. Returns its path and the .zip's size."""
    archive = destination.with_name(f"{destination.name}.zip")
    packed = write_zip(staging, archive) if as_zip else None  # before publishing: a full disk stops both
    publish(staging, destination)
    if packed is None:
        archive.unlink(missing_ok=True)
        return destination, None
    os.replace(packed, archive)
    return destination, archive.stat().st_size


def _put_aside(staging: Path, destination: Path) -> Path:
    """Move a rejected bundle out of ``--out``, to ``<out>.rejected/``."""
    out = destination.parent if destination.parent.name not in ("", "..") else destination.parent.resolve()
    aside = out.parent / f"{out.name or 'out'}.rejected" / destination.name
    aside.parent.mkdir(parents=True, exist_ok=True)
    if aside.exists():
        shutil.rmtree(aside)
    shutil.move(staging, aside)
    return aside


def _decibels(sqnr: float) -> str:
    return "not finite" if sqnr <= -MAX_DB else f"{sqnr:.1f} dB"


def _rejection(job: Job, failures: tuple[str, ...], offered: tuple[Precision, ...]) -> GateError:
    worst = "".join(f"  {_decibels(layer.sqnr_db):>10}  {layer.name}\n" for layer in job.worst)
    closer = offered[offered.index(Precision(job.precision)) + 1 :]  # listed from the smallest to the closest
    other = " or ".join(closer[:2])
    return GateError(
        f"The gate was not met, so nothing was shipped: {'; '.join(failures)}.",
        f"See {job.path}/report.html."
        + (f" Try --precision {other}, or more samples as in real use." if other else ""),
        f"Worst layers, against float32:\n{worst}" if worst else "",
    )
