"""The page of ``edgepack bench --html``: one file that opens offline, in the style of a bundle's report.

Names and labels come from bundles and are untrusted: the template escapes them, the charts hold none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from ..bundle import charts
from ..bundle.report import template
from ..console import format_bytes, format_seconds
from .lineup import title
from .result import Result

CHART_WIDTHS = {"wide": 912, "narrow": 330}


@dataclass(frozen=True)
class Bars:
    """One figure of every bundle, as a table with bars.

    Attributes:
        rows: place of the bundle, value in words, and how long its bar is, in percent.
    """

    title: str
    what: str
    rows: tuple[tuple[int, str, float], ...]


def render(results: tuple[Result, ...], notes: list[str], machine: str, threads: int) -> str:
    """The page. The same measurements give the same bytes."""
    return template("bench.html.j2").render(
        title=title([each.entrant for each in results]),
        results=results,
        notes=notes,
        machine=machine,
        threads=threads,
        charts=[(name, Markup(_chart(results, width))) for name, width in CHART_WIDTHS.items()],
        bars=_bars(results),
        seconds=format_seconds,
    )


def _chart(results: tuple[Result, ...], width: int) -> str:
    strong = [each.entrant.named for each in results]
    return charts.latency_chart([each.round_medians for each in results], strong, width)


def _bars(results: tuple[Result, ...]) -> list[Bars]:
    def bars(
        title: str, what: str, value: Callable[[Result], float | None], words: Callable[..., str]
    ) -> Bars:
        values = [value(each) for each in results]
        most = max((each for each in values if each), default=1)
        return Bars(
            title,
            what,
            tuple(
                (place, "not known" if each is None else words(each), 100 * (each or 0) / most)
                for place, each in enumerate(values)
            ),
        )

    return [
        bars(
            "Artifact",
            "the files that the runtime loads",
            lambda each: each.entrant.bundle.artifact.bytes,
            format_bytes,
        ),
        bars(
            "Download",
            "compressed: the first visit of a page, else the artifact by gzip",
            lambda each: each.entrant.download_bytes,
            format_bytes,
        ),
        bars(
            "Memory",
            "how far the process rose above what it held before the artifact was loaded, at its highest",
            lambda each: each.cost.memory_bytes,
            format_bytes,
        ),
        bars(
            "Load",
            "from the artifact’s files, read before, to ready; without the start of the runtime",
            lambda each: each.load,
            format_seconds,
        ),
        bars("First call", "of a fresh process", lambda each: each.first, format_seconds),
    ]
