"""Labels as they are written, names of classes or numbers, and as metrics get them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ..errors import UsageError
from ..spec import Signature

SHOWN = 8
"""So many unknown classes are named."""


@dataclass(frozen=True)
class Reading:
    """How a text becomes a label.

    Attributes:
        names: of the classes, in the order of the output.
        strict: whether every text must be a class, by name or by index.
    """

    names: tuple[str, ...] = ()
    strict: bool = False

    def __call__(self, text: str) -> Any:
        """The index of a class, a number, or the text itself. Raises UsageError for an unknown class."""
        if text in self.names:
            return self.names.index(text)
        if self.strict and not (
            re.fullmatch(r"\d+", text) and (not self.names or int(text) < len(self.names))
        ):
            raise _unknown([text], self.names)
        return _number(text)


def reading(texts: Iterable[str], names: Sequence[str], of_classes: bool, signature: Signature) -> Reading:
    """How to read the labels of a set.

    Where a metric is of classes or any of the texts is a class, all have to be. Without names they are the texts themselves
    in alphabetical order, as Keras and torchvision take folders, if they are as many as an output has classes.

    Args:
        texts: all labels that are texts, as far as they can be known beforehand.
        names: of the model's classes; may be none.
        of_classes: whether there is a metric that takes nothing else.

    Raises:
        UsageError: unknown classes, with the nearest that are known.
    """
    found = sorted(set(texts))
    strict = of_classes or any(text in names for text in found)
    if names or not strict or all(text.isdigit() for text in found):
        unknown = []
        for text in found:
            try:
                Reading(tuple(names), strict)(text)
            except UsageError:
                unknown.append(text)
        if unknown:
            raise _unknown(unknown, names)
        return Reading(tuple(names), strict)
    counts = {max(2, spec.static_shape[-1]): spec.name for spec in signature.outputs if spec.shape}
    if len(found) not in counts:
        told = ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
        raise UsageError(
            f"The evaluation set has {len(found)} classes ({told}); the outputs have "
            f"{', '.join(f'{count} ({name})' for count, name in counts.items())}.",
            "Give the names of all classes in the order of the output: --labels labels.txt.",
        )
    return Reading(tuple(found), strict)


def _number(text: str) -> Any:
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if re.fullmatch(r"-?\d+", text) else value


def _unknown(texts: Sequence[str], names: Sequence[str]) -> UsageError:
    told = []
    for text in texts[:SHOWN]:
        near = get_close_matches(text, names, 1, 0.5)
        told.append(f"'{text}'" + (f" (nearest: '{near[0]}')" if near else ""))
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    some = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return UsageError(
        f"The evaluation set has classes that the model has not: {', '.join(told)}{more}.",
        f"The model's {len(names)} classes: {some}; or their index, from 0."
        if names
        else "Give --labels labels.txt, or indices from 0.",
    )
