"""What a labelled set looks like that does not fit the model, though its shapes do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from ..events import warn
from ..records import Records
from ..spec import Signature
from .metric import Asked

RANGE_SAMPLES = 20
RANGE_RATIO = 20
"""So many samples tell whether a labelled set is scaled as the others are; pixels in 0..1 and in 0..255 are not."""


def compare_ranges(usual: Records, own: Records) -> None:
    """Warn of inputs that are not scaled as the samples are."""
    for name in (each.name for each in own.fields):
        largest = [
            max(float(np.abs(arrays[name]).max(initial=0)) for arrays in islice(records, RANGE_SAMPLES))
            for records in (usual, own)
        ]
        if 0 < RANGE_RATIO * min(largest) < max(largest):
            warn(
                f"In the input '{name}' values of the evaluation set reach {largest[1]:g}, those of the samples "
                f"{largest[0]:g}: are both prepared as the model wants them?"
            )


def compare_with_chance(asked: Sequence[Asked], found: Mapping[str, float], signature: Signature) -> None:
    """Warn where labels look as if they were in another order than the outputs."""
    for each in asked:
        sizes = [
            spec.static_shape[-1]
            for spec in signature.outputs
            if spec.shape and each.output in ("", spec.name)
        ]
        if each.name == "top1" and sizes and sizes[0] > 1 and found["top1"] < 200 / sizes[0]:
            warn(
                f"The original is hardly better than chance, top1 {found['top1']:.4g}: are the labels in the order of its "
                "output, and the inputs prepared as it wants them?"
            )
