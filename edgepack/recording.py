"""The original, asked once for all that is made of it."""

from __future__ import annotations

from pathlib import Path

from . import frameworks, pipeline, worker
from .events import Listener
from .pipeline import Recorded
from .project import Project


def recorded(project: Project, shared: Path, listener: Listener, debug: bool) -> Recorded:
    """See pipeline.record; in a process of its own, which may write to the folder ``shared``. Raises EdgepackError."""
    return worker.run(
        pipeline.record,
        project,
        shared,
        env=frameworks.environment(),
        listener=listener,
        scratch=(shared,),
        debug=debug,
    )
