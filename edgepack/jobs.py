"""One job a target: reserve its place, run the pipeline in a worker, publish what passed, put aside what did not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import frameworks, latency, on_devices, pipeline, recording, sources, worker
from .agreement import pairwise
from .bundle import compose
from .bundle.manifest import AgreementEntry, Manifest, bundle_name
from .bundle.writer import Place, folder, put_aside, reserve, scratch_folder, seal, ship
from .checks import checked, is_recorded_first
from .devices.device import Device
from .errors import EdgepackError, UsageError
from .events import Event, Listener, StepEnded, StepStarted
from .parity import LayerParity
from .project import Project
from .registry import TargetInfo
from .rejection import rejection
from .spec import Asked


@dataclass
class Job:
    """What became of one target.

    Attributes:
        path: the published bundle, or the rejected one that was put aside.
        seconds: wall time of every step; ``total_seconds`` counts none that ran inside another.
        latency: of a bundle that was made smaller, before and after (see edgepack.latency).
    """

    target: str
    precision: Asked
    path: Path | None = None
    manifest: Manifest | None = None
    zip_bytes: int | None = None
    worst: tuple[LayerParity, ...] = ()
    error: EdgepackError | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0
    latency: dict[str, float] = field(default_factory=dict)

    @property
    def bytes(self) -> int | None:
        """Of all files of the bundle, the manifest aside."""
        return sum(file.bytes for file in self.manifest.files) if self.manifest else None


@dataclass(frozen=True)
class Outcome:
    """What became of a build: every target, and how far those that could be built agree with each other."""

    jobs: list[Job]
    agreements: tuple[AgreementEntry, ...]


def run(
    project: Project,
    lane: Callable[[str], Listener],
    force: bool = False,
    debug: bool = False,
    at_once: int | None = None,
) -> Outcome:
    """Build every target of the project, each in a process of its own; one that fails does not stop the others.

    Args:
        lane: who listens to a target's events; ``""`` is what all share, or the only one's.
        at_once: how many targets to build side by side; by default as many as there are processors.

    Raises:
        UsageError: what no target could be built from.
    """
    infos = checked(project)
    asked = on_devices.chosen(project.build.devices, infos)
    with ExitStack() as stack:
        stack.enter_context(folder(Path(project.build.out)))
        drafts = [_reserve(project, info, force, stack) for info in infos]
        recorded = None
        takers = [draft.info for draft in drafts if draft.job.error is None]
        if takers and is_recorded_first(project, takers):
            shared = stack.enter_context(scratch_folder())
            recorded = _record(project, drafts, shared, lane(""), debug)
        _build_all(project, drafts, recorded, lane, debug, at_once or os.cpu_count() or 1)
        _check_on_devices(drafts, asked, lane)
        agreements = _agree(drafts)
        _time(drafts, lane, debug)
        for draft in drafts:
            _finish(project, draft)
    return Outcome([draft.job for draft in drafts], agreements)


@dataclass
class _Draft:
    """A job under way: its reserved place, and what was built there."""

    info: TargetInfo
    job: Job
    destination: Path
    place: Place | None = None
    built: pipeline.Built | None = None


def _reserve(project: Project, info: TargetInfo, force: bool, stack: ExitStack) -> _Draft:
    name = bundle_name(project.name, project.model.version, info.name, info.runtime, project.build.precision)
    draft = _Draft(info, Job(info.label, project.build.precision), Path(project.build.out) / name)
    with _noting(draft.job):
        sources.check_form(project.model.source, info)
        draft.place = stack.enter_context(reserve(draft.destination, force))
    return draft


@contextmanager
def _noting(job: Job) -> Iterator[None]:
    """An error ends this job, and no other."""
    try:
        yield
    except EdgepackError as error:
        job.error = error
    except OSError as error:
        job.error = UsageError(
            f"{error.strerror} ({error.filename}).", "Check permissions and the space left on the disk."
        )


def _record(
    project: Project, drafts: list[_Draft], shared: Path, listener: Listener, debug: bool
) -> pipeline.Recorded | None:
    """Ask the original, once for all targets; where it cannot be asked, that is the error of each."""
    try:
        return recording.recorded(project, shared, listener, debug)
    except EdgepackError as error:
        for draft in drafts:
            draft.job.error = draft.job.error or error
        return None


def _build_all(
    project: Project,
    drafts: list[_Draft],
    recorded: pipeline.Recorded | None,
    lane: Callable[[str], Listener],
    debug: bool,
    at_once: int,
) -> None:
    """Each in a process of its own, so many of them at a time."""
    called_off = threading.Event()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            futures = [
                pool.submit(
                    _build,
                    project,
                    draft,
                    recorded,
                    lane(draft.job.target if len(drafts) > 1 else ""),
                    debug,
                    called_off,
                )
                for draft in drafts
                if draft.job.error is None
            ]
            for future in futures:
                future.result()
        except BaseException:  # Ctrl-C, which threads do not get
            pool.shutdown(wait=False, cancel_futures=True)
            called_off.set()
            worker.end_all()
            raise


def _build(
    project: Project,
    draft: _Draft,
    recorded: pipeline.Recorded | None,
    listener: Listener,
    debug: bool,
    called_off: threading.Event,
) -> None:
    job, place = draft.job, draft.place
    assert place is not None  # else there is an error, and no building
    shared = (recorded.golden.path.parent,) if recorded else ()

    with _noting(job):
        draft.built = worker.run(
            pipeline.build,
            project,
            draft.info.name,
            place.workdir,
            place.staging,
            recorded,
            env=frameworks.environment(draft.info.forms),
            listener=timing(job, listener),
            scratch=(place.staging, place.workdir, *shared),
            debug=debug,
            called_off=called_off,
        )
        job.manifest, job.worst = draft.built.manifest, draft.built.worst


def timing(job: Job, listener: Listener) -> Listener:
    """Notes how long every step takes, all its runs together, and passes events on; one inside another adds nothing to the total."""
    under_way = 0

    def listen(event: Event) -> None:
        nonlocal under_way
        if isinstance(event, StepStarted):
            under_way += 1
        if isinstance(event, StepEnded):
            under_way -= 1
            job.total_seconds += 0.0 if under_way else event.seconds
            job.seconds[event.name] = round(job.seconds.get(event.name, 0.0) + event.seconds, 3)
        listener(event)

    return listen


def _check_on_devices(
    drafts: list[_Draft], asked: tuple[Device, ...], lane: Callable[[str], Listener]
) -> None:
    """Hold what passed here to the same gate on the devices that were asked for."""
    for draft in drafts:
        if (
            asked
            and draft.place is not None
            and draft.built is not None
            and not draft.built.manifest.gate.failures
        ):
            label = lane(draft.job.target if len(drafts) > 1 else "")
            with _noting(draft.job):
                listener = timing(draft.job, label)
                found = on_devices.check(
                    asked, draft.info, draft.place.staging, draft.built.manifest, listener
                )
                manifest = draft.built.manifest
                gate = manifest.gate.model_copy(
                    update={"passed": not found.failures, "failures": found.failures}
                )
                parity = {**manifest.parity, **found.parity}
                _rewrite(draft, manifest.model_copy(update={"gate": gate, "parity": parity}))


def _agree(drafts: list[_Draft]) -> tuple[AgreementEntry, ...]:
    """Compare every two bundles, and put the table into each."""
    built = {draft.job.target: draft.built for draft in drafts if draft.built is not None}
    agreements = tuple(
        AgreementEntry(
            targets=each.targets,
            outputs={name: compose.metrics_entry(metrics) for name, metrics in each.outputs.items()},
        )
        for each in pairwise({target: each.answers for target, each in built.items()})
    )
    for draft in drafts:
        if agreements and draft.built is not None:
            with _noting(draft.job):
                _rewrite(draft, draft.built.manifest.model_copy(update={"agreements": agreements}))
    return agreements


def _time(drafts: list[_Draft], lane: Callable[[str], Listener], debug: bool) -> None:
    """Ask each bundle that was made smaller how fast it is; one after the other, when nothing else is under way."""
    for draft in drafts:
        if draft.built is not None and draft.built.race is not None and draft.job.error is None:
            listener = timing(draft.job, lane(draft.job.target if len(drafts) > 1 else ""))
            with _noting(draft.job):
                draft.job.latency = latency.measure(draft.built.race, listener, debug)


def _rewrite(draft: _Draft, manifest: Manifest) -> None:
    """Seal the bundle again, with what has come to be known, in its manifest and in its report."""
    assert draft.place is not None  # or nothing could have been built
    assert draft.built is not None
    compose.rewrite(draft.place.staging, draft.built.report, manifest)
    draft.job.manifest = seal(draft.place.staging, manifest)
    draft.built = replace(draft.built, manifest=draft.job.manifest)


def _finish(project: Project, draft: _Draft) -> None:
    """Publish what passed, put aside what did not."""
    if draft.place is None or draft.built is None or draft.job.error is not None:
        return
    with _noting(draft.job):
        failures = draft.built.manifest.gate.failures
        if failures:
            draft.job.path = put_aside(draft.place.staging, draft.destination)
            draft.job.error = rejection(draft.job.path, draft.built, draft.info.precisions)
        else:
            draft.job.path, draft.job.zip_bytes = ship(
                draft.place.staging, draft.destination, project.build.zip
            )
