"""The plans that a search tried, as charts of the report."""

from __future__ import annotations

from markupsafe import Markup

from . import charts
from .manifest import SearchEntry

Charts = tuple[tuple[str, Markup], ...]
"""One chart in several widths, each with the name that the style sheet knows it by."""


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
