"""The report's section on compression."""

from __future__ import annotations

from dataclasses import replace

from test_report import make_report

from edgepack.bundle import smaller
from edgepack.bundle.report import render

FOUND = {
    "prune": 0.8, "agreement before learning": 0.91, "agreement": 0.97, "steps": 300, "minutes": 0.5, "layers": 3,
    "weights before": 2000, "weights": 1000, "zeros": 600, "macs before": 5000, "macs": 2500, "passed before": 1.0,
    "bytes before": 40_000, "bytes": 20_000, "zipped before": 30_000, "zipped": 7500,
    "artifact agreement before": 1.0, "artifact agreement": 0.96,
}  # fmt: skip


def test_each_figure_has_a_bar_before_and_after() -> None:
    weights, macs, size, zipped, agreed = smaller.figures(FOUND)
    assert (weights.words, weights.percents, weights.ratio) == (("2,000", "400"), (100, 20), "× 0.20")
    assert macs.percents == size.percents == (100, 50)
    assert (zipped.words, zipped.ratio) == (("30 kB", "7.5 kB"), "× 0.25")
    assert agreed.words == ("100.0 %", "96.0 %")


def test_what_grew_has_the_longer_bar() -> None:
    assert smaller.figures(FOUND | {"bytes": 80_000})[2].percents == (50, 100)


def test_the_page_tells_it_where_there_was_compression() -> None:
    report = make_report()
    assert 'id="smaller"' not in render(report)
    page = render(replace(report, manifest=report.manifest.model_copy(update={"compression": FOUND})))
    assert 'href="#smaller"' in page
    assert "× 0.25" in page
    assert "Share of weights to be zero: 0.8; minutes of learning: 0.5; layers changed: 3." in page
