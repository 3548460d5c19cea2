"""Parity: an artifact's outputs against the original's on held-back samples, and the gate that they must pass."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from .errors import UsageError
from .spec import Array, Arrays, Asked, Precision, class_axis
from .target import Runner

MAX_DB = 300.0
"""What an exact match counts as; float64 sums of float32 squares tell nothing beyond it."""

COLUMNS = 256
"""Up to so many places along the last axis are measured one by one."""

DECISIVE = 1 / 256
"""A sample is decided when its best class leads by more than one int8 step of a probability."""


@dataclass(frozen=True)
class Metrics:
    """One output compared over all held-back samples, taken together as one long vector.

    Attributes:
        sqnr_db: signal to quantization noise, ``10 log10(sum(original^2) / sum((original - artifact)^2))``, in dB.
        max_abs: the largest absolute difference.
        cosine: of the angle between the two.
        argmax_agreement: share of samples (of positions, where the output has more axes) whose largest value along the
            classes' axis (see spec.class_axis) is at the same place; ``None`` for an output with no such axis.
        probabilities: whether the original's values are class probabilities and most samples are decided.
        finite: whether the original and the artifact gave finite values only.
        distribution: whether the original's values are class probabilities, decided or not.
        drowned: places along a short last axis with an SQNR below 20 dB, and 20 dB below the whole output's: their values
            are small beside the others', which is all that the other metrics see.
        places_db: the SQNR of every place along a short last axis; empty for class probabilities.
    """

    sqnr_db: float
    max_abs: float
    cosine: float
    argmax_agreement: float | None
    probabilities: bool = False
    finite: bool = True
    distribution: bool = False
    drowned: tuple[int, ...] = ()
    places_db: tuple[float, ...] = ()


class Meter:
    """Accumulates the metrics of one output, a sample at a time."""

    def __init__(self) -> None:
        self._signal = self._noise = self._dot = self._power = self._max = 0.0
        self._same = self._places = self._decided = 0
        self._distribution = True
        self._finite = True
        self._columns = np.zeros((2, 0))  # signal and noise by place along the last axis

    def update(self, original: Array, artifact: Array) -> None:
        """Add one sample; both of one shape. Raises ValueError otherwise."""
        if original.shape != artifact.shape:
            raise ValueError(f"the original gives {original.shape}, the artifact {artifact.shape}")
        x, y = original.astype(np.float64), artifact.astype(np.float64)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            self._finite = False
            return
        difference = x - y
        self._signal += float(np.sum(x * x))
        self._power += float(np.sum(y * y))
        self._noise += float(np.sum(difference * difference))
        self._dot += float(np.sum(x * y))
        self._max = max(self._max, float(np.max(np.abs(difference), initial=0.0)))
        if x.ndim > 1 and x.shape[-1] > 1:
            self._rank(*(np.moveaxis(each, class_axis(each.shape), -1) for each in (x, y)))
            if x.shape[-1] <= COLUMNS and self._columns.shape[-1] in (0, x.shape[-1]):
                flat = np.stack([x, difference]).reshape(2, -1, x.shape[-1])
                sums = np.sum(flat * flat, axis=1)
                self._columns = self._columns + sums if self._columns.size else sums

    def _rank(self, x: Array, y: Array) -> None:
        self._same += int(np.sum(x.argmax(-1) == y.argmax(-1)))
        self._places += int(np.prod(x.shape[:-1]))
        best = np.partition(x, -2, axis=-1)
        self._decided += int(np.sum(best[..., -1] - best[..., -2] > DECISIVE))
        sums_to_one = bool(np.all(np.abs(x.sum(-1) - 1) < 1e-3))
        self._distribution = self._distribution and sums_to_one and bool(x.min() >= 0)

    @property
    def metrics(self) -> Metrics:
        places = self._places
        if not self._finite:
            return Metrics(-MAX_DB, math.inf, 0.0, 0.0 if places else None, finite=False)
        if self._noise == 0:
            sqnr = MAX_DB
        else:
            sqnr = 10 * math.log10(self._signal / self._noise) if self._signal else -MAX_DB
        norm = math.sqrt(self._signal) * math.sqrt(self._power)
        cosine = self._dot / norm if norm else float(self._noise == 0)
        return Metrics(
            sqnr_db=min(sqnr, MAX_DB),
            max_abs=self._max,
            cosine=min(cosine, 1.0),
            argmax_agreement=self._same / places if places else None,
            probabilities=bool(places) and self._distribution and 2 * self._decided >= places,
            distribution=bool(places) and self._distribution,
            drowned=self._drowned(sqnr),
            places_db=self._places_db(),
        )

    def _drowned(self, sqnr: float) -> tuple[int, ...]:
        if not self._columns.size or self._distribution:
            return ()  # unlikely classes are small, and may be
        signal, noise = self._columns
        limit = 10 ** (min(20.0, sqnr - 20) / 10)
        return tuple(int(place) for place in np.flatnonzero((signal > 0) & (signal < limit * noise)))

    def _places_db(self) -> tuple[float, ...]:
        if self._distribution:
            return ()
        signal, noise = self._columns
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(noise > 0, 10 * np.log10(signal / noise), MAX_DB)
        return tuple(float(each) for each in np.clip(found, -MAX_DB, MAX_DB))


def measure(
    runner: Callable[[Arrays], Arrays], held_back: Iterable[Arrays], golden: Iterable[Arrays]
) -> dict[str, Metrics]:
    """The metrics of every output over samples and the original's answers to them."""
    return compare(map(runner, held_back), golden)


