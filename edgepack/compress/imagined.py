"""Photographs of classes that the samples do not show: changed ones, until the teacher sees the class in them.

A few photographs show little of what late layers tell apart; the teacher knows all of its classes. Along the gradient of a
class, at two scales, any photograph becomes one of it, for the teacher: Mordvintsev et al., Inceptionism, 2015. That such
pictures teach a student: Yin et al., Dreaming to Distill, 2020.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..events import Step
from ..spec import Array, Arrays
from . import augment
from .lesson import TOGETHER, Lesson
from .sensitivity import is_distribution
from .student import Student

COUNT = 256
"""How many pictures, of as many classes as there are."""

MEMORY = 2**28
"""Of all of them, in bytes."""

FIRST = 0x10000
"""Of the numbers of batches that become pictures: learning has those from 0 on."""

STEPS = 8
"""Along the gradient."""

SIZE = 0.03
"""Of the first step, at each scale: its root mean square, relative to the range of the photographs. The last is next to none."""

COARSE = 4
"""The coarser scale's pixels are so many wide: what holds over some pixels is less of a noise."""


def pictures(student: Student, folder: Path, step: Step, lesson: Lesson) -> list[Arrays]:
    """``COUNT`` of them, fewer if they are large; none where no input is a photograph or no output tells classes.

    Args:
        student: of the teacher that sees the classes.
        folder: keeps what was made, for a run that is stopped meanwhile, and for other budgets.
    """
    named = classes_of(map(student.teach, lesson.looks)) if lesson.photos else None
    if named is None:
        return []
    output, classes = named
    order = np.random.default_rng(0).permutation(classes)
    size = sum(each.nbytes for each in lesson.looks[0].values())
    count = max(1, min(COUNT, MEMORY // size))
    found: list[Arrays] = []
    while len(found) < count:
        path = folder / f"{len(found)}.npz"
        if not path.is_file():
            samples = lesson.batch(TOGETHER, FIRST + len(found))
            wanted = [int(each) for each in np.resize(np.roll(order, -len(found)), len(samples))]
            _write(turned(student, samples, lesson.photos, output, wanted), path)
        found += _read(path)
        step.tell(f"{classes:,} classes, pictures", len(found), count)
    return found[:count]


def classes_of(answers: Iterable[Arrays]) -> tuple[str, int] | None:
    """Which output tells the probabilities of classes, and of how many; None where none does."""
    answers = list(answers)
    for name, first in answers[0].items():
        if first.ndim == 2 and is_distribution(np.stack([each[name] for each in answers])):
            return name, first.shape[1]
    return None


def turned(
    student: Student,
    samples: Sequence[Arrays],
    photos: Mapping[str, str],
    output: str,
    classes: Sequence[int],
) -> list[dict[str, Array]]:
    """The samples, turned to a class each."""
    made = [dict(each) for each in samples]
    for step in range(STEPS):
        size = SIZE * (1 - step / STEPS)
        for own, gradients in zip(made, student.towards(made, output, classes), strict=True):
            for name, layout in photos.items():
                own[name] = _moved(own[name], gradients[name], layout, size)
    return made


def _moved(photo: Array, gradient: Array, layout: str, size: float) -> Array:
    """One step on, within the range that there is."""
    pixels, slope = augment.pixels(photo, layout), augment.pixels(gradient, layout)
    low, high = float(pixels.min()), float(pixels.max())
    parts = [each / max(float(np.sqrt(np.mean(each**2))), 1e-20) for each in (slope, _coarse(slope))]
    moved = pixels + size * (high - low) * sum(parts)
    return augment.array(np.clip(moved, low, high).astype(np.float32), layout)


def _coarse(pixels: Array) -> Array:
    """[height, width, channels] as it is on pixels ``COARSE`` times as wide."""
    height, width = pixels.shape[:2]
    few = (-(-width // COARSE), -(-height // COARSE))
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(plane, np.float32))
            .resize(few, Image.Resampling.BOX)
            .resize((width, height), Image.Resampling.BILINEAR)
        )
        for plane in np.moveaxis(pixels, -1, 0)
    ]
    return np.stack(planes, axis=-1)


def _write(samples: Sequence[Arrays], path: Path) -> None:
    partial = path.with_suffix(".partial")
    stacked: dict[str, Any] = {name: np.concatenate([each[name] for each in samples]) for name in samples[0]}
    with partial.open("wb") as file:
        np.savez(file, **stacked)
    partial.replace(path)


def _read(path: Path) -> list[Arrays]:
    with np.load(path, allow_pickle=False) as stacked:
        arrays = {name: stacked[name] for name in stacked.files}
    return [
        {name: array[index : index + 1] for name, array in arrays.items()}
        for index in range(len(next(iter(arrays.values()))))
    ]
