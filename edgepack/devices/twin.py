"""A device's answers beside those of this machine, by kernels of the same family: what the gate is too coarse to see.

The gate holds a device against the original, and lets through what int8 may lose. A kernel that computes wrongly loses less
than that in many a model; beside kernels that should give the same bits it shows at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import registry
from ..bundle.manifest import Manifest
from ..registry import DriverInfo
from ..spec import Array, Arrays, Precision
from ..target import Audit
from .profiles import Profile

INTEGERS = {Precision.INT8.value, Precision.INT16X8.value}
NO_ARITHMETIC = {"integer", "convert"}

OF_RANGE = 1e-4
"""Float kernels add up in another order and may fuse a multiplication with an addition."""

ROUNDED = 0.02
"""Between float and integer ops a last bit decides a rounding now and then, and the ops behind it carry that on."""

DYNAMIC = 0.1
"""Activations are quantized on the way: a last bit moves a whole step. Measured: some 4 % between Arm cores and x86-64."""


@dataclass(frozen=True)
class Bound:
    """How far an output may be from the twin's.

    Attributes:
        words: for people.
        of_range: of the largest difference, as a part of the twin's range.
        of_std: of the root mean square difference, as a part of the twin's standard deviation.
        step: of the largest difference; nothing is allowed where all three are missing.
    """

    words: str
    of_range: float | None = None
    of_std: float | None = None
    step: float = 0.0


EXACT = Bound("the same bit for bit")
FLOAT = Bound(f"within {OF_RANGE:g} of its range", of_range=OF_RANGE)
MIXED = Bound(f"within {ROUNDED:g} of its standard deviation", of_std=ROUNDED)
DYNAMIC_RANGE = Bound(f"within {DYNAMIC:g} of its standard deviation", of_std=DYNAMIC)


def driver(profile: Profile, manifest: Manifest) -> DriverInfo | None:
    """What runs the bundle on the device; ``None`` on this machine itself."""
    return registry.target(manifest.target, manifest.runtime).drivers.get(profile.machine)


def bounds(audit: Audit, loose: Collection[str]) -> dict[str, Bound]:
    """What kernels of one family owe each other in each layer, by the arithmetic in the artifact; the outputs are layers too.

    Args:
        loose: the ops that the runtime computes in another way there: ``PRECISION KIND``.
    """
    base, found, loosened = _by_arithmetic(audit), {}, False
    steps = {spec.name: spec.quantization.scale for spec in audit.signature.outputs if spec.quantization}
    for op in audit.ops:
        found[op.name] = MIXED if base == EXACT and loosened else base
        if base == EXACT and f"{op.precision} {op.kind}" in loose and not loosened:
            loosened = True
            words = f"the same to one step, as {op.precision} {op.kind} is computed in another way there"
            found[op.name] = Bound(words, step=1.001 * steps[op.name]) if op.name in steps else MIXED
    return found | {spec.name: base for spec in audit.signature.outputs if spec.name not in found}


def _by_arithmetic(audit: Audit) -> Bound:
    computes = set(audit.ops_by_precision) - NO_ARITHMETIC
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
        if self.passed and not self.max_abs:
            return f"{self.output}: the same bits as this machine's kernels give"
        if self.passed:
            return (
                f"{self.output}: {self.max_abs:.2g} from what this machine's kernels give, {self.bound.words}"
            )
        place = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return (
            f"{self.output}{place} of sample {self.sample} is {self.device:.7g} there and {self.twin:.7g} by this machine's "
            f"kernels of the same family; it should be {self.bound.words}"
        )


def compare(
    device: Iterable[Arrays], twin: Iterable[Arrays], within: Mapping[str, Bound]
) -> dict[str, Beside]:
    """The outputs that there are bounds for: of the device's answers, beside the twin's to the same samples."""
    rows = list(zip(device, twin, strict=True))
    return {
        name: beside(name, [(one[name], other[name]) for one, other in rows], bound)
        for name, bound in within.items()
        if rows
    }


def beside(name: str, rows: Sequence[tuple[Array, Array]], within: Bound) -> Beside:
    """One output: the device's and the twin's values, sample by sample."""
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
    return within.step
