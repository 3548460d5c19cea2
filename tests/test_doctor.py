"""``edgepack doctor``: what is missing, for targets and devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgepack import doctor_command, frameworks, registry
from edgepack.frameworks import FrameworkInfo


def test_browsers_are_looked_for_like_targets_are(edgepack: Callable[..., Any]) -> None:
    done = edgepack("doctor", "--json")
    rows = {(row["target"], row["needs"]): row for row in done.json}
    for device in ("chrome-desktop", "chrome-android"):
        for tool in ("playwright", "chromium"):
            row = rows[device, tool]
            assert row["ok"] or row["remedy"]
    assert (done.code == 0) == all(row["ok"] for (name, _), row in rows.items() if "chrome" not in name)


def test_what_several_need_alike_is_said_once() -> None:
    rows = [
        ("one", "numpy", "2.0", "", True),
        ("two", "numpy", "2.0", "", True),
        ("two", "x", "missing", "get it", False),
    ]
    assert doctor_command._shown(rows, "–") == [
        ("✓", "one, two", "numpy", "2.0", ""),
        ("–", "two", "x", "missing", "get it"),
    ]


def test_a_target_needs_one_framework_that_it_takes_models_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(*installed: str) -> list[doctor_command.Row]:
        monkeypatch.setattr(
            FrameworkInfo, "is_installed", property(lambda info: info.modules[0] in installed)
        )
        return [row for row in doctor_command._of_target(registry.target("tflite")) if "Flow" in row[1]]

    assert rows() == [("tflite", "TensorFlow or PyTorch", "missing", "pip install 'edgepack[tflite]'", False)]
    assert rows("torch") == rows("tensorflow") == []


def test_what_only_sources_of_one_framework_need_is_told_for_them() -> None:
    (pytorch,) = (each for each in frameworks.every() if each.title == "PyTorch")
    rows = {(row[0], row[1].split()[0]): row[3] for row in doctor_command._of_framework(pytorch)}
    assert rows.keys() == {("PyTorch sources", "torch"), ("PyTorch to tflite", "litert-torch")}
    assert rows["PyTorch to tflite", "litert-torch"] in ("", "pip install 'edgepack[torch]'")
