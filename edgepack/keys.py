"""The keys of edgepack.toml: those that are wrong, those that are paths, and how flags are laid over them."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from .errors import UsageError
from .usercode import is_reference


def check_keys(table: Mapping[str, Any], model: type[BaseModel], where: str) -> None:
    """Refuse keys that the model has not. Raises UsageError that names every one, and the nearest right one."""
    problems: list[str] = []
    _find_wrong_keys(table, model, "", problems)
    if problems:
        raise UsageError(f"{where}: " + " ".join(problems), "See docs/edgepack.toml.md for every key.")


def _find_wrong_keys(
    table: Mapping[str, Any], model: type[BaseModel], path: str, problems: list[str]
) -> None:
    for key, value in table.items():
        if key not in model.model_fields and model.model_config.get("extra") != "allow":
            near = get_close_matches(key, model.model_fields, 1)
            problems.append(
                f"there is no key '{path}{key}'."
                + (
                    f" Did you mean '{path}{near[0]}'?"
                    if near
                    else f" Keys: {', '.join(model.model_fields)}."
                )
            )
            continue
        inner = model.model_fields[key].annotation if key in model.model_fields else None
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, BaseModel):
            _find_wrong_keys(value, inner, f"{path}{key}.", problems)
        elif isinstance(value, dict) and (inside := _named_tables(inner)):
            for name, entry in value.items():
                if isinstance(entry, dict):
                    _find_wrong_keys(entry, inside, f"{key}.{name}.", problems)


def _named_tables(annotation: Any) -> type[BaseModel] | None:
    """Of ``dict[str, SomeTable]``, the table: what [input.NAME] holds."""
    inside = get_args(annotation)[-1:]
    return inside[0] if inside and isinstance(inside[0], type) and issubclass(inside[0], BaseModel) else None


def relocate(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths in a file's table relative to the current folder."""

    def move(value: object) -> object:
        if not isinstance(value, str) or not value or (is_reference(value) and ".py:" not in value):
            return value
        return str(folder / value) if folder != Path() else value

    for section, key in (
        ("model", "source"),
        ("model", "labels"),
        ("data", "representative"),
        ("data", "evaluation"),
        ("build", "out"),
    ):
        if isinstance(table.get(section), dict) and key in table[section]:
            table[section][key] = move(table[section][key])
    data = table.get("data")
    if isinstance(data, dict) and "metrics" in data:
        named = data["metrics"] if isinstance(data["metrics"], list) else [data["metrics"]]
        data["metrics"] = [move(each) if ".py:" in str(each) else each for each in named]
    if isinstance(table.get("build", {}), dict) and folder != Path():
        table.setdefault("build", {}).setdefault("out", str(folder / "dist"))
    return table


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """A table with another laid over it, table by table."""
    found = dict(below)
    for key, value in above.items():
        both_tables = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both_tables else value
    return found


def explained(error: ValidationError, where: str) -> str:
    """What pydantic found, in a line that names the keys."""
    lines = []
    for each in error.errors():
        key = ".".join(str(part) for part in each["loc"] if not str(part).startswith("function"))
        lines.append(f"{key}: {each['msg'].removeprefix('Value error, ')} (got {each['input']!r}).")
    return f"{where}: " + " ".join(lines)