def compare(answers: Iterable[Arrays], golden: Iterable[Arrays]) -> dict[str, Metrics]:
    """The metrics of every output: answers to some samples, and the original's to the same."""
    meters: dict[str, Meter] = {}
    for outputs, expected in zip(answers, golden, strict=True):
        for name, original in expected.items():
            meters.setdefault(name, Meter()).update(original, outputs[name])
    return {name: meter.metrics for name, meter in meters.items()}


def agreement(outputs: Mapping[str, Metrics]) -> float:
    """The share of samples with the original's best class; of outputs without classes, the cosine. A mean over outputs."""
    found = [
        each.cosine if each.argmax_agreement is None else each.argmax_agreement for each in outputs.values()
    ]
    return sum(found) / len(found)


def cautions(outputs: Mapping[str, Metrics]) -> list[str]:
    """What the metrics do not show by themselves, a sentence each."""
    found = []
    for name, metrics in outputs.items():
        if metrics.drowned:
            places = ", ".join(map(str, metrics.drowned[:8]))
            found.append(
                f"In the output '{name}' the values at {places} of the last axis are small beside the others and mostly lost "
                f"(below 20 dB; the whole has {metrics.sqnr_db:.1f}). Return them as an output of their own, or keep outputs "
                "float with --precision int8_dynamic."
            )
        if metrics.distribution and not metrics.probabilities:
            found.append(
                f"The original hardly tells the classes of '{name}' apart: agreement on the best one, "
                f"{metrics.argmax_agreement:.3g}, is shown but not asked for."
            )
    return found


_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
METRICS = ("sqnr_db", "max_abs", "cosine", "argmax_agreement")


@dataclass(frozen=True)
class Threshold:
    """One condition of a gate.

    Attributes:
        only_probabilities: hold it against outputs that are class probabilities, and leave the others alone.
    """

    metric: str
    comparison: str
    value: float
    only_probabilities: bool = False

    def __str__(self) -> str:
        short = f"{self.value:g}"
        return f"{self.metric}{self.comparison}{short if float(short) == self.value else repr(self.value)}"

    def verdict(self, metrics: Metrics) -> bool | None:
        """Whether it is met; ``None`` where it does not apply."""
        found = getattr(metrics, self.metric)
        if found is None or (self.only_probabilities and not metrics.probabilities):
            return None
        return metrics.finite and bool(_OPERATORS[self.comparison](found, self.value))


