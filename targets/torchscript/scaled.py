"""The scales of equalised channels, kept in the file's notes so that its layers can be read as the model has them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgepack.precision.equalise import STEPS
from edgepack.spec import Array

KEY = "channel_scales"


@dataclass(frozen=True)
class Scaled:
    """Ops whose results are scaled alike, and layers that take it back.

    Attributes:
        made, read: their names.
        scales: what channels, the second axis, are multiplied by: fourths of powers of two.
    """

    made: tuple[str, ...]
    read: tuple[str, ...]
    scales: Array


@dataclass(frozen=True)
class Scales:
    """Of each op that has such: what its result's channels are multiplied by, and its inputs'."""

    made: Mapping[str, Array] = field(default_factory=dict)
    read: Mapping[str, Array] = field(default_factory=dict)


def noted(groups: Sequence[Scaled]) -> dict[str, object]:
    """What the notes say of them; nothing where there are none."""
    told = [
        [
            each.made,
            each.read,
            base64.b64encode(np.rint(STEPS * np.log2(each.scales)).astype(np.int8)).decode(),
        ]
        for each in groups
    ]
    return {KEY: told} if told else {}


def scales_in(notes: Mapping[str, Any]) -> Scales:
    """Raises ValueError, TypeError on damage."""
    made: dict[str, Array] = {}
    read: dict[str, Array] = {}
    for making, reading, stored in notes.get(KEY, ()):
        steps = np.frombuffer(base64.b64decode(stored), np.int8)
        values = np.exp2(steps / STEPS).astype(np.float32)
        made |= dict.fromkeys(making, values)
        read |= dict.fromkeys(reading, values)
    return Scales(made, read)
