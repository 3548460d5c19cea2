"""Which layers mind least: how far the model's outputs move when one layer alone is pruned.

The idea of one layer at a time is of Li et al., Pruning Filters for Efficient ConvNets, 2017. Here what is measured is put
beside what the layer's own error says, so that every single weight gets a score that can be compared between layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..spec import Array, Arrays
from . import prune, recover
from .recover import Moments, Problem
from .student import Layer, Student

SAMPLES = 24
"""At most so many samples tell how far the outputs move."""


RIDGE = 0.01
"""Of the mean square of an input, as in SparseGPT; more where there are few places for a layer's inputs."""


def problem(layer: Layer, original: Array, moments: Moments) -> Problem:
    """The layer as a least squares problem; the fewer places there are for its inputs, the nearer to what it was."""
    ridge = RIDGE * (1 + 10 * layer.shape[1] / moments.count)
    return Problem.of(original, moments, ridge, layer.has_bias)


def ratios(
    student: Student,
    layers: Sequence[Layer],
    moments: Mapping[str, Moments],
    ratio: float,
    samples: Sequence[Arrays],
    stays: Mapping[str, tuple[Array, Array]],
) -> dict[str, float]:
    """The share of each layer's weights that goes, so that ``ratio`` of all do and the outputs mind least.

    None keeps less than half of what an even share would leave it: a few samples do not tell all that a layer is for.

    Args:
        moments: of every layer, the student being the teacher still.
        samples: some to ask the student with.
        stays: rows and columns of every layer, without which it is from now on; shares are of what is left.
    """
    samples = samples[:: -(-len(samples) // SAMPLES)]
    taught = [student(inputs) for inputs in samples]
    scores = {}
    for layer in layers:
        original = student.weight(layer.name)
        found = problem(layer, original, moments[layer.name])
        pruned = recover.masked(found, prune.mask(prune.saliency(found.target, found.inverse), ratio))
        own = found.error(pruned) / found.energy
        change(student, layer, original, pruned, moments[layer.name])
        moved = distance((student(inputs) for inputs in samples), taught)
        change(student, layer, pruned, original, moments[layer.name])
        weight = moved / max(own, 1e-9) / found.energy
        left = found.restricted(*stays[layer.name])
        scores[layer.name] = weight * prune.saliency(left.target, left.inverse)
    return prune.budget(scores, ratio, (1 + ratio) / 2)


def change(student: Student, layer: Layer, old: Array, new: Array, moments: Moments) -> None:
    """Give a layer new weights for the teacher's ``old``, and its bias what keeps the mean output."""
    shift = recover.shift(old, new, moments).astype(np.float32) if layer.has_bias else None
    student.change(layer.name, new.astype(np.float32), shift)


def distance(answers: Iterable[Arrays], taught: Iterable[Arrays]) -> float:
    """The squared error of all outputs, relative to how much the teacher's vary over the samples; a mean over outputs."""
    pairs = list(zip(answers, taught, strict=True))
    found = []
    for name in pairs[0][1]:
        own = np.stack([answer[name] for answer, _ in pairs]).astype(np.float64)
        wanted = np.stack([other[name] for _, other in pairs]).astype(np.float64)
        spread = float(np.sum((wanted - wanted.mean(0)) ** 2))
        found.append(float(np.sum((own - wanted) ** 2)) / (spread + 1e-12))
    return float(np.mean(found))
