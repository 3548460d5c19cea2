"""Stock int8 beside ``--precision auto``, for the two samples that stock int8 is bad at: a recurrent network and a transformer.

Build them first, ``python prepare.py`` and ``edgepack build`` in samples/vowels and samples/rows. Prints one JSON document:
bytes, and SQNR over the golden vectors of the bundles, which calibration never saw. The stock files are those of
stock_litert_torch.py and stock_tflite.py, calibrated with all of the sample's data.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import run

from edgepack import parity, registry
from edgepack.bundle import reader
from edgepack.devices import golden
from edgepack.target import Artifact

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "samples"
STOCK = {
    "vowels": ("stock_litert_torch.py", "model.py:build"),
    "rows": ("stock_tflite.py", "data/rows.keras"),
}


def measure(sample: str, scratch: Path) -> dict[str, Any]:
    folder = SAMPLES / sample
    (bundle_folder,) = (folder / "dist").glob("*-tflite-auto")
    bundle = reader.read(bundle_folder)
    vectors = golden.load(bundle)
    script, source = STOCK[sample]
    run(HERE / script, folder / source, folder / "data/samples.npz", scratch / f"{sample}.tflite")
    stock = Artifact(scratch, (f"{sample}.tflite",))
    runner = registry.load_target(registry.target("tflite")).open(stock)
    (taken,), (given,) = runner.signature.inputs, runner.signature.outputs

    def renamed(inputs: Any) -> dict[str, np.ndarray]:
        (values,) = inputs.values()
        (name,) = vectors.outputs[0]
        return {name: runner({taken.name: values})[given.name]}

    (found,) = parity.measure(renamed, vectors.inputs, vectors.outputs).values()
    search = bundle.manifest.search
    return {
        "stock int8": {"bytes": stock.bytes, "sqnr_db": round(found.sqnr_db, 1)},
        **{
            path.name.partition("1.0.0-")[2]: {
                "bytes": each.artifact.bytes,
                "of float32": round(each.artifact.bytes / each.manifest.search.front[-1].bytes, 3),
                "sqnr_db": min(m.sqnr_db for m in each.manifest.parity["host"].outputs.values()),
                "plan": {"default": each.manifest.search.default, "ops": len(each.manifest.search.ops)},
                "tried": each.manifest.search.tried,
            }
            for path in sorted((folder / "dist").glob("*-auto"))
            for each in [reader.read(path)]
        },
        "of float32": round(stock.bytes / search.front[-1].bytes, 3) if search else None,
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps({sample: measure(sample, Path(scratch)) for sample in STOCK}, indent=2))


if __name__ == "__main__":
    main()
