"""What a project asks for: the metrics, the labelled set, and the thresholds that name a metric."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from ..errors import UsageError
from ..parity import METRICS, Threshold, read_thresholds
from .metric import BUILT_IN, Asked, Kind, check_names, parse

Change = Literal["", "drop", "rise"]

_LEAST_OR_MOST = {"higher": ">=", "lower": "<=", "": ""}
_WORSE: Mapping[str, Change] = {"higher": "drop", "lower": "rise"}
_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class Bound:
    """One condition on a metric.

    Attributes:
        change: what it bounds: the artifact's value, or how far that dropped below the original's, or rose above it.
    """

    metric: str
    change: Change
    comparison: str
    value: float

    def __str__(self) -> str:
        return str(Threshold("_".join(filter(None, (self.metric, self.change))), self.comparison, self.value))

    def found(self, original: float, artifact: float) -> float:
        return {"": artifact, "drop": original - artifact, "rise": artifact - original}[self.change]

    def is_met(self, original: float, artifact: float) -> bool:
        # the difference of two percentages is not exact: 98.5 - 98.0 must not exceed 0.5
        return bool(_OPERATORS[self.comparison](round(self.found(original, artifact), 9), self.value))


@dataclass(frozen=True)
class Request:
    """
    Attributes:
        source: of the labelled set; empty where the held-back samples and the original's answers have to do.
        bounds: the part of the gate that metrics must meet.
        searched: whether a plan is to be found that meets it.
    """

    source: str = ""
    asked: tuple[Asked, ...] = ()
    bounds: tuple[Bound, ...] = ()
    searched: bool = False

    @property
    def chooses(self) -> bool:
        """Whether metrics choose a plan, which takes samples that do not judge it."""
        return self.searched and bool(self.bounds)


def request(
    source: str, named: Sequence[str], gate: Mapping[str, float | str], searched: bool = False
) -> Request:
    """What ``[data] evaluation``, ``[data] metrics`` and the keys of ``[gate]`` that are no tensor metric's come to.

    A built-in that the gate names is measured without being asked for; a labelled set with no metric at all is for top1.

    Raises:
        UsageError: there is no such metric; it needs labels and there are none; or no artifact could meet the bound.
    """
    given = tuple(map(parse, dict.fromkeys(named)))
    check_names(given, METRICS)
    asked = {each.name: each for each in given}
    bounds = []
    for key, value in gate.items():
        metric, change = _split(key, asked)
        asked.setdefault(metric, Asked(metric))
        bounds.append(_bound(metric, change, value, asked[metric].kind))
    if source and not asked:
        asked["top1"] = Asked("top1")
    for each in asked.values():
        if each.reference and not source:
            raise UsageError(
                f"The metric {each} needs labels.",
                "Give a labelled set: --evaluation PATH, or [data] evaluation.",
            )
    return Request(source, tuple(asked.values()), tuple(bounds), searched)


def _split(key: str, asked: Mapping[str, Asked]) -> tuple[str, Change]:
    """``top1_drop`` as (top1, drop). Raises UsageError with the nearest name there is."""
    names = [*BUILT_IN, *asked]
    if key in names:
        return key, ""
    base, _, change = key.rpartition("_")
    if base in names and change in ("drop", "rise"):
        return base, "drop" if change == "drop" else "rise"
    every = [*METRICS, *(f"{name}{end}" for name in names for end in ("", "_drop", "_rise"))]
    near = get_close_matches(key, every, 1)
    raise UsageError(
        f"There is no metric '{key}'." + (f" Did you mean '{near[0]}'?" if near else ""),
        f"Of tensors: {', '.join(METRICS)}. Of the task: {', '.join(dict.fromkeys(names))}, each also with _drop and "
        "_rise; your own by --metric file.py:function.",
    )


def _bound(metric: str, change: Change, given: float | str, kind: Kind) -> Bound:
    """Raises UsageError for one that nothing can meet, or that is met by nothing being right."""
    name = "_".join(filter(None, (metric, change)))
    sense = "<=" if change else _LEAST_OR_MOST[kind.better]
    if isinstance(given, str) and re.match(r"[<>]", given):
        (read,) = read_thresholds(name + given)
        bound = Bound(metric, change, read.comparison, read.value)
    elif isinstance(given, str) or not sense:
        raise UsageError(
            f"The gate on '{name}' is {given!r}: at least, or at most?",
            f'Write {name} = ">={given}" or "<={given}".',
        )
    else:
        bound = Bound(metric, change, sense, float(given))
    if not math.isfinite(bound.value):
        raise UsageError(f"The gate '{bound}' is no number.", f"Write {name} = 0.5, say.")
    worse = _WORSE.get(kind.better, change)
    if change and change != worse:
        raise UsageError(
            f"The gate '{bound}' bounds how much better the artifact is.", f"Write {metric}_{worse}."
        )
    if sense and bound.comparison[0] != sense[0]:
        raise UsageError(f"The gate '{bound}' asks for a worse artifact.", f"{name} takes {sense}.")
    if change and bound.value < 0:
        raise UsageError(
            f"The gate '{bound}' asks for an artifact that is better than the original.",
            f"Ask for {name}<=0 or more.",
        )
    if kind.unit == "%" and (bound.value > 100 or (not change and 0 < bound.value <= 1)):
        raise UsageError(
            f"The gate '{bound}' is no percentage.", f"{metric} is 0 to 100: write 97, not 0.97."
        )
    return bound


def check_thresholds(thresholds: Sequence[Threshold]) -> None:
    """Refuse what no artifact can meet. Raises UsageError."""
    highest = {"sqnr_db": 300.0, "cosine": 1.0, "argmax_agreement": 1.0}
    for each in thresholds:
        if each.value > highest.get(each.metric, float("inf")) or (
            each.metric == "max_abs" and each.value < 0
        ):
            limit = "0 or more" if each.metric == "max_abs" else f"{highest[each.metric]:g} at most"
            raise UsageError(f"No artifact can meet the gate '{each}'.", f"{each.metric} is {limit}.")
