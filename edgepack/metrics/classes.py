"""``top1`` and ``top5``: is the label among the k classes with the largest scores?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UsageError
from ..spec import Array, Arrays
from .output import Answers, best, count_classes, label_of, numbers, pick, without


class TopK:
    """Percent of samples (of positions, where the output has more axes) whose label is among the ``k`` best classes.

    Of equal scores the first class counts as the better one, as argmax has it. One value a sample is a yes from 0.5 on.
    Without labels, the original's best class is the label.
    """

    def __init__(self, k: int, output: str = "") -> None:
        self._k, self._output, self._right, self._count = k, output, 0, 0

    def update(self, outputs: Arrays, label: Any) -> None:
        name = pick(outputs, self._output, f"top{self._k}")
        scores = outputs[name]
        classes = count_classes(scores)
        if self._k > 1 and (classes is None or classes <= self._k):
            raise UsageError(f"'{name}' has no more than {self._k} classes.", "Use top1.")
        wanted = (
            best(label[name]).ravel()
            if isinstance(label, Answers)
            else _indices(label_of(label, name), scores)
        )
        ranked = best(scores).reshape(-1, 1) if self._k == 1 else _first(scores, self._k)
        if len(wanted) != len(ranked):
            raise UsageError(
                f"there are {len(wanted)} labels for {len(ranked)} places in the output '{name}'.",
                "Give one class a sample, or one a position.",
            )
        if classes is not None and wanted.size and (wanted.min() < 0 or wanted.max() >= classes):
            raise UsageError(
                f"the label is class {wanted.max()}; the output '{name}' has classes 0 to {classes - 1}.",
                "Count classes from 0, in the order of the output, or name them and give --labels.",
            )
        self._right += int(np.sum(np.any(ranked == wanted[:, np.newaxis], axis=1)))
        self._count += len(wanted)

    def value(self) -> float:
        return 100 * self._right / self._count


def _indices(label: Any, scores: Array) -> Array:
    """A label's classes, one a place; what has the form of the scores is one-hot."""
    found = numbers(label)
    if count_classes(scores) and scores.shape[-1] > 1 and without(found.shape) == without(scores.shape):
        found = found.reshape(scores.shape).argmax(-1)
    found = found.ravel()
    if found.dtype.kind == "f" and not np.array_equal(found, np.rint(found)):
        raise UsageError(f"the label {label} is no class.", "For numbers to be met use mae.")
    return found.astype(np.int64)


def _first(scores: Array, k: int) -> Array:
    flat = scores.reshape(-1, scores.shape[-1])
    return np.argsort(-flat, axis=-1, kind="stable")[:, :k]
