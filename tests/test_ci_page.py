"""docs/ci.md says what the command line does."""

from __future__ import annotations

import re
from pathlib import Path

from edgepack import errors
from edgepack.cli import cli

PAGE = (Path(__file__).parents[1] / "docs/ci.md").read_text(encoding="utf-8")


def test_every_exit_code_has_its_row() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.EdgepackError)}
    assert {int(code) for code in re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)} == {0, *codes}


def test_every_flag_exists() -> None:
    used = re.findall(r"(?:edgepack )?(build|verify)\b([^`\n|]*--[^`\n|]*)", PAGE)
    assert len(used) >= 3
    for command, rest in used:
        known = {option for each in cli.commands[command].params for option in each.opts}
        assert set(re.findall(r"(?<=\s)--[a-z]+", rest)) <= known
