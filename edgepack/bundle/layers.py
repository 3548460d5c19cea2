"""``golden/layers.json``: what every layer of the artifact gave when it was built, in a few numbers each.

The golden vectors tell that an artifact answers wrongly; this tells which layer is the first that does.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..errors import ModelError, UsageError
from ..spec import Array, Arrays
from ..target import Runner

NAME = "golden/layers.json"
MAX_BYTES = 16_000_000
GROUPS = 16
"""How many mean values are kept of a layer: of neighbouring channels, so that a change in one of them shows."""


def write(runner: Runner, inputs: Arrays, folder: Path) -> None:
    """Record the layers of an artifact for the first golden sample; nothing where the runtime cannot give them."""
    try:
        found = summary(runner, inputs)
    except (
        ModelError
    ):  # it answers all the same, and parity has seen that: only a trace will have less to go by
        return
    table = {name: [float(f"{value:.6g}") for value in values.tolist()] for name, values in found.items()}
    (folder / NAME).write_text(json.dumps(table) + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, Array]:
    """What a bundle recorded, in the order that its layers run; empty where there is none. Raises UsageError."""
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        table = json.loads(path.read_bytes())
        return {str(name): np.array([float(value) for value in values]) for name, values in table.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{NAME} cannot be read: {error}.", "Get the bundle again from where it was built."
        ) from error


def summary(runner: Runner, inputs: Arrays) -> dict[str, Array]:
    """Mean values of every layer by its name, at most ``GROUPS`` each; of float and quantized ops that are finite."""
    found = {}
    for name, values in runner.layers(inputs).items():
        if values.size and np.isfinite(values).all():
            channels = (
                values.reshape(-1, values.shape[-1] if values.ndim else 1).astype(np.float64).mean(axis=0)
            )
            parts = np.array_split(channels, min(GROUPS, channels.size))
            found[name] = np.array([part.mean() for part in parts])
    return found
