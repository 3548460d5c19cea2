"""Why nothing was shipped, and what to do."""

from __future__ import annotations

from pathlib import Path

from .console import format_bytes
from .errors import GateError
from .parity import MAX_DB
from .pipeline import Built
from .spec import AUTO, Precision


def rejection(path: Path, built: Built, offered: tuple[Precision, ...]) -> GateError:
    """The error of a bundle whose gate was not met.

    Args:
        path: where it was put aside.
        offered: the target's precisions, from the smallest to the closest.
    """
    manifest = built.manifest
    failures = "; ".join(manifest.gate.failures)
    lines = "".join(f"  {_decibels(layer.sqnr_db):>10}  {layer.name}\n" for layer in built.worst)
    asked = manifest.precision
    closer = () if asked == AUTO else offered[offered.index(Precision(asked)) + 1 :]
    other = " or ".join(closer[:2])
    advice = f"Try --precision {other}, or more samples as in real use." if other else ""
    reached = ""
    if built.allowed is not None:
        reached, advice = f" {_reached(manifest.compression)}", built.allowed.advice
    elif manifest.compression and not manifest.compression["passed before"]:
        reached = " It is not met without compression either."
    return GateError(
        f"The gate was not met, so nothing was shipped: {failures}.{reached}",
        f"See {path}/report.html. {advice}".rstrip(),
        f"Worst layers, against float32:\n{lines}" if lines else "",
    )


def _reached(found: dict[str, float]) -> str:
    """The best that compression came to."""
    agreed, before = 100 * found["artifact agreement"], 100 * found["artifact agreement before"]
    return (
        f"Without compression it is met. That agrees with the original to {before:.1f} %, this to {agreed:.1f} %, at "
        f"{format_bytes(int(found['zipped']))} zipped in place of {format_bytes(int(found['zipped before']))}, "
        f"after {found['minutes']:g} minutes of learning."
    )


def _decibels(sqnr: float) -> str:
    return "not finite" if sqnr <= -MAX_DB else f"{sqnr:.1f} dB"
