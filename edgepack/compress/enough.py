"""Whether the closed form is enough, so that minutes of learning are spared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ..parity import Gate, Metrics, Threshold

BEST = {"max_abs": 0.0, "cosine": 1.0, "argmax_agreement": 1.0}


def is_enough(gate: Gate, outputs: Mapping[str, Metrics]) -> bool:
    """Whether outputs meet a gate with half of the error that it allows; lower precision will want the other half."""
    return not Gate(tuple(map(_halved, gate.thresholds))).failures(outputs)


def _halved(threshold: Threshold) -> Threshold:
    value, best = threshold.value, BEST.get(threshold.metric)
    return replace(threshold, value=value + 20 * math.log10(2) if best is None else (value + best) / 2)