@dataclass(frozen=True)
class Gate:
    """The thresholds that every output must meet."""

    thresholds: tuple[Threshold, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.thresholds))

    def asked(self, outputs: Mapping[str, Metrics]) -> dict[str, tuple[str, ...]]:
        """By output, the thresholds that apply to it."""
        return {
            name: tuple(str(each) for each in self.thresholds if each.verdict(metrics) is not None)
            for name, metrics in outputs.items()
        }

    def failures(self, outputs: Mapping[str, Metrics]) -> list[str]:
        """A sentence for every threshold that is not met; empty when the gate is passed."""
        failures = [f"{name} is not finite" for name, metrics in outputs.items() if not metrics.finite]
        for threshold in self.thresholds:
            verdicts = {name: threshold.verdict(metrics) for name, metrics in outputs.items()}
            if all(verdict is None for verdict in verdicts.values()) and not threshold.only_probabilities:
                failures.append(f"{threshold} applies to no output")
            failures += [
                f"{name}: {threshold.metric} is {getattr(outputs[name], threshold.metric):.4g}, not {threshold.comparison} "
                f"{threshold.value:g}"
                for name, verdict in verdicts.items()
                if verdict is False and outputs[name].finite
            ]
        return failures


def parse_gate(text: str) -> Gate:
    """``"sqnr_db>=20, argmax_agreement>=0.98"`` as a gate. Raises UsageError with the nearest metric."""
    thresholds = read_thresholds(text)
    for name in (each.metric for each in thresholds if each.metric not in METRICS):
        near = get_close_matches(name, METRICS, 1)
        raise UsageError(
            f"There is no metric '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            f"Metrics: {', '.join(METRICS)}.",
        )
    return Gate(thresholds)


def read_thresholds(text: str) -> tuple[Threshold, ...]:
    """The conditions in a text, whatever they are called. Raises UsageError where there is none, or not one."""
    thresholds = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\w+)\s*(>=|<=|>|<)\s*(-?[0-9.]+(?:e[+-]?[0-9]+)?)", part)
        if match is None or match[1].isdigit() or not _is_number(match[3]):
            raise UsageError(
                f"The gate '{part}' is not understood.", 'Write it as "sqnr_db>=20, argmax_agreement>=0.98".'
            )
        thresholds.append(Threshold(match[1], match[2], float(match[3])))
    if not thresholds:
        raise UsageError("The gate is empty.", 'Write it as "sqnr_db>=20, argmax_agreement>=0.98".')
    return tuple(thresholds)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def default_gate(precision: Asked) -> Gate:
    """What a bundle must meet when the user names no gate."""
    if precision == Precision.FLOAT32:
        return Gate((Threshold("sqnr_db", ">=", 60),))
    if precision in (Precision.FLOAT16, Precision.INT16, Precision.INT16X8):
        return Gate((Threshold("sqnr_db", ">=", 35),))
    return Gate(
        (Threshold("cosine", ">=", 0.98), Threshold("argmax_agreement", ">=", 0.95, only_probabilities=True)),
    )


@dataclass(frozen=True)
class LayerParity:
    """How far one op's output is from that of its float32 sibling, over some held-back samples."""

    name: str
    sqnr_db: float


def layer_parity(float32: Runner, runner: Runner, samples: Iterable[Arrays]) -> list[LayerParity]:
    """The SQNR of every op that both artifacts have, in the order they run."""
    meters: dict[str, Meter] = {}
    for inputs in samples:
        reference = float32.layers(inputs)
        for name, value in runner.layers(inputs).items():
            if name in reference and reference[name].shape == value.shape:
                meters.setdefault(name, Meter()).update(reference[name], value)
    return [LayerParity(name, meter.metrics.sqnr_db) for name, meter in meters.items()]
