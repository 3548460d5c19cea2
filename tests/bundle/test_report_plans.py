"""The report's section on the plans that a search tried."""

from __future__ import annotations

import re
from dataclasses import replace

from test_report import make_report

from edgepack.bundle.charts import front_chart
from edgepack.bundle.manifest import PointEntry, SearchEntry
from edgepack.bundle.report import render

FRONT = (
    PointEntry(name="int8", bytes=1_000_000, sqnr_db=-3.0, passed=False, taken=False),
    PointEntry(name="int8, 2 of 40 ops float16", bytes=1_050_000, sqnr_db=31.0, passed=True, taken=True),
    PointEntry(name="float32", bytes=4_000_000, sqnr_db=131.0, passed=True, taken=False),
)


def page(front: tuple[PointEntry, ...]) -> str:
    report = make_report()
    search = SearchEntry(default="int8", ops={"a": "float16", "b": "float16"}, tried=31, front=front)
    return render(replace(report, manifest=report.manifest.model_copy(update={"search": search})))


def test_every_plan_is_a_row_and_the_one_that_ships_says_so() -> None:
    text = page(FRONT)
    assert "31 plans were tried" in text
    assert [name in text for name in ("int8, 2 of 40 ops float16 (this bundle)", ">float32<")] == [True, True]
    assert len(re.findall(r">(?:met|missed)</td>", text)) == 3


def test_a_bundle_that_nothing_was_searched_for_has_no_such_section() -> None:
    assert "How the precision was found" not in render(make_report())


def test_the_chart_marks_what_ships_and_hollows_what_misses_the_gate() -> None:
    drawn = front_chart([10, 20, 30], [5.0, 30.0, 130.0], [False, True, True], 1, 880)
    assert drawn.count("stroke: var(--bad)") == 1
    assert drawn.count("stroke: var(--surface)") == 1
    assert drawn == front_chart([10, 20, 30], [5.0, 30.0, 130.0], [False, True, True], 1, 880)


def test_a_front_of_one_point_can_be_drawn() -> None:
    assert page(FRONT[:1]).count("<svg") == page(FRONT).count("<svg")
