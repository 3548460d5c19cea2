"""``edgepack doctor``: what is missing, for targets and devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgepack import doctor_command


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
