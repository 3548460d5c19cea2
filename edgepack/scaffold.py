"""``edgepack init``: a project that builds as it stands, to be changed from there."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from .errors import UsageError

TEMPLATES = ("edgepack.toml", "model.py")


def write_project(folder: Path) -> list[Path]:
    """Write the files; none of them, when one is there already. Raises UsageError."""
    there = [folder / name for name in TEMPLATES if (folder / name).exists()]
    if there:
        raise UsageError(f"{there[0]} exists already.", "Choose another folder: edgepack init DIR.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in TEMPLATES:
            (folder / name).write_text((files(__package__) / "scaffold_files" / f"{name}.txt").read_text())
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror}.", "Choose another folder."
        ) from error
    return [folder / name for name in TEMPLATES]
