"""``edgepack inspect --layers``: where the error of a bundle enters and grows, why, and what was done about it."""

from __future__ import annotations

from pathlib import Path

from .bundle.manifest import LayerEntry, Manifest
from .console import Console
from .errors import UsageError
from .parity import MAX_DB

BAR, BAR_DB = 12, 60.0
"""How long a bar is, and what fills it: an error of a thousandth."""


def of(manifest: Manifest | None, path: Path) -> Manifest:
    """The record that there is. Raises UsageError for a bare artifact, which has none."""
    if manifest is None:
        raise UsageError(
            f"{path.name} is a bare artifact; how far its layers are from the original, only a bundle records.",
            "Give the folder or the .zip of a bundle; or leave --layers away.",
        )
    return manifest


def show(console: Console, manifest: Manifest) -> None:
    """A row for every layer in the order of the graph; below, the few that are explained."""
    console.line("")
    if not manifest.layers:
        console.line("No layers are recorded: it is float32, an older bundle, or cannot be looked into.")
        return
    console.table(
        ("", "layer, beside float32", "kind", "SQNR dB", "", "rounding"),
        [_row(number, layer) for number, layer in enumerate(manifest.layers, 1)],
        frozenset({0, 3, 5}),
        frozenset({4}),
    )
    console.line("rounding: the SQNR that storing exact values in integers leaves")
    for number, layer in enumerate(manifest.layers, 1):
        if layer.cause:
            told = [("why", layer.cause), ("done", layer.remedy)]
            console.line("")
            console.table(
                (str(number), f"{layer.op} ({layer.kind}, {layer.precision})"),
                [row for row in told if row[1]],
            )
    if manifest.remedies:
        console.line("")
        console.table(("", "done for all layers"), [("", remedy) for remedy in manifest.remedies])


def _row(number: int, layer: LayerEntry) -> tuple[str, ...]:
    rounding = "" if layer.rounding_db is None else _db(layer.rounding_db)
    return str(number), layer.op, layer.kind, _db(layer.sqnr_db), _bar(layer.sqnr_db), rounding


def _db(value: float) -> str:
    return "exact" if value >= MAX_DB else f"{value:.1f}"


def _bar(value: float) -> str:
    filled = round(BAR * min(max(value, 0.0), BAR_DB) / BAR_DB)
    return "█" * filled + "·" * (BAR - filled)
