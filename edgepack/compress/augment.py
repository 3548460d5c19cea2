"""More samples than there are: the teacher answers whatever it is shown, so nothing need be known of them.

Mixtures: Zhang et al., mixup, 2018; for a teacher to answer, Beyer et al., A good teacher is patient and consistent, 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ..spec import Array, Arrays, Signature, TensorSpec

PHOTO = 64
"""From this side on an image counts as a photograph, of which a part, or its mirror image, is one too."""

LEAST = 0.35
"""The least side of a part, relative to the photograph's."""

MIXED = 0.5
"""The share of samples that are mixtures."""


def batch(
    samples: Sequence[Arrays], signature: Signature, photos: Mapping[str, str], rng: np.random.Generator
) -> list[dict[str, Array]]:
    """The samples, changed at random.

    Args:
        photos: the layout, ``NHWC`` or ``NCHW``, of the inputs that are photographs (see ``layouts``).
    """
    shown = [
        {name: part(array, photos[name], rng) if name in photos else array for name, array in each.items()}
        for each in samples
    ]
    if all(np.dtype(spec.dtype).kind == "f" for spec in signature.inputs):
        partners = rng.permutation(len(shown))
        shares = np.where(rng.random(len(shown)) < MIXED, rng.beta(1, 1, len(shown)), 1).astype(np.float32)
        shown = [
            {name: share * array + (1 - share) * shown[other][name] for name, array in each.items()}
            for each, other, share in zip(shown, partners, shares, strict=True)
        ]
    return shown


def layouts(inputs: Sequence[TensorSpec]) -> dict[str, str]:
    """Which inputs are photographs, and whether their channels come last."""
    found = {}
    for spec in inputs:
        shape = spec.static_shape
        if len(shape) == 4 and np.dtype(spec.dtype).kind == "f":
            if shape[3] in (1, 3) and min(shape[1:3]) >= PHOTO:
                found[spec.name] = "NHWC"
            elif shape[1] in (1, 3) and min(shape[2:]) >= PHOTO:
                found[spec.name] = "NCHW"
    return found


def part(image: Array, layout: str, rng: np.random.Generator) -> Array:
    """A part of a photograph [1, ...] at its size, mirrored half of the time."""
    pixels = image[0] if layout == "NHWC" else np.moveaxis(image[0], 0, -1)
    height, width = pixels.shape[:2]
    scale = np.sqrt(rng.uniform(LEAST**2, 1))
    shape = np.sqrt(np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))))
    high, wide = min(1.0, scale * shape) * height, min(1.0, scale / shape) * width
    top, left = rng.uniform(0, height - high), rng.uniform(0, width - wide)
    box = (left, top, left + wide, top + high)
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(
                (width, height), Image.Resampling.BILINEAR, box
            )
        )
        for plane in np.moveaxis(pixels, -1, 0)
    ]
    made = np.stack(planes, axis=-1)
    if rng.random() < 0.5:
        made = made[:, ::-1]
    return np.ascontiguousarray(made if layout == "NHWC" else np.moveaxis(made, -1, 0))[None]
