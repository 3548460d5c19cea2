"""The page of a curve: the same bytes, nothing from outside, all figures."""

from __future__ import annotations

import re

import pytest

from edgepack.bundle import charts
from edgepack.compress.budget import Budget
from edgepack.curve import page
from edgepack.curve.sweep import Curve, Point

ORIGINAL = Point("", Budget(), 2000, 5000, 40_000, 30_000, 1.0, 40.0)
MILD = Point("prune", Budget.of({"prune": 0.5}), 1000, 5000, 40_000, 20_000, 0.99, 30.0, 1.02)
STRONG = Point(
    "prune", Budget.of({"prune": 0.9}), 200, 5000, 40_000, 9_000, 0.7, 8.0, 0.98, ("cosine is 0.7",)
)
REFUSED = Point("cluster", Budget.of({"cluster": 8}), error="<b>no layers</b>")
CURVE = Curve("tflite", "int8", "cosine>=0.98", (ORIGINAL, MILD, STRONG, REFUSED))


def test_the_page_has_every_point_and_the_command() -> None:
    text = page.render("<i>flowers</i> 1.0.0", CURVE, "edgepack build <model>")
    assert page.render("<i>flowers</i> 1.0.0", CURVE, "edgepack build <model>") == text
    assert "prune 0.5, 20.0 kB zipped in place of 30.0 kB" in text
    assert "&lt;b&gt;no layers&lt;/b&gt;" in text
    assert "edgepack build &lt;model&gt;" in text
    assert "<i>" not in text
    assert re.findall(r">(passed|failed|cannot be)<", text) == ["passed", "passed", "failed", "cannot be"]
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


def test_without_a_point_that_meets_the_gate_the_page_says_so() -> None:
    curve = Curve("tflite", "int8", "cosine>=0.98", (STRONG,))
    assert "No budget meets the gate" in page.render("flowers", curve, "")


@pytest.mark.parametrize("curve", [CURVE, Curve("tflite", "int8", "", (ORIGINAL,))])
def test_the_chart_is_a_picture_of_its_own_too(curve: Curve) -> None:
    svg = charts.standalone(page.chart(curve))
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    used = set(re.findall(r"var\((--\w+)\)", svg))
    assert used <= set(re.findall(r"(--\w+):", svg))


def test_a_ring_is_what_fails() -> None:
    """Its middle is drawn in the colour of the page."""
    assert page.chart(CURVE).count("--surface") == 1
    assert "--surface" not in page.chart(Curve("", "", "", (ORIGINAL, MILD)))
