"""Random square crops of the photographs: what edgepack calibrates and judges with, and what top1.py counts on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS = Path(__file__).parent / "data" / "photos"
SIZE = 224
CROPS = 800


def labelled(count: int, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """Crops (1, 224, 224, 3), values 0..255, with the photograph's class; the photographs take turns."""
    files = sorted(PHOTOS.glob("*.jpg"))
    photos = [(Image.open(file).convert("RGB"), int(file.stem.rpartition("_")[2])) for file in files]
    rng = np.random.default_rng(seed)
    for number in range(count):
        photo, label = photos[number % len(photos)]
        side = rng.uniform(0.6, 1.0) * min(photo.size)
        left, top = (rng.uniform(0, edge - side) for edge in photo.size)
        box = (left, top, left + side, top + side)
        crop = photo.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box)
        if rng.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        yield np.asarray(crop, np.float32)[None], label


def samples() -> Iterator[dict[str, np.ndarray]]:
    """Of 20 photographs in turn. edgepack holds back every fourth sample, so all crops of every fourth photograph: it judges on
    photographs that it neither calibrates nor learns with.
    """
    for image, _ in labelled(CROPS, seed=7):
        yield {"image": image}
