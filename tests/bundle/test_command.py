"""The command in the manifest makes the same project again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgepack import build_command
from edgepack.bundle.command import command_line
from edgepack.cli import cli
from edgepack.project import Project, load


def project(**tables: Any) -> Project:
    tables["model"] = {"source": "flowers.keras"} | tables.get("model", {})
    tables["data"] = {"representative": "photos.npz"} | tables.get("data", {})
    return load(None, {**tables, "build": {"targets": ("fake",)} | tables.get("build", {})})


def again(command: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project that the command line describes, by way of the real parser."""
    found: list[Project] = []

    def note(options: dict[str, Any]) -> int:
        found.append(build_command.read_project(options))
        return 0

    monkeypatch.setattr(build_command, "run", note)
    done = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    return found[0]


FULL = {
    "model": {
        "source": "model.py:build", "name": "my-flowers", "version": "2.0", "signature": "serve me",
        "labels": "labels.txt", "allow_code": True, "shapes": {"image": "1x8x8x3", "ids": "1x4:int32"},
    },
    "data": {"samples": 90, "calibration": 50, "held_back": 40, "evaluation": "labelled.csv", "metrics": ["top5:y", "wer.py:Wer"]},
    "build": {"precision": "int16x8", "io": "float", "runtime": "litert"},
    "input": {"image": {"kind": "image", "layout": "NCHW", "channels": "bgr", "mean": [0.1, 0.2, 1 / 3], "std": 2.0}},
    "compress": {"prune": 0.5, "cluster": 32, "recover_minutes": 7.5, "augment": False, "keep": ["first layer", "last"]},
    "output": {"y": {"activation": "softmax", "top_k": 5}},
    "gate": {"sqnr_db": 123.45678905, "cosine": 0.99999999, "argmax_agreement": 0.98, "max_abs": 1e-07, "top5_drop": "<=0.1"},
}  # fmt: skip


@pytest.mark.parametrize(
    "tables", [{}, FULL, *({key: FULL[key]} for key in FULL)], ids=["nothing", "all", *FULL]
)
def test_the_command_makes_the_project_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, Any]
) -> None:
    wanted = project(**tables)
    assert again(command_line(wanted, "fake", wanted.build.runtime), monkeypatch) == wanted


def test_only_what_differs_from_the_defaults_is_said() -> None:
    assert command_line(project(), "fake", "") == (
        "edgepack build flowers.keras --data photos.npz --target fake --precision int8"
    )


def test_paths_are_said_by_their_last_part() -> None:
    """The same project in another folder gives the same bundle, byte by byte."""
    here = project(
        model={"source": "/home/me/model.py:build", "labels": "a/labels.txt"}, build={"out": "/tmp/x"}
    )
    assert command_line(here, "fake", "") == (
        "edgepack build model.py:build --data photos.npz --target fake --precision int8 --labels labels.txt"
    )
