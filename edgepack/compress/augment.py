"""More samples than there are: the teacher answers whatever it is shown, so nothing need be known of them.

Photographs are cut, tinted and put together, so that a few of them show more of what layers are for: Asano and Saeed, The
Augmented Image Prior, 2023, teach all of ImageNet from one. Mixtures: Zhang et al., mixup, 2018; for a teacher to answer,
Beyer et al., A good teacher is patient and consistent, 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ..spec import Array, Arrays, Signature, TensorSpec

PHOTO = 64
"""From this side on an image counts as a photograph, of which a part, or its mirror image, is one too."""

LEAST = 0.25
"""The least side of a part, relative to the photograph's."""

COLLAGES = 0.6
"""The share of photographs that are put together of parts, ``TILES`` along each side."""

TILES = (2, 2, 3)

GAIN, CONTRAST, SHIFT = 0.25, 0.3, 0.1
"""Standard deviations of a tint: logarithms of each colour's gain and of the contrast, and a shift, relative to the range."""

SWAPPED = 0.2
"""The share of tints that exchange colours."""

MIXED = 0.8
"""The share of samples that are mixtures."""


def batch(
    samples: Sequence[Arrays], signature: Signature, photos: Mapping[str, str], rng: np.random.Generator
) -> list[dict[str, Array]]:
    """The samples, changed at random.

    Args:
        photos: the layout, ``NHWC`` or ``NCHW``, of the inputs that are photographs (see ``layouts``).
    """
    shown = [dict(each) for each in samples]
    for name, layout in photos.items():
        pictures = [pixels(each[name], layout) for each in samples]
        for each, own in zip(shown, pictures, strict=True):
            each[name] = array(picture(own, pictures, rng), layout)
    if all(np.dtype(spec.dtype).kind == "f" for spec in signature.inputs):
        partners = rng.permutation(len(shown))
        shares = np.where(rng.random(len(shown)) < MIXED, rng.beta(1, 1, len(shown)), 1).astype(np.float32)
        shown = [
            {name: share * values + (1 - share) * shown[other][name] for name, values in each.items()}
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


def pixels(image: Array, layout: str) -> Array:
    """Of a photograph [1, ...]: [height, width, channels]."""
    return image[0] if layout == "NHWC" else np.moveaxis(image[0], 0, -1)


def array(pixels: Array, layout: str) -> Array:
    """The photograph [1, ...] of pixels [height, width, channels]."""
    return np.ascontiguousarray(pixels if layout == "NHWC" else np.moveaxis(pixels, -1, 0))[None]


def picture(own: Array, others: Sequence[Array], rng: np.random.Generator) -> Array:
    """A part of a photograph, or a collage of parts of some, tinted, in the first one's size: [height, width, channels]."""
    height, width = own.shape[:2]
    if rng.random() >= COLLAGES:
        return tinted(part(own, (height, width), rng), rng)
    count = int(rng.choice(TILES))
    size = -(-height // count), -(-width // count)
    rows = [
        np.concatenate(
            [tinted(part(others[int(rng.integers(len(others)))], size, rng), rng) for _ in range(count)],
            axis=1,
        )
        for _ in range(count)
    ]
    return np.concatenate(rows)[:height, :width]


def part(pixels: Array, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """A part of a photograph [height, width, channels] in another size, mirrored half of the time."""
    height, width = pixels.shape[:2]
    scale = rng.uniform(LEAST, 1)
    shape = np.sqrt(np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))))
    high, wide = min(1.0, scale * shape) * height, min(1.0, scale / shape) * width
    top, left = rng.uniform(0, height - high), rng.uniform(0, width - wide)
    box = (left, top, left + wide, top + high)
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(
                size[::-1], Image.Resampling.BILINEAR, box
            )
        )
        for plane in np.moveaxis(pixels, -1, 0)
    ]
    made = np.stack(planes, axis=-1)
    return made[:, ::-1] if rng.random() < 0.5 else made


def tinted(pixels: Array, rng: np.random.Generator) -> Array:
    """Of other colours, [height, width, channels], within the range that there is."""
    channels = pixels.shape[-1]
    low, high = float(pixels.min()), float(pixels.max())
    if rng.random() < SWAPPED:
        pixels = pixels[..., rng.permutation(channels)]
    mean = pixels.mean((0, 1))
    gain = np.exp(rng.normal(0, GAIN, channels))
    shift = rng.normal(0, SHIFT * (high - low), channels)
    contrast = np.exp(rng.normal(0, CONTRAST))
    # a gain is of the distance from black, which may be any number: the least there is stands for it
    moved = (pixels - mean) * contrast * gain + (mean - low) * gain + low + shift
    found: Array = np.clip(moved, low, high).astype(np.float32)
    return found
