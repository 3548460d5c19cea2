"""The types of edgepack.toml's values: what they take, and what it becomes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .compress.prune import MOST
from .spec import AUTO, Asked, Precision


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _as_asked(value: object) -> object:
    known = [*Precision, AUTO]
    if value not in known:
        raise ValueError(f"there is {', '.join(known)}")
    return value


def _as_share(value: object) -> object:
    """A share of weights that goes, or ``auto``. Raises ValueError."""
    if value is None or value == "auto":
        return value
    try:
        share = float(str(value))
    except ValueError:
        share = 0.0
    if not 0 < share <= MOST:
        raise ValueError(f"it takes a share above 0 and at most {MOST}, or auto")
    return share


Values = Annotated[tuple[float, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Nonzero = Annotated[float, Field(gt=0)]
Positive = Annotated[tuple[Nonzero, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Count = Annotated[int, Field(gt=0)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Chosen = Annotated[Asked, BeforeValidator(_as_asked)]
Share = Annotated[float | Literal["auto"] | None, BeforeValidator(_as_share)]
