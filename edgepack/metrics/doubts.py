"""What a labelled set looks like that does not fit the model, though its shapes do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from ..events import warn
from ..records import Records
from ..spec import Signature
from .metric import BUILT_IN, Asked
from .request import Bound

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


def compare_with_count(bounds: Sequence[Bound], count: int, signature: Signature) -> None:
    """Warn of bounds on a share of samples that one of them breaks."""
    one = 100 / count
    if any(len(spec.shape) > 2 for spec in signature.outputs):
        return  # top1 may count places, of which a sample has many
    for bound in bounds:
        of_classes = bound.metric in BUILT_IN and BUILT_IN[bound.metric].of_classes
        if bound.change and of_classes and 0 < bound.value < one:
            warn(
                f"One of {count} samples is {one:.2g} points of {bound.metric}, so {bound} lets none of them change: "
                "give more labelled samples, or ask for less."
            )
