"""Peak memory of `edgepack build` with 200 and with 2,000 samples: samples stream, so it should hardly grow.

The samples are 300 KB each and come from a generator; 2,000 of them, held at once, would be 600 MB. What is measured is
the peak resident size of the largest process of the build, as the kernel keeps it. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

COUNTS = (200, 2000)
SIZE = 160

GENERATOR = """
import numpy as np

def samples():
    random = np.random.default_rng(7)
    for _ in range({count}):
        yield {{"image": random.uniform(-1, 1, size=({size}, {size}, 3)).astype(np.float32)}}
"""

# Runs in a process of its own: TensorFlow here would count towards what is measured.
WRITE_MODEL = """
import sys, keras
from keras import layers
keras.utils.set_random_seed(7)
image = x = keras.Input(({size}, {size}, 3), name="image")
for filters in (16, 32, 64, 128, 256):
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, 3, strides=2, padding="same")(x)))
x = layers.Dense(10, name="scores")(layers.GlobalAveragePooling2D()(x))
keras.Model(image, x).save(sys.argv[1])
"""


def measure_build(folder: Path, count: int) -> dict[str, float]:
    """Seconds and peak megabytes of one build with ``count`` samples."""
    generator = folder / f"samples_{count}.py"
    generator.write_text(GENERATOR.format(count=count, size=SIZE))
    command = [
        sys.executable,
        "-m",
        "edgepack",
        "build",
        folder / "model.keras",
        "--data",
        f"{generator}:samples",
    ]
    command += [
        "--samples",
        str(count),
        "--target",
        "tflite",
        "--precision",
        "int8",
        "--gate",
        "sqnr_db>=-300",
    ]
    command += ["--out", folder / f"dist-{count}", "--json"]

    with (folder / "log").open("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)  # of the process and of all its children that have ended
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"the build with {count} samples failed\n{log.read()[-4000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mb": round(usage.ru_maxrss * unit / 1e6, 1),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model = WRITE_MODEL.format(size=SIZE)
        subprocess.run(
            [sys.executable, "-c", write_model, folder / "model.keras"], check=True, stderr=subprocess.DEVNULL
        )
        builds = {str(count): measure_build(folder, count) for count in COUNTS}
        few, many = (builds[str(count)]["peak_mb"] for count in COUNTS)
        print(json.dumps({"builds": builds, "ratio": round(many / few, 3)}, indent=2))


if __name__ == "__main__":
    main()
