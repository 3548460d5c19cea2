"""A device's answers beside those of this machine, by kernels of the same family: what the gate is too coarse to see.

The gate holds a device against the original, and lets through what int8 may lose. A kernel that computes wrongly loses less
than that in many a model; beside kernels that should give the same bits it shows at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .. import registry
from ..bundle.manifest import Manifest
from ..spec import Array, Arrays, Precision
from .profiles import Profile

INTEGERS = {Precision.INT8.value, Precision.INT16X8.value}
NO_ARITHMETIC = {"integer", "convert"}

OF_RANGE = 1e-4
"""Float kernels add up in another order and may fuse a multiplication with an addition."""

ROUNDED = 0.02
"""Between float and integer ops a last bit decides a rounding now and then, and the ops behind it carry that on."""

DYNAMIC = 0.1
"""Activations are quantized on the way: a last bit moves a whole step. Measured: some 4 % between Arm cores and x86-64."""


def backend(profile: Profile, manifest: Manifest) -> str | None:
    """The backend of this machine to compare a device with; ``None`` where there is none."""
    driver = registry.target(manifest.target, manifest.runtime).drivers.get(profile.machine)
    return driver.twin if driver else None


@dataclass(frozen=True)
class Bound:
    """How far an output may be from the twin's.

    Attributes:
        words: for people.
        of_range: of the largest difference, as a part of the twin's range.
        of_std: of the root mean square difference, as a part of the twin's standard deviation.
    """

    words: str
    of_range: float | None = None
    of_std: float | None = None


EXACT = Bound("the same bit for bit")
FLOAT = Bound(f"within {OF_RANGE:g} of its range", of_range=OF_RANGE)
MIXED = Bound(f"within {ROUNDED:g} of its standard deviation", of_std=ROUNDED)
DYNAMIC_RANGE = Bound(f"within {DYNAMIC:g} of its standard deviation", of_std=DYNAMIC)


def bound(manifest: Manifest) -> Bound:
    """What kernels of one family owe each other, by the arithmetic that is in the artifact."""
    computes = set(manifest.audit.ops_by_precision) - NO_ARITHMETIC
    if computes and computes <= INTEGERS:
        return EXACT
    if Precision.INT8_DYNAMIC.value in computes:
        return DYNAMIC_RANGE
    return MIXED if computes & INTEGERS else FLOAT


@dataclass(frozen=True)
class Beside:
    """One output of a device beside the twin's, over some samples.

    Attributes:
        sample: the number of the first one that is not within the bound; -1 when all are.
        index: of the value in it that differs most.
        device, twin: what both answered there.
        max_abs: the largest difference of all samples.
    """

    output: str
    bound: Bound
    max_abs: float = 0.0
    sample: int = -1
    index: tuple[int, ...] = ()
    device: float = 0.0
    twin: float = 0.0

    @property
    def passed(self) -> bool:
        return self.sample < 0

    def __str__(self) -> str:
        """In a sentence: the output, where, both values, and what was to be expected."""
        if self.passed:
            return f"{self.output} is {self.bound.words} with this machine's kernels"
        place = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return (
            f"{self.output}{place} of sample {self.sample} is {self.device:.7g} there and {self.twin:.7g} by this machine's "
            f"kernels of the same family; it should be {self.bound.words}"
        )


def compare(device: Iterable[Arrays], twin: Iterable[Arrays], within: Bound) -> dict[str, Beside]:
    """Every output of the device's answers beside the twin's to the same samples."""
    rows = list(zip(device, twin, strict=True))
    names = list(rows[0][1]) if rows else []
    return {name: _beside(name, [(one[name], other[name]) for one, other in rows], within) for name in names}


def _beside(name: str, rows: list[tuple[Array, Array]], within: Bound) -> Beside:
    allowed = _allowed(np.concatenate([np.ravel(twin).astype(np.float64) for _, twin in rows]), within)
    largest, first = 0.0, Beside(name, within)
    for number, (device, twin) in enumerate(rows):
        off = _difference(device, twin)
        if not off.size:
            continue
        largest = max(largest, float(off.max()))
        error = off.max() if within.of_std is None else np.sqrt(np.mean(off**2))
        if first.passed and error > allowed:
            at = tuple(map(int, np.unravel_index(int(off.argmax()), off.shape)))
            first = Beside(name, within, 0.0, number, at, float(device[at]), float(twin[at]))
    return Beside(name, within, largest, first.sample, first.index, first.device, first.twin)


def _difference(device: Array, twin: Array) -> Array:
    """Element by element; infinite where only one of them is a number, nothing where both are the same."""
    one, other = device.astype(np.float64), twin.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(one - other)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    off = np.where(np.isnan(off), np.inf, off)
    return np.where(same, 0.0, off)


def _allowed(twin: Array, within: Bound) -> float:
    """The error that the bound lets through. What hardly varies is measured by how large it is: it rounds like that."""
    finite = twin[np.isfinite(twin)]
    if not finite.size:
        return 0.0
    size = 0.01 * float(np.abs(finite).max())
    if within.of_range is not None:
        return within.of_range * max(float(np.ptp(finite)), size)
    if within.of_std is not None:
        return within.of_std * max(float(finite.std()), size)
    return 0.0
