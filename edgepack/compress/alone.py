"""A matrix of weights whose inputs are not known: an embedding's, one inside a loop. Each weight counts by its square alone.

Magnitude: Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015; shared values: the same,
Deep Compression, 2016.
"""

from __future__ import annotations

import numpy as np

from ..spec import Array
from . import cluster, prune


def pruned(weight: Array, ratio: float) -> Array:
    """With the share ``ratio`` of smallest weights zero."""
    return np.where(prune.magnitude_mask(weight, ratio), weight, 0)


def clustered(weight: Array, count: int, mask: Array | None = None) -> Array:
    """Weights of at most ``count`` codes times a scale a channel (see cluster); zero where the mask is False."""
    scales = cluster.channel_scales(weight)
    units = weight / scales
    codes = cluster.codebook(units, max(count, 4), np.broadcast_to(scales**2, weight.shape))
    if mask is None:
        return codes[cluster.nearest(units, codes)] * scales
    allowed = codes[codes != 0]
    return np.where(mask, allowed[cluster.nearest(units, allowed)] * scales, 0)
