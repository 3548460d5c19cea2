"""Names for what a model returns in a structure: paths into it, made names that differ."""

from __future__ import annotations

from collections.abc import Sequence


def output_names(paths: Sequence[str]) -> list[str]:
    """A name for every leaf by its path: keys joined by dots, or output_0, output_1, ...; ``output`` for the only one.

    Args:
        paths: ``""`` for what is in no structure, ``0.mask`` for an item of the first item.
    """
    if len(paths) == 1 and paths[0] in ("", "0"):
        return ["output"]
    return unique([f"output_{path}" if path[:1].isdigit() else path for path in paths])


def unique(names: Sequence[str]) -> list[str]:
    """The names, those that came before with a number behind them."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return made
