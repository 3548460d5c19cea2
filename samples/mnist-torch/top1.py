"""Top-1 accuracy of the original and of built bundles, on 2,000 labelled digits:

python top1.py dist/mnist-torch-1.0.0-*-int8
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from model import build

from edgepack import registry
from edgepack.bundle import reader

HERE = Path(__file__).parent


def run_original(images: np.ndarray) -> np.ndarray:
    """Probabilities (N, 10). The bare network wants its pixels scaled, channels first."""
    scaled = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.1307) / 0.3081
    with torch.no_grad():
        return build()(scaled)["probabilities"].numpy()


def run_bundle(folder: Path, images: np.ndarray) -> np.ndarray:
    """Probabilities (N, 10), by the runtime that the bundle is for. The bundle takes raw pixels."""
    bundle = reader.read(folder)
    runner = registry.load_target(registry.target(bundle.manifest.target)).open(bundle.artifact)
    return np.concatenate([runner({"image": image[None]})["probabilities"] for image in images])


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    labelled = np.load(HERE / "data" / "labelled.npz")
    images, labels = labelled["image"].astype(np.float32), labelled["label"]

    def accuracy(probabilities: np.ndarray) -> float:
        return round(float((probabilities.argmax(axis=1) == labels).mean()), 5)

    report = {"digits": len(labels), "original": accuracy(run_original(images))}
    report |= {Path(name).name: accuracy(run_bundle(Path(name), images)) for name in sys.argv[1:]}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
