"""The plans that a search tried: for the manifest, and as charts of the report."""

from __future__ import annotations

from markupsafe import Markup

from ..precision.search import Search
from ..target import Plan
from . import charts
from .manifest import PointEntry, SearchEntry

Charts = tuple[tuple[str, Markup], ...]
"""One chart in several widths, each with the name that the style sheet knows it by."""


def entry(found: Search | None, plan: Plan) -> SearchEntry | None:
    """What a manifest tells of a search, and of the plan that ships; nothing where none was made."""
    if found is None:
        return None
    return SearchEntry(
        default=plan.default,
        ops=dict(plan.ops),
        tried=found.count,
        front=tuple(
            PointEntry(
                name=point.name,
                bytes=point.trial.bytes,
                sqnr_db=round(point.trial.sqnr_db, 3),
                metrics=point.trial.metrics,
                passed=found.passes(point),
                taken=point.trial.plan == plan,
            )
            for point in found.front
        ),
    )


def charts_of(search: SearchEntry | None) -> Charts:
    """A wide and a narrow one; none where nothing was searched."""
    if search is None:
        return ()
    front = search.front
    taken = next((place for place, each in enumerate(front) if each.taken), None)
    sizes, sqnr_db = [each.bytes for each in front], [each.sqnr_db for each in front]
    passed = [each.passed for each in front]
    return tuple(
        (name, Markup(charts.front_chart(sizes, sqnr_db, passed, taken, width)))
        for name, width in charts.WIDTHS
    )
