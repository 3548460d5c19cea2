"""The report's section on compression: what a model was, and what it became, as a table with bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..console import format_bytes


@dataclass(frozen=True)
class Before:
    """A figure before and after.

    Attributes:
        words: before and after.
        percents: how long the bars are, the longer one 100.
        ratio: in words; how much is left.
    """

    title: str
    words: tuple[str, str]
    percents: tuple[float, float]
    ratio: str


ASKED = {
    "prune": "share of weights to be zero",
    "prune channels": "share of channels to go",
    "low rank": "share of weights to go by low rank",
    "cluster": "values a layer at most",
    "minutes": "minutes of learning",
    "layers": "layers changed",
}
"""What is told as it is, where a manifest has it."""


def figures(found: Mapping[str, float]) -> tuple[Before, ...]:
    """What can be held against the original, of a manifest's ``compression``; empty without."""
    if not found:
        return ()
    alive = found["weights"] - found["zeros"]
    return (
        _figure("Weights that are not zero", found["weights before"], alive, _count),
        _figure("Multiplications for a sample", found["macs before"], found["macs"], _count),
        _figure("Artifact", found["bytes before"], found["bytes"], format_bytes),
        _figure("Artifact, zipped", found["zipped before"], found["zipped"], format_bytes),
        _figure(
            "Agreement with the original",
            found["artifact agreement before"],
            found["artifact agreement"],
            lambda share: f"{100 * share:.1f} %",
        ),
    )


def asked(found: Mapping[str, float]) -> tuple[str, ...]:
    """What was asked for and done, in words."""
    return tuple(f"{words}: {found[name]:g}" for name, words in ASKED.items() if name in found)


def _figure(title: str, before: float, after: float, words: Callable[..., str]) -> Before:
    most = max(before, after) or 1
    whole = (int(before), int(after)) if before > 1 else (before, after)
    ratio = f"× {after / before:.2f}" if before else ""
    return Before(title, (words(whole[0]), words(whole[1])), (100 * before / most, 100 * after / most), ratio)


def _count(number: float) -> str:
    return f"{number:,.0f}"
