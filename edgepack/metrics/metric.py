"""The contract of a task metric, and how one is named: a built-in, or the user's own code."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal, Protocol

from ..errors import UsageError
from ..spec import Arrays
from ..usercode import is_reference, resolve, user_frames
from .boxes import BoxPrecision
from .classes import TopK
from .neighbours import NeighbourRecall
from .output import Answers
from .regions import RegionOverlap
from .values import MeanError

Better = Literal["higher", "lower", ""]


class Metric(Protocol):
    """What accumulates over samples; a class of the user's with these two methods is one, too."""

    def update(self, outputs: Arrays, label: Any) -> None:
        """Add one sample: the outputs by name as the model gives them, batch axis included, and its label."""
        ...

    def value(self) -> float:
        """Over all samples so far."""
        ...


@dataclass(frozen=True)
class Kind:
    """A built-in metric.

    Attributes:
        make: one that has seen nothing, for the output of that name (``""``: the only one that fits).
        unit: ``%`` where values are 0 to 100, and a drop is in points; empty for the output's own unit.
        of_classes: its labels are classes, by name or index.
    """

    make: Callable[[str], Metric]
    unit: str = "%"
    better: Better = "higher"
    of_classes: bool = False


BUILT_IN: Mapping[str, Kind] = {
    "top1": Kind(partial(TopK, 1), of_classes=True),
    "top5": Kind(partial(TopK, 5), of_classes=True),
    "miou": Kind(RegionOverlap),
    "map": Kind(BoxPrecision),
    "recall": Kind(NeighbourRecall),
    "mae": Kind(MeanError, unit="", better="lower"),
}


@dataclass(frozen=True)
class Asked:
    """A metric that is to be measured.

    Attributes:
        name: what a gate calls it.
        reference: of the user's code; empty for a built-in.
        output: which output a built-in looks at; empty where only one fits.
    """

    name: str
    reference: str = ""
    output: str = ""

    @property
    def kind(self) -> Kind:
        return BUILT_IN.get(self.name) or Kind(lambda _: _Own(self), unit="", better="")

    def __str__(self) -> str:
        return self.reference or ":".join(filter(None, (self.name, self.output)))

    def make(self) -> Metric:
        """One that has seen nothing. Raises UsageError, ModelError where the user's code cannot be had."""
        return self.kind.make(self.output)


def parse(text: str) -> Asked:
    """``top1``, ``top1:OUTPUT`` or ``file.py:function`` as a metric. Raises UsageError with the nearest built-in."""
    name, _, output = text.partition(":")
    if name in BUILT_IN:
        return Asked(name, output=output)
    if is_reference(text):
        return Asked(text.rpartition(":")[2], reference=text)
    near = get_close_matches(name, BUILT_IN, 1)
    raise UsageError(
        f"There is no metric '{text}'." + (f" Did you mean '{near[0]}'?" if near else ""),
        f"Built in: {', '.join(BUILT_IN)}. Your own: file.py:function.",
    )


class _Own:
    """The user's code as a metric: a function's values are averaged, a class has ``update`` and ``value`` itself."""

    def __init__(self, asked: Asked) -> None:
        found = resolve(asked.reference)
        with user_frames(f"The metric {asked.reference}"):
            self._metric: Any = found() if inspect.isclass(found) else _Mean(found)
        lacking = [part for part in ("update", "value") if not callable(getattr(self._metric, part, None))]
        if lacking:
            raise UsageError(
                f"The class {asked.reference} has no method '{lacking[0]}'.",
                "A metric is function(outputs, label) -> float, or a class with update(outputs, label) and value().",
            )

    def update(self, outputs: Arrays, label: Any) -> None:
        if isinstance(label, Answers):
            raise UsageError("it has no label.", f"Only built-in metrics do without: {', '.join(BUILT_IN)}.")
        self._metric.update(outputs, label)

    def value(self) -> float:
        return number(self._metric.value())


class _Mean:
    """The mean of what a function gives for each sample."""

    def __init__(self, function: Callable[[Arrays, Any], float]) -> None:
        self._function, self._sum, self._count = function, 0.0, 0

    def update(self, outputs: Arrays, label: Any) -> None:
        found = number(self._function(outputs, label))
        if not math.isfinite(found):
            raise UsageError(f"it gives {found}.", "Return a finite number for every sample.")
        self._sum += found
        self._count += 1

    def value(self) -> float:
        return self._sum / self._count


def number(found: object) -> float:
    """What the user's code returned, as a float. Raises UsageError."""
    try:
        return float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(f"it gives {found!r:.60}, which is no number.", "Return a float.") from None


def check_names(asked: Sequence[Asked], taken: Sequence[str]) -> None:
    """Refuse two metrics that a gate could not tell apart. Raises UsageError."""
    seen = set(taken)
    for each in asked:
        if each.name in seen or (each.reference and each.name in BUILT_IN):
            raise UsageError(
                f"There is more than one metric called '{each.name}'.", "Give your function another name."
            )
        seen.add(each.name)
