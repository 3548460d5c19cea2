"""The page of ``edgepack compress --curve``: one file that opens offline, in the style of a bundle's report.

Names come from models and are untrusted: the template escapes them, the chart holds none of them.
"""

from __future__ import annotations

from markupsafe import Markup

from ..bundle import charts
from ..bundle.report import template
from .sweep import Curve, Point

CHART_WIDTHS = {"wide": 880, "narrow": 350}


def render(name: str, curve: Curve, command: str) -> str:
    """The page; the same curve gives the same bytes.

    Args:
        name: of the model, and its version.
        command: what builds the smallest point that meets the gate; empty where none does.
    """
    return template("curve.html.j2").render(
        name=name,
        curve=curve,
        series=list(_series(curve)),
        command=command,
        charts=[(kind, Markup(chart(curve, width))) for kind, width in CHART_WIDTHS.items()],
    )


def chart(curve: Curve, width: int = CHART_WIDTHS["wide"]) -> str:
    """The points as an ``<svg>`` that takes its colours from a page."""
    original, best = curve.points[0], curve.smallest
    lines = [[(*_place(point), point.passed) for point in points] for points in _series(curve).values()]
    return charts.curve_chart(lines, _place(original), _place(best) if best else None, width)


def _series(curve: Curve) -> dict[str, list[Point]]:
    """The points that could be made, by series."""
    found: dict[str, list[Point]] = {}
    for point in curve.points[1:]:
        if not point.error:
            found.setdefault(point.series, []).append(point)
    return found


def _place(point: Point) -> tuple[float, float]:
    return point.zipped / 1000, 100 * point.agreement
