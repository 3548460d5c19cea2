"""Metrics over samples, and errors that say at which sample they happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from ..errors import EdgepackError, UsageError
from ..spec import Arrays
from ..usercode import user_frames
from .metric import Asked, Metric


def measure(
    asked: Sequence[Asked], outputs: Iterable[Arrays], labels: Iterable[tuple[str, Any]], whose: str
) -> dict[str, float]:
    """The metrics over all samples. Raises UsageError, ModelError that name the metric and the sample."""
    metrics: list[tuple[Asked, Metric]] = [(each, each.make()) for each in asked]
    for found, (sample, label) in zip(outputs, labels, strict=True):
        for each, metric in metrics:
            with _said(f"The metric {each}, {whose} on {sample}", each):
                metric.update(found, label)
    values = {}
    for each, metric in metrics:
        with _said(f"The metric {each}, {whose} over all samples", each):
            values[each.name] = metric.value()
            if not math.isfinite(values[each.name]):
                raise UsageError(f"it is {values[each.name]}.", "Look for NaN in the outputs or the labels.")
    return values


def finite(
    outputs: Iterable[Arrays],
    samples: Iterable[str],
    whose: str,
    refusal: Callable[[str, str], EdgepackError],
) -> Iterator[Arrays]:
    """The outputs, as long as they are numbers: of NaN, argmax makes a class. Raises what ``refusal`` makes of message and hint.

    Args:
        samples: what each is called.
    """
    for found, sample in zip(outputs, samples):  # noqa: B905 (names may go on for ever)
        for name, values in found.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise refusal(
                    f"{whose} answers NaN or infinity in '{name}' to {sample} of the evaluation set.",
                    "Look at that sample: is it prepared as the model wants it?",
                )
        yield found


@contextmanager
def _said(doing: str, asked: Asked) -> Iterator[None]:
    """An error with the metric and the sample in front; what the user's code raises, with their traceback."""
    try:
        with user_frames(doing) if asked.reference else nullcontext():
            yield
    except UsageError as error:
        raise UsageError(f"{doing}: {error.message}", error.hint) from error
