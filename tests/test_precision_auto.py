"""``--precision auto`` and ``edgepack tune``, as commands, with the fake target: two layers, in int8 or float32."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Build = Callable[..., Any]


@pytest.fixture
def tune(edgepack: Callable[..., Any], fake: Callable[[str], str]) -> Build:
    def run(*args: object) -> Any:
        return edgepack("tune", fake("build"), "--data", fake("samples"), "--target", "fake", *args)

    return run


def test_a_gate_that_int8_meets_ships_int8(build: Build) -> None:
    (bundle,) = build("--precision", "auto", "--gate", "sqnr_db>=20", "--json").json["bundles"]
    assert Path(bundle["path"]).name.endswith("-fake-auto")
    assert bundle["audit"]["ops_by_precision"] == {"int8": 2}
    assert bundle["search"]["default"] == "int8"
    assert bundle["search"]["tried"] == 2
    assert [point["name"] for point in bundle["search"]["front"]] == ["int8", "float32"]
    assert [point["taken"] for point in bundle["search"]["front"]] == [True, False]


def test_a_gate_that_int8_misses_moves_one_layer_up_and_tells_why(build: Build) -> None:
    ended = build("--precision", "auto", "--gate", "sqnr_db>=42", "--json")
    (bundle,) = ended.json["bundles"]
    assert bundle["audit"]["ops_by_precision"] == {"float32": 1, "int8": 1}
    (island,) = bundle["audit"]["float_islands"]
    assert "the gate was not met; as int8, it alone leaves the outputs" in island["reason"]
    assert bundle["search"]["ops"] == {island["op"]: "float32"}
    assert "meets the gate" in ended.err
    report = (Path(bundle["path"]) / "report.html").read_text()
    assert "How the precision was found" in report


def test_two_builds_are_the_same_byte_for_byte(build: Build) -> None:
    found = []
    for out in ("a", "b"):
        build("--precision", "auto", "--gate", "sqnr_db>=42", "--out", out)
        (folder,) = Path(out).iterdir()
        found.append({path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert found[0] == found[1]


def test_a_gate_that_float32_misses_ends_before_any_search(build: Build) -> None:
    ended = build("--precision", "auto", "--gate", "sqnr_db>=20", source="broken")
    assert ended.code == 1
    assert "The gate cannot be met, so nothing was searched: even float32 misses it" in ended.err
    assert "try" not in ended.err.partition("error:")[0]
    assert not Path("dist").exists()


def test_tune_prints_what_there_is_to_choose_from(tune: Build) -> None:
    ended = tune("--gate", "sqnr_db>=42")
    assert ended.code == 0
    assert ended.out == ""
    rows = [line.split() for line in ended.err.splitlines() if line[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2*", "3"]
    assert [row[-1] for row in rows] == ["missed", "met", "met"]
    assert not Path("dist").exists()


def test_tune_as_json_has_every_plan_in_full(tune: Build) -> None:
    (table,) = tune("--gate", "sqnr_db>=42", "--json").json["targets"]
    assert table["target"] == "fake"
    assert table["error"] is None
    best = [point for point in table["points"] if point["best"]]
    assert [(point["number"], point["passed"], len(point["ops"])) for point in best] == [(2, True, 1)]
    assert all(point["seconds"] > 0 for point in table["points"])
    assert table["points"][-1]["to_float"] == 1


def test_take_builds_that_row_and_the_manifest_repeats_it(tune: Build) -> None:
    (bundle,) = tune("--gate", "sqnr_db>=42", "--take", "3", "--json").json["bundles"]
    assert bundle["audit"]["ops_by_precision"] == {"float32": 2}
    manifest = json.loads((Path(bundle["path"]) / "manifest.json").read_text())
    assert "--precision auto --take 3" in manifest["command"]
    assert [point["taken"] for point in manifest["search"]["front"]] == [False, False, True]


def test_a_row_that_misses_the_gate_is_not_shipped(tune: Build) -> None:
    ended = tune("--gate", "sqnr_db>=42", "--take", "1")
    assert ended.code == 1
    assert "The gate was not met" in ended.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--take", "9", "--precision", "auto"), "There is no point 9 to take; there are 2."),
        (("--take", "2"), "There is a point to take, but no search that has points."),
    ],
)
def test_what_cannot_be_taken_is_wrong_usage(build: Build, flags: tuple[str, ...], message: str) -> None:
    ended = build(*flags)
    assert ended.code == 2
    assert message in ended.err
