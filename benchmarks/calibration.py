"""Calibration, ai-edge-quantizer's own and edgepack's, in turns in one process: MobileNetV2 at 224x224, 200 samples.

Both keep the least and the greatest value of every tensor. Prints one JSON document: seconds of each, the ratio, how far
the ranges are apart relative to their width, and by how much memory grew from the first quarter of the samples to the last.
Fails where ranges differ.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from ai_edge_quantizer import calibrator, recipe, recipe_manager
from ai_edge_quantizer.utils import qsv_utils
from mobilenet import write_model
from side_by_side import make_samples, parse_options

from edgepack.events import Step
from edgepack.model import LoadRequest
from edgepack.spec import Arrays, Signature
from edgepack.targets._tf import framework
from edgepack.targets.tflite.calibrate import Ranges, calibrate
from edgepack.targets.tflite.convert import convert

SAME = 1e-5
"""Of a range's width: float32 sums in another order."""


class Pictures:
    """Samples made anew whenever they are read, and the memory in use after a quarter of them and after all."""

    def __init__(self, pictures: np.ndarray, count: int) -> None:
        self._pictures, self._count = pictures, count
        self.held: list[float] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Arrays]:
        for number in range(self._count):
            if number == self._count // 4:
                self.held.append(_held())
            picture = self._pictures[number % len(self._pictures)][None]
            yield {"image": (picture * (1 - number / 1e4)).astype(np.float32)}
        self.held.append(_held())


def _held() -> float:
    """Megabytes that the process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def stock(data: bytes, samples: Pictures) -> Ranges:
    """As ``quantizer.Quantizer.calibrate`` does it, with extremes in place of its moving average."""
    slow = calibrator.Calibrator(data, qsv_update_func=qsv_utils.min_max_update)
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe.static_wi8_ai8())
    slow.calibrate({"serving_default": list(samples)}, manager)
    found: Ranges = slow.get_model_qsvs()
    return found


def apart(one: Ranges, other: Ranges) -> float:
    """How far the ranges of the tensors that both have are apart, relative to their width, at most."""
    both = [(one[name], other[name]) for name in one if name in other]
    if len(both) < 50:
        raise SystemExit(f"only {len(both)} tensors were calibrated by both")
    worst = 0.0
    for a, b in both:
        width = max(float(np.max(a["max"]) - np.min(a["min"])), 1e-9)
        worst = max(
            worst, *(float(np.max(np.abs(np.ravel(a[edge]) - np.ravel(b[edge])))) / width for edge in a)
        )
    return worst


def lowered(folder: Path, pictures: np.ndarray) -> tuple[bytes, Signature]:
    write_model(folder / "mobilenet.keras", pictures)
    model = framework.load(LoadRequest("mobilenet", folder / "mobilenet.keras"))
    return convert(model.form("tf")), model.signature


def main() -> None:
    options = parse_options(__doc__)
    count = max(options.samples, 200)
    pictures = make_samples(32)
    with tempfile.TemporaryDirectory() as name:
        data, signature = lowered(Path(name), pictures)
    times: dict[str, list[float]] = {"ai-edge-quantizer": [], "edgepack": []}
    found: dict[str, Ranges] = {}
    growth = 0.0
    for number in range(options.rounds):
        samples = Pictures(pictures, count)
        start = time.perf_counter()
        found["edgepack"] = calibrate(data, signature, samples, Step("calibrate"))
        times["edgepack"].append(time.perf_counter() - start)
        if not number:  # before the other's memory counts
            growth = samples.held[-1] - samples.held[0]
        start = time.perf_counter()
        found["ai-edge-quantizer"] = stock(data, Pictures(pictures, count))
        times["ai-edge-quantizer"].append(time.perf_counter() - start)
    seconds = {who: round(median(each), 2) for who, each in times.items()}
    difference = apart(found["ai-edge-quantizer"], found["edgepack"])
    ratio = round(seconds["ai-edge-quantizer"] / seconds["edgepack"], 2)
    report = {
        "samples": count,
        "seconds": seconds,
        "ratio": ratio,
        "apart": difference,
        "growth_mb": round(growth, 1),
    }
    print(json.dumps(report, indent=2))
    if difference > SAME:
        raise SystemExit("the ranges differ")


if __name__ == "__main__":
    main()
