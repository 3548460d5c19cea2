"""What is wrong with a project that can be told before anything heavy starts."""

from __future__ import annotations

from collections.abc import Sequence

from . import readers, registry, sources
from .errors import UsageError
from .metrics import evaluation
from .project import Project
from .registry import TargetInfo
from .spec import AUTO


def checked(project: Project) -> list[TargetInfo]:
    """The project's targets. Raises UsageError: what no target could be built from."""
    sources.check(project.model.source)
    readers.check(project.data.representative)
    evaluation.check(project.evaluation)
    infos = [registry.target(name, project.build.runtime) for name in project.build.targets]
    registry.check_runtime(project.build.runtime, infos)
    asked = project.build.precision
    for info in infos:
        if asked not in (AUTO, *info.precisions):
            raise UsageError(
                f"The target '{info.label}' has no precision '{asked}'.",
                f"It has {', '.join(info.precisions)}, and {AUTO}.",
            )
    if project.build.take is not None and asked != AUTO:
        raise UsageError(
            "There is a point to take, but no search that has points.",
            "Add --precision auto, or leave --take out.",
        )
    return infos


def is_recorded_first(project: Project, infos: Sequence[TargetInfo]) -> bool:
    """Whether the original is asked in a process of its own: for several targets, or in another framework than the target's."""
    elsewhere = (sources.is_asked_elsewhere(project.model.source, info.forms) for info in infos)
    return len(infos) > 1 or any(elsewhere)
