"""Wrong keys in a table, each with the nearest right one."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from .errors import UsageError


def check_keys(
    table: Mapping[str, Any], model: type[BaseModel], where: str, named: Mapping[str, type[BaseModel]]
) -> None:
    """Refuse keys that a model has not, at any depth. Raises UsageError that names them all.

    Args:
        named: sections that hold a table for each name, and the model of these.
    """
    problems: list[str] = []
    _find(table, model, "", problems)
    for section, inside in named.items():
        entries = table.get(section)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            if isinstance(entry, dict):
                _find(entry, inside, f"{section}.{name}.", problems)
    if problems:
        raise UsageError(f"{where}: " + " ".join(problems), "See docs/edgepack.toml.md for every key.")


def _find(table: Mapping[str, Any], model: type[BaseModel], path: str, problems: list[str]) -> None:
    for key, value in table.items():
        if key not in model.model_fields and model.model_config.get("extra") != "allow":
            near = get_close_matches(key, model.model_fields, 1)
            keys = f" Keys: {', '.join(model.model_fields)}."
            nearest = f" Did you mean '{path}{near[0]}'?" if near else keys
            problems.append(f"there is no key '{path}{key}'.{nearest}")
            continue
        inner = model.model_fields[key].annotation if key in model.model_fields else None
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, BaseModel):
            _find(value, inner, f"{path}{key}.", problems)
