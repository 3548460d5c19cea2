"""Which weights are set to zero. A mask is True where a weight stays.

Magnitude: Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015.
Saliency: Hassibi and Stork, Second order derivatives for network pruning: Optimal Brain Surgeon, 1993.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..spec import Array

MOST = 0.95
"""Of no layer is more than this share set to zero: one that passes nothing on cannot be recovered."""


def mask(scores: Array, ratio: float) -> Array:
    """All but the share ``ratio`` of lowest scores, to the weight; of equal scores, the later ones stay."""
    gone = round(ratio * scores.size)
    kept = np.ones(scores.size, bool)
    kept[np.argsort(scores, axis=None, kind="stable")[:gone]] = False
    return kept.reshape(scores.shape)


def magnitude_mask(weight: Array, ratio: float) -> Array:
    """All but the smallest weights of a layer."""
    return mask(np.abs(weight), ratio)


def saliency(weight: Array, inverse_hessian: Array) -> Array:
    """By how much the squared error of a layer's output grows when one weight goes and the others make up for it.

    Args:
        weight: [out, in], the best for the layer's inputs (see recover.Problem).
        inverse_hessian: [in, in], of the mean outer product of the inputs.
    """
    squared: Array = weight.astype(np.float64) ** 2 / np.diag(inverse_hessian)
    return squared


def budget(scores: Mapping[str, Array], ratio: float, most: float = MOST) -> dict[str, float]:
    """The share of each layer's weights that goes, so that ``ratio`` of them all do: those of the lowest scores anywhere.

    Args:
        scores: of every weight, by layer, comparable between layers.
        most: of any layer.

    Raises:
        ValueError: ``ratio`` is above ``most``.
    """
    if ratio > most:
        raise ValueError(f"no more than {most} of every layer can go, so {ratio} of all cannot")
    names = list(scores)
    flat = np.concatenate([scores[name].ravel() for name in names])
    owner = np.repeat(np.arange(len(names)), [scores[name].size for name in names])
    sizes = np.bincount(owner, minlength=len(names))
    order = np.argsort(flat, kind="stable")
    # A weight may go while it is among the first ``most`` of its layer.
    place = np.empty(len(flat), np.int64)
    for index in range(len(names)):
        own = owner[order] == index
        place[own] = np.arange(sizes[index])
    first = np.flatnonzero(place < np.ceil(most * sizes)[owner[order]])[: round(ratio * len(flat))]
    gone = np.bincount(owner[order][first], minlength=len(names))
    return {name: float(count / size) for name, count, size in zip(names, gone, sizes, strict=True)}
