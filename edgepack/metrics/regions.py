"""``miou``: do the regions of a segmentation cover those of the mask?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UsageError
from ..spec import Array, Arrays
from .output import Answers, best, count_classes, label_of, numbers, pick, without

IGNORED = 255
"""What masks have where they say nothing (Pascal VOC); of two classes it is the second: masks in black and white."""


class RegionOverlap:
    """Intersection over union of each class, over all pixels of all samples together; the mean of the classes that either
    the masks or the outputs have, in percent (Everingham et al., 2015).

    A mask holds the class of every pixel, (H, W). One of another size is brought to the output's, by the nearest pixel.
    """

    def __init__(self, output: str = "") -> None:
        self._output, self._confusion = output, np.zeros((0, 0), np.int64)

    def update(self, outputs: Arrays, label: Any) -> None:
        name = pick(outputs, self._output, "miou")
        scores = outputs[name]
        if isinstance(label, Answers):
            found, wanted = _regions(scores, name), _regions(label[name], name)
        else:
            mask = _mask(label_of(label, name))
            found = _regions(scores, name, mask.shape)
            wanted = _resized(mask, found.shape)
        classes = (
            _classes(scores, found, name)
            or int(max(found.max(), wanted[wanted != IGNORED].max(initial=0))) + 1
        )
        if classes == 2:
            wanted = np.where(wanted == IGNORED, 1, wanted)
        told = wanted != IGNORED
        if told.any() and int(wanted[told].max()) >= classes:
            raise UsageError(
                f"the mask has class {int(wanted[told].max())}; the output '{name}' has classes 0 to {classes - 1}.",
                f"Masks hold the index of a class, {IGNORED} where there is none.",
            )
        self._add(wanted[told].astype(np.int64), found[told].astype(np.int64), classes)

    def _add(self, wanted: Array, found: Array, classes: int) -> None:
        if classes > len(self._confusion):
            more = classes - len(self._confusion)
            self._confusion = np.pad(self._confusion, (0, more))
        size = len(self._confusion)
        self._confusion += np.bincount(wanted * size + found, minlength=size * size).reshape(size, size)

    def value(self) -> float:
        both = np.diag(self._confusion)
        either = self._confusion.sum(0) + self._confusion.sum(1) - both
        if not either.any():
            raise UsageError("no mask says anything of any pixel.", "Masks hold the index of a class.")
        return float(100 * np.mean(both[either > 0] / either[either > 0]))


def _mask(label: Any) -> Array:
    mask = numbers(label)
    mask = mask.reshape(without(mask.shape)) if mask.ndim > 2 else mask
    if mask.ndim != 2:
        raise UsageError(
            f"the label has the shape {np.shape(label)}, and is no mask.", "Give (H, W) class indices."
        )
    return mask


def _channel_axis(scores: Array, mask: tuple[int, ...] | None) -> int | None:
    """Where the classes are in (H, W, C) or (C, H, W): the mask's shape tells, else the smallest axis; ``None`` without."""
    if scores.ndim == 2:
        return None
    if mask and scores.shape[1:] == mask != scores.shape[:2]:
        return 0
    if mask and scores.shape[:2] == mask:
        return 2
    return 0 if scores.shape[0] < scores.shape[2] else 2


def _image(scores: Array, name: str) -> Array:
    image = scores[0] if scores.ndim > 2 and scores.shape[0] == 1 else scores
    if scores.ndim < 3 or image.ndim not in (2, 3):
        raise UsageError(
            f"the output '{name}' has the shape {scores.shape}, and is no segmentation.",
            "It is (1, H, W, classes).",
        )
    return image


def _regions(scores: Array, name: str, mask: tuple[int, ...] | None = None) -> Array:
    """The class of every pixel, (H, W)."""
    image = _image(scores, name)
    axis = _channel_axis(image, mask)
    return best(image[..., np.newaxis] if axis is None else np.moveaxis(image, axis, -1))


def _classes(scores: Array, found: Array, name: str) -> int | None:
    image = _image(scores, name)
    return None if count_classes(scores) is None else max(2, image.size // found.size)


def _resized(mask: Array, shape: tuple[int, ...]) -> Array:
    rows, columns = ((np.arange(n) * 2 + 1) * m // (2 * n) for n, m in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]
