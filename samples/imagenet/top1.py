"""Top-1 accuracy of the original and of built bundles, on 400 crops that the build did not see:

python top1.py dist/imagenet-1.0.0-*-int8
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from crops import labelled
from model import build

from edgepack import registry
from edgepack.bundle import reader

CROPS = 400


def run_original(image: np.ndarray) -> np.ndarray:
    """Probabilities (1, 1000). The bare network wants its pixels scaled, channels first."""
    scaled = (torch.from_numpy(image).permute(0, 3, 1, 2) - 127) / 128
    with torch.no_grad():
        return ORIGINAL(scaled)["probabilities"].numpy()


ORIGINAL = build()


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    crops = list(labelled(CROPS, seed=11))
    labels = np.array([label for _, label in crops])
    expected = np.array([run_original(image).argmax() for image, _ in crops])
    report: dict[str, object] = {"crops": CROPS, "original": float((expected == labels).mean())}
    for folder in map(Path, sys.argv[1:]):
        bundle = reader.read(folder)
        runner = registry.load_target(registry.target(bundle.manifest.target)).open(bundle.artifact)
        best = np.array([runner({"image": image})["probabilities"].argmax() for image, _ in crops])
        agreement = float((best == expected).mean())
        report[folder.name] = {"top1": float((best == labels).mean()), "agreement": agreement}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
