"""The report's charts: matplotlib draws them, the page colours them.

Each returns an ``<svg>`` to put inline. The same values give the same bytes. No text of a model's goes into one, so
there is none to escape: a chart numbers what it marks, and the page beside it has the names. All points of a kind are
one path, so the number of SVG nodes does not grow with the data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 2000
WIDTHS = (("wide", 880), ("narrow", 350))
"""Of a chart that comes twice, in CSS pixels; the style sheet shows the one that fits."""

STEP_DB = 20  # ten times the error
LATENCY_UNITS = (("s", 1.0), ("ms", 1e3), ("µs", 1e6))

# Colours that nothing else draws; each becomes a CSS variable of the page, and so follows dark, light and print.
MUTED, GRID, SURFACE, ACCENT, BAD = "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06"
VARIABLES = {MUTED: "muted", GRID: "line", SURFACE: "surface", ACCENT: "accent", BAD: "bad"}

SETTINGS: dict[Any, object] = {  # matplotlib types its 300 keys one by one
    "svg.fonttype": "none",  # text stays text: the page's font, selectable, and small
    "svg.hashsalt": "edgepack",
    "path.simplify": False,  # it would drop the zero-length strokes that are our dots
    "font.size": 12,
    "axes.unicode_minus": True,
}


def layer_chart(
    sqnr_db: Sequence[float], quantized: Sequence[bool], marked: Sequence[int], width: int
) -> str:
    """SQNR by layer, in the order of the graph.

    Args:
        sqnr_db: may be infinite (no error at all), which is drawn on the upper edge.
        quantized: whether a layer computes in integers: a filled dot, else a ring.
        marked: the layers to number 1, 2, ... in red, as indices.
        width: in CSS pixels; a phone gets a chart of its own, for text that shrinks with a chart cannot be read.
    """
    values = np.nan_to_num(np.asarray(sqnr_db, np.float64), nan=np.inf, posinf=np.inf, neginf=-np.inf)
    low, high = _bounds(values)
    values = np.clip(values, low, high)
    places = np.arange(1, len(values) + 1)
    filled = np.asarray(quantized, bool)
    red = np.isin(np.arange(len(values)), marked)
    size = min(6.5, max(3.0, width / len(values) / 2))

    with quiet_axes(width, 280, left=34, bottom=40, top=24) as (figure, axes):
        axes.set_xlim(0.5, len(values) + 0.5)
        axes.set_ylim(low - 0.12 * (high - low), high)
        axes.plot(places, values, color=ACCENT, alpha=0.45, lw=1, clip_on=False, zorder=1.5)
        axes.grid(visible=False, axis="x")
        axes.set_yticks(np.arange(low, high + 1, STEP_DB))
        for chosen, color, dot in ((~red, ACCENT, size), (red, BAD, size + 1.6)):
            _dots(axes, places[chosen & filled], values[chosen & filled], color, dot)
            _dots(axes, places[chosen & ~filled], values[chosen & ~filled], color, dot + 1)
            _dots(axes, places[chosen & ~filled], values[chosen & ~filled], SURFACE, dot - 1)
        _numbers(axes, [(places[index], values[index]) for index in marked], (len(values) / width) * 13)
        _titles(axes, "layer, from input to output", "SQNR in dB; higher is better")
        return as_svg(figure)


def scatter_chart(original: Array, artifact: Array) -> str:
    """What the artifact computes (y) against what the original computes (x), on the line where they are equal."""
    x, y = (np.asarray(values, np.float64).ravel() for values in (original, artifact))
    finite = np.isfinite(x) & np.isfinite(y)
    step = max(1, math.ceil(int(finite.sum()) / MAX_POINTS))
    x, y = x[finite][::step], y[finite][::step]
    low, high = (float(min(x.min(), y.min())), float(max(x.max(), y.max()))) if x.size else (0.0, 1.0)
    pad = (high - low) * 0.04 or abs(high) * 0.04 or 1.0
    low, high = low - pad, high + pad

    with quiet_axes(340, 340, left=46, bottom=40, top=24) as (figure, axes):
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.plot((low, high), (low, high), color=MUTED, lw=1, dashes=(4, 3), clip_on=False, zorder=1.5)
        _dots(axes, x, y, ACCENT, 3.2)
        _titles(axes, "original", "this bundle")
        return as_svg(figure)


def front_chart(
    sizes: Sequence[int], sqnr_db: Sequence[float], passed: Sequence[bool], taken: int | None, width: int
) -> str:
    """SQNR by size of the plans that a search tried, numbered 1, 2, ...; a ring is one that misses the gate.

    Args:
        sizes: bytes, ascending.
        taken: the one that ships, in red, as an index; None where it is not among them.
        width: in CSS pixels, as for layer_chart.
    """
    values = np.clip(np.asarray(sqnr_db, np.float64), -40, 100)
    low, high = _bounds(values)
    kilobytes, met = np.asarray(sizes, np.float64) / 1000, np.asarray(passed, bool)
    right = 1.05 * float(kilobytes.max())

    with quiet_axes(width, 260, left=34, bottom=40, top=24) as (figure, axes):
        axes.set_xlim(0, right)
        axes.set_ylim(low - 0.12 * (high - low), high)
        axes.set_yticks(np.arange(low, high + 1, STEP_DB))
        axes.step(kilobytes, values, where="post", color=ACCENT, alpha=0.45, lw=1, clip_on=False, zorder=1.5)
        for place, (x, y) in enumerate(zip(kilobytes, values, strict=True)):
            _dots(axes, x[None], y[None], BAD if place == taken else ACCENT, 7)
            _dots(axes, x[None][~met[place, None]], y[None][~met[place, None]], SURFACE, 4)
        _numbers(axes, list(zip(kilobytes, values, strict=True)), right / width * 13)
        _titles(axes, "kB; to the left is smaller", "SQNR in dB, on calibration samples; higher is better")
        return as_svg(figure)


def latency_chart(rounds: Sequence[Sequence[float]], strong: Sequence[bool], width: int) -> str:
    """The latency of every round as a dot, one row for each series from the top, numbered 1, 2, ...; a bar at the median.

    Args:
        rounds: seconds.
        strong: the series to draw in the accent colour.
        width: in CSS pixels, as for layer_chart.
    """
    series = [np.asarray(each, np.float64) for each in rounds]
    high = 1.1 * max(float(np.percentile(each, 90)) for each in series)
    unit, scale = next(each for each in LATENCY_UNITS if high * each[1] >= 1 or each is LATENCY_UNITS[-1])

    with quiet_axes(width, 64 + 40 * len(series), left=34, bottom=40, top=8) as (figure, axes):
        axes.set_xlim(0, high * scale)
        axes.set_ylim(len(series) + 0.5, 0.5)
        axes.set_yticks(np.arange(1, len(series) + 1))
        for row, (each, is_strong) in enumerate(zip(series, strong, strict=True), 1):
            values, color = np.minimum(each, high) * scale, ACCENT if is_strong else MUTED
            _dots(axes, values, row + 0.5 * (np.arange(len(values)) / len(values) - 0.5), color, 3.2)
            middle = float(np.median(values))
            axes.plot((middle, middle), (row - 0.38, row + 0.38), color=color, lw=2.5, clip_on=False)
        axes.set_xlabel(f"{unit} a call; to the left is faster", color=MUTED, labelpad=5)
        return as_svg(figure)


def curve_chart(
    series: Sequence[Sequence[tuple[float, float, bool]]],
    original: tuple[float, float],
    chosen: tuple[float, float] | None,
    width: int,
) -> str:
    """Agreement against size: a line for each series, numbered 1, 2, ... at its last point, from the original on.

    Args:
        series: zipped kB, agreement in percent, and whether the gate is met: a filled dot, else a ring.
        chosen: the point to draw larger.
        width: in CSS pixels, as for layer_chart.
    """
    points = [point for each in series for point in each]
    lowest = min([original[1], *(y for _, y, _ in points)])
    with quiet_axes(width, 340, left=46, bottom=40, top=24) as (figure, axes):
        axes.set_xlim(0, 1.05 * max([original[0], *(x for x, _, _ in points)]))
        axes.set_ylim(max(0.0, lowest - 0.12 * (100 - lowest) - 1), 100.5)
        for line, dashes in zip(series, cycle(((1, 0), (5, 3), (1.5, 2.5), (6, 2, 1.5, 2))), strict=False):
            path = np.array([original, *((x, y) for x, y, _ in line)])
            axes.plot(path[:, 0], path[:, 1], color=ACCENT, alpha=0.6, lw=1.3, dashes=dashes, zorder=1.5)
        for (x, y), dot in ((original, 6.0), *(((chosen, 11.0),) if chosen else ())):
            _dots(axes, np.array([x]), np.array([y]), MUTED if dot < 10 else ACCENT, dot)
        for x, y, passed in points:
            _dots(axes, np.array([x]), np.array([y]), ACCENT, 6.0)
            if not passed:
                _dots(axes, np.array([x]), np.array([y]), SURFACE, 3.6)
        _numbers(axes, [line[-1][:2] for line in series if line], 0.0)
        _titles(axes, "kB of the artifact, zipped; to the left is smaller", "agreement with the original, %")
        return as_svg(figure)


def standalone(svg: str) -> str:
    """A chart as a file of its own, in the colours of a light page."""
    colors = "--muted:#57606a;--line:#d8dee4;--surface:#ffffff;--accent:#0b62b8;--bad:#b3201b"
    style = f"<style>svg{{{colors};background:#ffffff;font-family:sans-serif}}</style>"
    return svg.replace(">", f">{style}", 1) + "\n"


def _bounds(values: Array) -> tuple[float, float]:
    """The range to draw, in whole steps; what is better than 100 dB is as good as exact."""
    finite = np.clip(values[np.isfinite(values)], -40, 100)
    if not finite.size:
        return 0.0, 100.0
    gap = 0 if np.isfinite(values).all() else 5  # keeps what is exact apart from what is merely good
    low = min(0, STEP_DB * math.floor(finite.min() / STEP_DB))
    return low, max(low + 2 * STEP_DB, STEP_DB * math.ceil((finite.max() + gap) / STEP_DB))


@contextmanager
def quiet_axes(width: int, height: int, left: int, bottom: int, top: int) -> Iterator[tuple[Figure, Axes]]:
    """A quiet pair of axes, sizes in CSS pixels: horizontal and vertical hairlines, no ticks, no frame."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change the bytes
        matplotlib.rcParams.update(SETTINGS)
        figure = Figure(figsize=(width / 72, height / 72))
        box = (left / width, bottom / height, 1 - (left + 14) / width, 1 - (bottom + top) / height)
        axes = figure.add_axes(box)
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0, labelcolor=MUTED, pad=5)
        axes.grid(color=GRID, lw=0.7, clip_on=False)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(
            MaxNLocator(8 if width > 400 else 5, steps=[1, 2, 5, 10], integer=width != height)
        )
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        yield figure, axes


