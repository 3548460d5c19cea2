"""Learning from the original, for as long as it may take: the loop; each step is the framework's (see student).

The rate falls as a cosine: Loshchilov and Hutter, SGDR, 2017.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import parity
from ..events import Step, warn
from ..spec import Arrays
from . import sensitivity
from .lesson import Lesson
from .student import Student

BATCH = 16
RATE = 1e-4
"""Adam's, at its highest. The closed form is a good start: ten times as much spoils it (EfficientNet-Lite0)."""

WARM_UP = 0.03
"""The share of the time in which the rate rises."""

LOOK_SECONDS = 30.0
"""How often the student is asked for its agreement, and a checkpoint is written."""


@dataclass(frozen=True)
class Score:
    """How a student stands; the larger the better, agreement first."""

    agreement: float
    closeness: float

    def __gt__(self, other: Score) -> bool:
        return (self.agreement, self.closeness) > (other.agreement, other.closeness)


@dataclass
class Progress:
    """What a run that goes on needs to know.

    Attributes:
        seconds: spent on learning, in this run and those before it.
        best: of those that were looked at; the start is one of them.
    """

    seconds: float = 0.0
    steps: int = 0
    agreement: float = -1.0
    closeness: float = -math.inf

    @property
    def best(self) -> Score:
        return Score(self.agreement, self.closeness)


def distil(student: Student, lesson: Lesson, seconds: float, folder: Path, step: Step) -> Progress:
    """Let the student learn, and leave it as it was at its best.

    A run that was killed goes on from its last checkpoint in ``folder``, at most ``LOOK_SECONDS`` and a step old.

    Args:
        seconds: for learning, in all runs together; looking takes some more.
    """
    best = folder / "best.state"
    taught = [student.teach(inputs) for inputs in lesson.looks]

    def look() -> None:
        answers = [student(inputs) for inputs in lesson.looks]
        found = Score(agreement(answers, taught), -sensitivity.distance(answers, taught))
        if found > progress.best:
            progress.agreement, progress.closeness = found.agreement, found.closeness
            student.save(best)

    progress = _resumed(student, folder)
    if progress.steps == 0:
        look()
    looked = progress.seconds
    while progress.seconds < seconds:
        start = time.monotonic()
        batch = lesson.batch(BATCH, progress.steps)
        loss = student.learn(batch, rate(progress.seconds / seconds))
        if not math.isfinite(loss):
            warn(f"Learning gave {loss} at step {progress.steps}; the best student so far is kept.")
            break
        progress.steps += 1
        progress.seconds += time.monotonic() - start
        if progress.seconds - looked >= LOOK_SECONDS or progress.seconds >= seconds:
            looked = progress.seconds
            look()
            student.save(folder / "now.state")
            _write(progress, folder)
            step.tell(f"{100 * progress.agreement:.1f} % agree", int(progress.seconds), int(seconds))
    student.restore(best)
    return progress


def agreement(answers: Iterable[Arrays], taught: Iterable[Arrays]) -> float:
    """Of answers with the teacher's (see parity)."""
    return parity.agreement(parity.compare(answers, taught))


def rate(share: float) -> float:
    """Adam's, when this share of the time is over."""
    if share < WARM_UP:
        return RATE * (0.1 + 0.9 * share / WARM_UP)
    return RATE * (0.5 + 0.5 * math.cos(math.pi * min(1.0, share)))


def _write(progress: Progress, folder: Path) -> None:
    partial = folder / "progress.partial"
    partial.write_text(json.dumps(asdict(progress)))
    partial.replace(folder / "progress.json")


def _resumed(student: Student, folder: Path) -> Progress:
    try:
        progress = Progress(**json.loads((folder / "progress.json").read_text()))
        student.restore(folder / "now.state")
    except (OSError, ValueError, TypeError, RuntimeError):  # none, or one of another version
        return Progress()
    return progress
