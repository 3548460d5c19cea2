"""Learning from the original, for as long as it may take: the loop; each step is the framework's (see student).

The rate falls as a cosine: Loshchilov and Hutter, SGDR, 2017.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .. import parity
from ..events import Step, warn
from ..spec import Array, Arrays
from . import sensitivity
from .lesson import Lesson
from .student import Student

BATCH = 16
RATE = 1e-2
"""By what share a step may move the outputs, at the highest: Adam's rate is this times ``spans``."""

NARROWEST = 1e-3
"""What weights count as at least, so that zeros can become something."""

WARM_UP = 0.03
"""The share of the time in which the rate rises."""

LOOKS = 30
"""So many times, evenly over the time, the student is looked at and a checkpoint is written; more often where a kill would
lose more than ``LOOK_SECONDS``."""

LOOK_SECONDS = 30.0

PATIENCE = 4
"""After so many looks that brought nothing, learning goes on from the best student at a lower rate."""

FALL = 4.0
"""By how much the rate falls then."""

FALLS = 2
"""After so many falls in a row that brought nothing either, it ends."""


@dataclass
class Progress:
    """What a run that goes on needs to know.

    Attributes:
        seconds: spent on learning, in this run and those before it.
        error: the answers' to the looks (see sensitivity.distance) of the best student so far; the start is one.
        agreement: of the best.
        idle: looks since the best.
        falls: of the rate, as nothing came of it, in all.
    """

    seconds: float = 0.0
    steps: int = 0
    error: float = math.inf
    agreement: float = 0.0
    idle: int = 0
    falls: int = 0


def distil(student: Student, lesson: Lesson, seconds: float, folder: Path, step: Step) -> Progress:
    """Let the student learn, and leave it as it was at its best.

    The error on the trials (see lesson) decides, as their agreement is too coarse: one of 40 samples is 2.5 %. A run that was killed goes on
    from its last checkpoint in ``folder``, at most ``LOOK_SECONDS`` and a step old.

    Args:
        seconds: at most, in all runs together.
    """
    best = folder / "best.state"
    taught = [student.teach(inputs) for inputs in lesson.trials]

    def look() -> None:
        answers = [student(inputs) for inputs in lesson.trials]
        error = sensitivity.distance(answers, taught)
        progress.idle += 1
        if progress.steps == 0 or error < progress.error:
            progress.error, progress.agreement, progress.idle = error, agreement(answers, taught), 0
            student.save(best)

    progress = _resumed(student, folder)
    if progress.steps == 0:
        look()
    looked, every = progress.seconds, min(LOOK_SECONDS, seconds / LOOKS)
    while progress.seconds < seconds and progress.idle < PATIENCE * (1 + FALLS):
        start = time.monotonic()
        batch = lesson.batch(BATCH, progress.steps)
        loss = student.learn(batch, rate(progress.seconds / seconds) / FALL**progress.falls)
        if not math.isfinite(loss):
            warn(f"Learning gave {loss} at step {progress.steps}; the best student so far is kept.")
            break
        progress.steps += 1
        progress.seconds += time.monotonic() - start
        if progress.seconds - looked < every and progress.seconds < seconds:
            continue
        start = time.monotonic()
        look()
        if progress.idle and progress.idle % PATIENCE == 0:
            student.restore(best)
            progress.falls += 1
        student.save(folder / "now.state")
        progress.seconds += time.monotonic() - start
        looked = progress.seconds
        _write(progress, folder)
        step.tell(f"{100 * progress.agreement:.1f} % agree", int(progress.seconds), int(seconds))
    student.restore(best)
    return progress


def spans(moved: Sequence[Array]) -> list[float]:
    """What the rate is relative to for each of what is moved, so that one rate is right for a wide and deep model and a small.

    A step of Adam moves all of them in line with the gradient; by a share r of each of n inputs' weights, it moves the sum of
    these by up to r times the square root of n, and so does every array (Yang and Hu, Tensor Programs V, 2022, scale so by
    width). Weights count by the root mean square of those that are not zero.

    Args:
        moved: weights [out, ...], and vectors.
    """
    return [_size(values) / math.sqrt(max(1, _inputs(values))) / len(moved) for values in moved]


def _size(values: Array) -> float:
    moving = values[values != 0].astype(np.float64)
    return max(NARROWEST, float(np.sqrt(np.mean(moving**2)))) if moving.size else NARROWEST


def _inputs(values: Array) -> int:
    return int(values.size // len(values)) if values.ndim > 1 else values.size


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
