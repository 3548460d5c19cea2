"""Scales of channels, so that activations with one step for all channels lose least.

A channel that is multiplied where it is made and divided where it is read computes the same. Where values have one step
for the whole tensor, a quiet channel gains by being multiplied; where the weights that read it have one step for all
channels, they lose by being divided. What is gained and lost is known in closed form.
Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction, 2019, section 4.1; the compromise
between activations and weights by an exponent is that of Xiao et al., SmoothQuant, 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spec import Array

EXPONENTS = (0.25, 0.5, 0.75, 1.0)
MOST = 16.0
"""By how much a channel is multiplied at most: one that is silent on these samples need not be on others."""

HEADROOM = 1.5
"""How far below the loudest channel a multiplied one stays: of all channels one or another is louder on other samples."""

STEPS = 4
"""Scales there are from one power of two to the next."""


@dataclass(frozen=True)
class Values:
    """What a tensor of the group holds, by channel.

    Attributes:
        peak: the greatest absolute value, [channels].
        power: the mean square, [channels].
    """

    peak: Array
    power: Array


@dataclass(frozen=True)
class Reader:
    """A layer that reads the group: its input, and its weights, [out, places, channels].

    Attributes:
        shared: whether a row of weights, all that makes one output, has one step; else (depthwise) every channel has.
    """

    values: Values
    weight: Array
    shared: bool


def scales(tensors: Sequence[Values], readers: Sequence[Reader], levels: int = 255) -> Array:
    """What to multiply the channels by where they are made, [channels], all at least 1; ones, where nothing helps."""
    relative = np.max([each.peak / max(float(each.peak.max()), 1e-30) for each in tensors], axis=0)
    room = np.clip(1 / (HEADROOM * np.maximum(relative, 1e-30)), 1.0, MOST)
    silent = relative < 1e-6
    candidates = [np.where(silent, 1.0, _stepped(room**exponent)) for exponent in EXPONENTS]
    plain = np.ones_like(room)
    return min((plain, *candidates), key=lambda found: sum(noise(each, found, levels) for each in readers))


def _stepped(found: Array) -> Array:
    """Whole powers of the fourth root of two, no greater: a byte tells which."""
    return np.exp2(np.floor(STEPS * np.log2(found) + 1e-6) / STEPS)


def noise(reader: Reader, found: Array, levels: int = 255) -> float:
    """The noise of a layer's output relative to its power, from rounding the input and the weights.

    Rounding to steps of d errs by d^2/12 on average, whatever the value.
    """
    weight, values = reader.weight.astype(np.float64), reader.values
    energy = np.sum(weight**2, axis=(0, 1))
    step = float(np.max(values.peak * found)) / levels
    rounded = float(np.sum(energy * (step / found) ** 2))
    stored = weight / found
    axes = (1, 2) if reader.shared else (1,)
    steps = np.abs(stored).max(axis=axes, keepdims=True) / 127
    lost = float(np.sum(np.broadcast_to(steps**2, stored.shape) * (values.power * found**2)))
    return (rounded + lost) / 12 / max(float(np.sum(energy * values.power)), 1e-30)
