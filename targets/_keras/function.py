"""The one shape that every Keras and TensorFlow source is brought into: a function from named tensors to named tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgepack.naming import output_names, unique
from edgepack.spec import TensorSpec

Tensors = Mapping[str, Any]  # the framework's own, by name


@dataclass(frozen=True)
class Function:
    """A source as its framework sees it.

    Attributes:
        inputs: as the source declares them; dimensions may be unknown.
        call: from tensors by input name to tensors by output name.
        keep: what must stay alive for ``call`` to work (variables of a loaded SavedModel).
    """

    inputs: tuple[TensorSpec, ...]
    call: Callable[[Tensors], Tensors]
    keep: object = None


def named_outputs(result: Any, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a call returned, by name: dict keys (nested ones joined by a dot), the names given, or output_0, ..."""
    flat = _flatten(result, "")
    fits = names and len(names) == len(flat)
    keys = unique(names) if fits else output_names([key for key, _ in flat])
    return dict(zip(keys, (value for _, value in flat), strict=True))


def _flatten(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        items = [(str(key), each) for key, each in value.items()]
    elif hasattr(value, "_fields"):
        items = list(zip(value._fields, value, strict=True))
    elif isinstance(value, list | tuple):
        items = [(str(index), each) for index, each in enumerate(value)]
    else:
        return [(path, value)]
    return [pair for key, each in items for pair in _flatten(each, f"{path}.{key}" if path else key)]
