"""Few distinct values a layer: a codebook that all weights share, times one scale for every output channel.

Weight sharing by k-means is of Han et al., Deep Compression, 2016. The scale a channel is what lets the codebook live on in
an artifact: a normalisation that is folded into a convolution multiplies its channels, and int8 weights have a scale a
channel. Codes are multiples of 1/127 and every channel reaches -1 or 1, so that int8 stores exactly the code times 127.

The start is of Panter and Dite, Quantization distortion in pulse-count modulation with nonuniform spacing of levels, 1951:
the best codes lie as densely as the cube root of the values' density.
"""

from __future__ import annotations

import numpy as np

from ..spec import Array

STEPS = 127
"""Codes are whole numbers of so many parts of a channel's largest weight."""

ROUNDS = 100


def kmeans(values: Array, count: int, importance: Array | None = None) -> Array:
    """At most ``count`` sorted centres of values, by Lloyd's rounds; the same values give the same centres.

    Args:
        values: of any shape.
        importance: of each value's squared error; 1 for all by default.
    """
    flat = values.astype(np.float64).ravel()
    order = np.argsort(flat, kind="stable")
    flat = flat[order]
    heavy = np.ones(flat.size) if importance is None else importance.astype(np.float64).ravel()[order]
    heavy = heavy + 1e-12 * (heavy.max(initial=0.0) or 1.0)  # what matters to nobody is still assigned
    mass = np.concatenate([[0.0], np.cumsum(heavy)])
    moment = np.concatenate([[0.0], np.cumsum(heavy * flat)])
    centres = _start(flat, heavy, count)
    for _ in range(ROUNDS):
        edges = np.searchsorted(flat, (centres[1:] + centres[:-1]) / 2)
        edges = np.concatenate([[0], edges, [flat.size]])
        weights = np.diff(mass[edges])
        filled = np.diff(edges) > 0
        moved = np.unique(np.diff(moment[edges])[filled] / weights[filled])
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _start(flat: Array, heavy: Array, count: int) -> Array:
    """Centres as dense as the cube root of the density of sorted values."""
    bins = min(1024, max(count, flat.size))
    density, edges = np.histogram(flat, bins, weights=heavy)
    share = np.concatenate([[0.0], np.cumsum(np.cbrt(density))])
    places = (np.arange(count) + 0.5) / count * share[-1]
    return np.unique(np.interp(places, share, edges))


def codebook(units: Array, count: int, importance: Array | None = None) -> Array:
    """At most ``count`` codes for weights that are divided by the largest of their channel.

    Sorted, -1 and 1 among them; 0 too where a weight is 0. ``count`` is at least 4.

    Args:
        units: [out, in], -1..1.
    """
    inner = np.abs(units) < 1
    has_zeros = bool((units == 0).any())
    inner &= units != 0
    fixed = [-1.0, 1.0, 0.0] if has_zeros else [-1.0, 1.0]
    if not inner.any():
        return np.unique(fixed)
    heavy = None if importance is None else importance[inner]
    centres = kmeans(units[inner], count - len(fixed), heavy)
    return np.unique([*np.rint(centres * STEPS) / STEPS, *fixed])


def nearest(values: Array, codes: Array) -> Array:
    """The index of the nearest of sorted codes, for every value."""
    found: Array = np.searchsorted((codes[1:] + codes[:-1]) / 2, values)
    return found


def channel_scales(weight: Array) -> Array:
    """The largest absolute weight of every output channel, [out, 1]; 1 for a channel of zeros."""
    largest = np.abs(weight).max(axis=1, keepdims=True)
    return np.where(largest > 0, largest, 1.0)


def distinct(weight: Array) -> int:
    """How many values a layer's weights have, beside the scale of their channel."""
    return len(np.unique(np.rint(weight / channel_scales(weight) * STEPS * 1000)))
