"""A histogram of a layer's values over the integers that store them, for the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .charts import ACCENT, MUTED, as_svg, quiet_axes


def histogram(bars: Sequence[int], ends: tuple[float, float], limits: tuple[float, float] | None) -> str:
    """How often values occur between two ends, on a logarithmic scale; a line at each sixteenth of what integers cover."""
    heights = np.log10(1 + np.asarray(bars, np.float64))
    low, high = ends if ends[0] < ends[1] else (ends[0] - 0.5, ends[1] + 0.5)
    covered = limits or (low, high)
    with quiet_axes(320, 150, left=14, bottom=26, top=6) as (figure, axes):
        axes.set_xlim(min(low, *covered), max(high, *covered))
        axes.set_ylim(0, 1.05 * float(heights.max()))
        axes.yaxis.set_visible(False)
        axes.grid(visible=False)
        for place in np.linspace(*limits, 17) if limits else ():
            axes.axvline(place, color=MUTED, lw=0.5, zorder=1, clip_on=False)
        edges = np.linspace(low, high, len(heights) + 1)
        axes.stairs(heights, edges, fill=True, color=ACCENT, alpha=0.75, clip_on=False)
        return as_svg(figure)