def _titles(axes: Axes, x: str, y: str) -> None:
    """The y title lies flat above its axis, where it can be read."""
    axes.set_xlabel(x, color=MUTED, labelpad=5)
    axes.set_title(y, color=MUTED, loc="left", fontsize=12, pad=10)


def _dots(axes: Axes, x: Array, y: Array, color: str, size: float) -> None:
    """Any number of points as one path: strokes of no length with round ends."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(x):
        return
    path = Path(np.repeat(np.column_stack((x, y)), 2, axis=0), [Path.MOVETO, Path.LINETO] * len(x))
    style = {"fill": False, "edgecolor": color, "lw": size, "capstyle": "round", "clip_on": False}
    axes.add_patch(PathPatch(path, zorder=3, **style))


def _numbers(axes: Axes, points: list[tuple[float, float]], near: float) -> None:
    """Number points below themselves, in one more row for every one that stands closer than ``near``."""
    rows: list[tuple[float, int]] = []
    for number, (x, y) in sorted(enumerate(points, 1), key=lambda item: item[1][0]):
        taken = {row for other, row in rows if x - other < near}
        row = next(row for row in range(len(points)) if row not in taken)
        rows.append((x, row))
        axes.annotate(
            str(number),
            (x, y),
            (0, -8 - 12 * row),
            textcoords="offset points",
            ha="center",
            va="top",
            color=BAD,
            weight="bold",
            annotation_clip=False,
        )


def as_svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` that takes its colours and font from the page and leaves the page's alone."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(
        r"<defs>.*?</defs>|<!--.*?-->", "", svg, flags=re.DOTALL
    )  # its style would hold for the whole page
    svg = re.sub(
        r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r'<svg xmlns="http://www.w3.org/2000/svg" \1>', svg
    )
    svg = re.sub(
        r' (id="[^"]*"|transform="rotate\(-0 [^"]*")', "", svg
    )  # ids would repeat from chart to chart
    svg = re.sub(r" font-family: [^;\"]*;|font: [^;\"]*;", "", svg)
    svg = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.1f}", svg)
    svg = re.sub(r"M (\S+) (\S+) *\nL \1 \2 *\n", r"M\1 \2h0", svg)
    svg = re.sub(r"<g/>|<g>\s*</g>", "", re.sub(r">\s+<", "><", svg))
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    return svg.strip()
