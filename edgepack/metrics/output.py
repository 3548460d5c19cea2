"""Which output a built-in metric looks at, and what it holds against it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..errors import UsageError
from ..spec import Array, Arrays


class Answers(dict[str, Array]):
    """The original's outputs for a sample, in place of a label that nobody gave."""


def pick(outputs: Arrays, name: str, metric: str) -> str:
    """The name of the output to look at: the one asked for, or the only one. Raises UsageError."""
    names = list(outputs)
    if name and name not in names:
        near = get_close_matches(name, names, 1)
        raise UsageError(
            f"the model has no output '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            f"Its outputs: {', '.join(names)}.",
        )
    if not name and len(names) > 1:
        raise UsageError(
            f"the model has the outputs {', '.join(names)}.", f"Say which: --metric {metric}:{names[0]}."
        )
    return name or names[0]


def label_of(label: Any, name: str) -> Any:
    """What a label says of one output: labels by output name, and the original's answers, are taken apart."""
    return label[name] if isinstance(label, dict) and name in label else label


def numbers(label: Any) -> Array:
    """A label as numbers. Raises UsageError."""
    array = np.asarray(label)
    if array.dtype.kind not in "fiub":
        raise UsageError(f"the label {label!r:.60} is no number.", "Give numbers, or an array of them.")
    if not np.isfinite(array).all():
        raise UsageError("the label has NaN or infinite values.", "Leave the sample out, or mend it.")
    return array


def best(scores: Array) -> Array:
    """The class along the last axis: the first of the largest, or, of one value a place, whether it is 0.5 or more.

    Integers are classes already, as of a model that ends with argmax.
    """
    if scores.dtype.kind in "iub":
        return scores[..., 0] if scores.ndim > 1 and scores.shape[-1] == 1 else scores
    if scores.shape[-1] == 1:
        return (scores[..., 0] >= 0.5).astype(np.int64)
    return np.asarray(scores.argmax(-1))


def count_classes(scores: Array) -> int | None:
    """How many classes scores are for; ``None`` where they are classes already."""
    return None if scores.dtype.kind in "iub" else max(2, scores.shape[-1])


def without(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without its axes of one: a batch, a single channel."""
    return tuple(size for size in shape if size != 1)
