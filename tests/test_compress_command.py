"""``edgepack compress``, as a process."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def compress(edgepack: Run, fake: Callable[[str], str]) -> Run:
    return lambda *options, source="taught", data="many": edgepack(
        "compress", fake(source), "--data", fake(data), "--target", "fake", *options
    )


def test_layers_are_told_one_by_one_and_a_build_finds_what_was_made(
    compress: Run, edgepack: Run, fake: Callable[[str], str]
) -> None:
    done = compress("--prune", 0.5, "--recover-minutes", 0.01, "--json")
    assert done.code == 0, done.err
    hidden, scores = done.json["layers"]
    assert (hidden["name"], hidden["weights"], hidden["zeros"], hidden["macs"]) == ("hidden", 192, 0, 192)
    assert (scores["name"], scores["weights"], scores["zeros"]) == ("scores", 48, 24)
    assert "as it was" in done.err
    built = edgepack(
        "build", fake("taught"), "--data", fake("many"), "--target", "fake", "--gate", "cosine>=0.5",
        "--prune", 0.5, "--recover-minutes", 0.01, "--json",
    )  # fmt: skip
    assert built.json["bundles"][0]["compression"].items() >= done.json["compression"].items()


def test_a_curve_is_a_table_a_page_and_a_command_that_builds_the_smallest(
    compress: Run, edgepack: Run
) -> None:
    done = compress("--curve", "--cluster", 64, "--gate", "cosine>=0.9", "--json")
    assert done.code == 0, done.err
    (curve,) = done.json["curves"]
    ratios = [point["budget"]["prune"] for point in curve["points"] if point["series"] == "prune"]
    assert ratios == [0.2, 0.35, 0.5, 0.65, 0.8, 0.9]
    assert all(point["budget"]["cluster"] == 64 for point in curve["points"][1:])
    errors = {point["series"]: point["error"] for point in curve["points"] if point["error"]}
    assert errors.keys() == {"low rank"}  # of a layer of 48 weights
    assert Path(curve["page"]).read_text().startswith("<!DOCTYPE html>")
    assert Path(curve["chart"]).read_text().startswith("<svg")
    built = edgepack(*shlex.split(curve["smallest"]["command"])[1:], "--json")
    assert built.code == 0, built.err
    (smallest,) = (point for point in curve["points"] if point["budget"] == curve["smallest"]["budget"])
    assert built.json["bundles"][0]["compression"]["zipped"] == smallest["zipped"]
    assert f"  {curve['smallest']['command']}\n" in done.err


@pytest.mark.parametrize(
    ("options", "source", "code", "says"),
    [
        ((), "taught", 2, "no amount is given"),
        (("--prune", "auto"), "taught", 2, "--curve shows what there is to choose from"),
        (
            ("--curve", "--prune", 0.5, "--cluster", 32, "--prune-channels", 0.1, "--low-rank", 0.2),
            "taught",
            2,
            "nothing to draw",
        ),
        (("--curve", "--prune", 1.5), "taught", 2, "above 0 and at most 0.95"),
        (("--curve",), "build", 3, "cannot be compressed yet"),
        (("--prune", 0.5, "--keep-layer", "score"), "taught", 2, "Did you mean 'scores'"),
        (("--curve",), "constant", 2, "same answers"),
    ],
)
def test_what_cannot_be_is_refused(
    compress: Run, options: tuple[object, ...], source: str, code: int, says: str
) -> None:
    done = compress(*options, source=source, data="samples" if source == "build" else "many")
    assert done.code == code
    assert says in done.err
    assert not Path("dist").exists()
