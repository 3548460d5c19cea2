"""What the benchmarks share: an int8 .tflite made by hand and by edgepack, in turns, and both files measured."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

SIZE = 224
SEED = 7
ANY_RESULT = "sqnr_db>=-300"  # a gate for random weights: their int8 answers are noise, whoever converts them


def parse_options(description: str | None) -> argparse.Namespace:
    """``rounds``, ``samples`` and ``runs``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--runs", type=int, default=200, help="inferences per file")
    return parser.parse_args()


def make_samples(count: int) -> np.ndarray:
    """Smooth random pictures, (count, 224, 224, 3) float32 in -1..1."""
    random = np.random.default_rng(SEED)

    def smooth_noise(cells: int) -> np.ndarray:
        grid = random.normal(size=(3, cells, cells)).astype(np.float32)
        channels = [
            Image.fromarray(channel).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for channel in grid
        ]
        return np.stack(channels, axis=-1) / np.sqrt(cells)

    return np.stack([np.clip(sum(map(smooth_noise, (3, 7, 28))), -1, 1) for _ in range(count)])


def run(*command: object) -> tuple[float, str]:
    """Seconds and standard output of a process. Its messages are shown only if it fails."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-1000:]}\n{done.stderr[-4000:]}")
    return seconds, done.stdout


def run_edgepack(
    source: object, samples: Path, out: Path, precision: str
) -> tuple[float, Path, dict[str, Any]]:
    """Seconds, the .tflite file, and the bundle's entry in what ``--json`` prints."""
    options = ["--data", samples, "--target", "tflite", "--precision", precision, "--out", out, "--json"]
    if precision == "int8":
        options += ["--gate", ANY_RESULT]
    seconds, printed = run("-m", "edgepack", "build", source, *options)
    [bundle] = json.loads(printed)["bundles"]
    [file] = Path(bundle["path"]).glob("*.tflite")
    return seconds, file, bundle


def measure_latency(files: dict[str, Path], runs: int) -> dict[str, float]:
    """Median milliseconds of one inference on one thread, the files taking turns."""
    interpreters = {name: Interpreter(model_path=str(file), num_threads=1) for name, file in files.items()}
    for interpreter in interpreters.values():
        interpreter.allocate_tensors()
        interpreter.invoke()
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(runs):
        for name, interpreter in interpreters.items():
            start = time.perf_counter()
            interpreter.invoke()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: median(values) for name, values in times.items()}


def compare(stock: float, edgepack: float) -> dict[str, float]:
    """Both figures, and edgepack's as a share of the stock converter's."""
    return {"stock": round(stock, 3), "edgepack": round(edgepack, 3), "ratio": round(edgepack / stock, 3)}


def race(
    stock: Path, source: object, samples: Path, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Both, in fresh processes, taking turns: wall times, sizes, latency, and how close edgepack's files are.

    Args:
        stock: the script by hand; takes the source, the samples and the file to write.
    """
    seconds: dict[str, list[float]] = {"stock": [], "edgepack": []}
    for number in range(options.rounds):
        stock_file = folder / f"stock-{number}.tflite"
        stock_seconds, _ = run(stock, source, samples, stock_file)
        edgepack_seconds, edgepack_file, int8 = run_edgepack(
            source, samples, folder / f"int8-{number}", "int8"
        )
        seconds["stock"].append(round(stock_seconds, 2))
        seconds["edgepack"].append(round(edgepack_seconds, 2))
        print(
            f"round {number + 1}: stock {stock_seconds:.1f} s, edgepack {edgepack_seconds:.1f} s",
            file=sys.stderr,
        )
    latency = measure_latency({"stock": stock_file, "edgepack": edgepack_file}, options.runs)
    _, _, float32 = run_edgepack(source, samples, folder / "float32", "float32")
    return {
        "samples": options.samples,
        "seconds": seconds,
        "median_seconds": compare(median(seconds["stock"]), median(seconds["edgepack"])),
        "steps": int8["seconds"],
        "bytes": compare(stock_file.stat().st_size, edgepack_file.stat().st_size),
        "latency_ms": compare(latency["stock"], latency["edgepack"]),
        "float32_sqnr_db": {
            output: metrics["sqnr_db"] for output, metrics in float32["parity"]["host"]["outputs"].items()
        },
    }
