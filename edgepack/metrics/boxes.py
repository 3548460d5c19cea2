"""``map``: are the objects found, and where they are?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from ..spec import Array, Arrays
from .output import Answers, numbers

OVERLAP = 0.5
"""From this intersection over union on, a box is found."""

CERTAIN = 0.5
"""From this score on, a box of the original counts as an object, where there are no labels."""

MOST = 300
"""So many boxes of a sample count, those with the best scores."""

FORMS = (
    "Outputs: boxes (N, 4) with scores (N) or (N, classes), and classes (N); or one of (N, 6): box, score, class. "
    "A box is two corners. Else write a metric of your own."
)


@dataclass(frozen=True)
class Boxes:
    """Corners (N, 4), scores (N,) and classes (N,)."""

    corners: Array
    scores: Array
    classes: Array

    def where(self, chosen: Array) -> Boxes:
        return Boxes(self.corners[chosen], self.scores[chosen], self.classes[chosen])


class BoxPrecision:
    """Mean average precision at an intersection over union of 0.5, over all classes that the labels have, in percent; the
    area under the precision-recall curve at every recall (Everingham et al., 2010 and later).

    Labels are arrays of (M, 4) corners, or (M, 5) with the class behind them, in the unit and order of the output's. Without
    labels the original's boxes with a score of 0.5 or more are the objects.
    """

    def __init__(self, output: str = "") -> None:
        self._output = output
        self._objects: dict[int, int] = {}
        self._found: dict[int, list[tuple[float, bool]]] = {}

    def update(self, outputs: Arrays, label: Any) -> None:
        found = detected(outputs, self._output)
        if isinstance(label, Answers):
            original = detected(label, self._output)
            objects = original.where(original.scores >= CERTAIN)
        else:
            objects = _labelled(label)
        for each in np.unique(objects.classes):
            self._objects[int(each)] = self._objects.get(int(each), 0) + int(np.sum(objects.classes == each))
        for each in np.unique(found.classes):
            own = found.where(found.classes == each)
            hits = _matched(own.corners, objects.corners[objects.classes == each])
            self._found.setdefault(int(each), []).extend(zip(own.scores.tolist(), hits, strict=True))

    def value(self) -> float:
        if not self._objects:
            raise UsageError(
                f"there is not one object, by the labels or by the original's scores of {CERTAIN} or more.",
                "Give samples with objects in them.",
            )
        return float(
            100 * np.mean([_area(self._found.get(each, []), count) for each, count in self._objects.items()])
        )


def detected(outputs: Arrays, name: str = "") -> Boxes:
    """The boxes of one sample, best first, of scores above 0. Raises UsageError where the outputs are of another form."""
    arrays = {
        key: np.squeeze(value, 0) if value.ndim > 1 and value.shape[0] == 1 else value
        for key, value in outputs.items()
    }
    if name:
        arrays = {key: value for key, value in arrays.items() if key == name}
    whole = [value for value in arrays.values() if value.ndim == 2 and value.shape[1] == 6]
    if len(arrays) == len(whole) == 1:
        boxes = Boxes(whole[0][:, :4], whole[0][:, 4], np.rint(whole[0][:, 5]).astype(np.int64))
    else:
        boxes = _apart(arrays)
    order = np.argsort(-boxes.scores, kind="stable")[:MOST]
    return boxes.where(order[boxes.scores[order] > 0])


def _apart(arrays: dict[str, Array]) -> Boxes:
    """Boxes whose corners, scores and classes are outputs of their own: told by shape, and by name where that is not enough."""
    corners = [key for key, value in arrays.items() if value.ndim == 2 and value.shape[1] == 4]
    if len(corners) > 1:
        corners = [key for key in corners if "box" in key.lower()]
    if len(corners) != 1:
        raise UsageError(f"which of the outputs {', '.join(arrays)} are boxes cannot be told.", FORMS)
    count = len(arrays[corners[0]])
    rest = {
        key: value
        for key, value in arrays.items()
        if key != corners[0] and value.shape[:1] == (count,) and value.ndim <= 2
    }
    tables = [key for key, value in rest.items() if value.ndim == 2 and value.shape[1] > 1]
    if len(tables) == 1:
        scores = rest[tables[0]]
        return Boxes(arrays[corners[0]], scores.max(1), scores.argmax(1))
    flat = {key: value.reshape(count) for key, value in rest.items() if value.size == count}
    named = {
        part: [key for key in flat if any(word in key.lower() for word in words)]
        for part, words in _WORDS.items()
    }
    scores_of = named["scores"] if len(flat) > 1 else list(flat)
    if len(scores_of) != 1 or len(named["classes"]) > 1:
        raise UsageError(f"which of the outputs {', '.join(arrays)} are scores cannot be told.", FORMS)
    classes = flat[named["classes"][0]] if named["classes"] else np.zeros(count)
    return Boxes(arrays[corners[0]], flat[scores_of[0]], np.rint(classes).astype(np.int64))


_WORDS = {"scores": ("score", "prob", "conf"), "classes": ("class", "label", "categor")}


def _labelled(label: Any) -> Boxes:
    table = numbers(label).astype(np.float64)
    table = table.reshape(-1, table.shape[-1] if table.ndim and table.size else 4)
    if table.shape[1] not in (4, 5):
        raise UsageError(
            f"the label has the shape {np.shape(label)}.", "Give (M, 4) corners, or (M, 5) with the class."
        )
    classes = table[:, 4].astype(np.int64) if table.shape[1] == 5 else np.zeros(len(table), np.int64)
    return Boxes(table[:, :4], np.ones(len(table)), classes)


def _matched(found: Array, objects: Array) -> list[bool]:
    """For boxes (N, 4), best first, whether each finds one of the objects (M, 4) that none before it has found."""
    free, hits = np.ones(len(objects), bool), []
    overlaps = _overlaps(found, objects)
    for row in overlaps:
        row = np.where(free, row, 0)
        hit = bool(row.size) and float(row.max()) >= OVERLAP
        if hit:
            free[row.argmax()] = False
        hits.append(hit)
    return hits


def _overlaps(one: Array, other: Array) -> Array:
    """Intersection over union of every box of one with every of the other, (N, M)."""
    a, b = one[:, np.newaxis].astype(np.float64), other[np.newaxis].astype(np.float64)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared = sides[..., 0] * sides[..., 1]
    areas = [np.prod(np.clip(box[..., 2:] - box[..., :2], 0, None), axis=-1) for box in (a, b)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-12))


def _area(found: list[tuple[float, bool]], objects: int) -> float:
    """Average precision of one class: its boxes (score, hit) and the number of objects there are."""
    hits = np.array([hit for _, hit in sorted(found, key=lambda each: -each[0])], np.float64)
    if not hits.any():
        return 0.0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(envelope * hits) / objects)
