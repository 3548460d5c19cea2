"""``mae``: how far are the numbers off?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UsageError
from ..spec import Arrays
from .output import label_of, numbers, pick, without


class MeanError:
    """The mean absolute difference of all values of an output from the label's, or the original's, in the output's unit."""

    def __init__(self, output: str = "") -> None:
        self._output, self._sum, self._count = output, 0.0, 0

    def update(self, outputs: Arrays, label: Any) -> None:
        name = pick(outputs, self._output, "mae")
        found, wanted = outputs[name].astype(np.float64), numbers(label_of(label, name))
        if without(found.shape) != without(wanted.shape):
            raise UsageError(
                f"the label has the shape {wanted.shape}, the output '{name}' {found.shape}.",
                "Give as many numbers as the output has; for another unit or a part of it write a metric of your own.",
            )
        self._sum += float(np.sum(np.abs(found.ravel() - wanted.ravel())))
        self._count += found.size

    def value(self) -> float:
        return self._sum / self._count
