"""Which layers mind least: how far the model's outputs move when one layer alone is pruned.

The idea of one layer at a time is of Li et al., Pruning Filters for Efficient ConvNets, 2017. Here what is measured is put
beside what the layer's own error says, so that every single weight gets a score that can be compared between layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..spec import Array, Arrays
from . import alone, prune, recover
from .recover import Moments, Problem
from .student import Layer, Student

SAMPLES = 24
"""At most so many samples tell how far the outputs move."""


RIDGE = 0.01
"""Of the mean square of an input, as in SparseGPT; more where there are few places for a layer's inputs."""

SMALLEST = 1e-8
"""Of a probability, before its logarithm."""

ALONE = 4
"""Places of a sample that tell something of their own."""


def problem(layer: Layer, original: Array, moments: Moments, whole: bool = False) -> Problem:
    """The layer as a least squares problem; the fewer places there are for its inputs, the nearer to what it was.

    Args:
        whole: inputs go as a whole. Then samples count, at few places each: places of one are alike, and what an input is
            for that none of them shows must not seem to be nothing.
    """
    told = moments.count * min(1.0, ALONE / layer.places) if whole else moments.count
    ridge = RIDGE * (1 + 10 * layer.shape[1] / told)
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
        moments: of every layer that has inputs, the student being the teacher still.
        samples: some to ask the student with.
        stays: rows and columns of every layer, without which it is from now on; shares are of what is left.
    """
    samples = samples[:: -(-len(samples) // SAMPLES)]
    taught = [student(inputs) for inputs in samples]
    scores = {}
    for layer in layers:
        original = student.weight(layer.name)
        trial = _trial(layer, original, moments.get(layer.name), ratio)
        change(student, layer, original, trial.pruned, moments.get(layer.name))
        moved = distance((student(inputs) for inputs in samples), taught)
        change(student, layer, trial.pruned, original, moments.get(layer.name))
        left = _saliency(layer, original, moments.get(layer.name), stays[layer.name])
        scores[layer.name] = moved / max(trial.error, 1e-9 * trial.energy) * left
    return prune.budget(scores, ratio, (1 + ratio) / 2)


@dataclass(frozen=True)
class _Trial:
    """A layer pruned alone.

    Attributes:
        pruned: its weights.
        error: what they add to the squared error of its output.
        saliency: what each weight would add by itself.
        energy: the squared output.
    """

    pruned: Array
    error: float
    saliency: Array
    energy: float


def _trial(layer: Layer, original: Array, moments: Moments | None, ratio: float) -> _Trial:
    if moments is None:
        squares = original.astype(np.float64) ** 2
        pruned = alone.pruned(original, ratio)
        return _Trial(pruned, float(squares[pruned == 0].sum()), squares, max(float(squares.sum()), 1e-30))
    found = problem(layer, original, moments)
    saliency = prune.saliency(found.target, found.inverse)
    pruned = recover.masked(found, prune.mask(saliency, ratio))
    return _Trial(pruned, found.error(pruned), saliency, found.energy)


def _saliency(layer: Layer, original: Array, moments: Moments | None, stays: tuple[Array, Array]) -> Array:
    """Of the weights that stay."""
    if moments is None:
        squares: Array = original[np.ix_(*stays)].astype(np.float64) ** 2
        return squares
    left = problem(layer, original, moments).restricted(*stays)
    return prune.saliency(left.target, left.inverse)


def change(student: Student, layer: Layer, old: Array, new: Array, moments: Moments | None) -> None:
    """Give a layer new weights for the teacher's ``old``, and its bias what keeps the mean output."""
    shift = None
    if layer.has_bias and moments is not None:
        shift = recover.shift(old, new, moments).astype(np.float32)
    student.change(layer.name, new.astype(np.float32), shift)


def distance(answers: Iterable[Arrays], taught: Iterable[Arrays]) -> float:
    """The squared error of all outputs, relative to how much the teacher's vary over the samples; a mean over outputs.

    Of class probabilities the logarithms are compared, less their mean, as far as a softmax knows them: else the few samples
    that the teacher is sure of would be all that counts.
    """
    pairs = list(zip(answers, taught, strict=True))
    found = []
    for name in pairs[0][1]:
        own = np.stack([answer[name] for answer, _ in pairs]).astype(np.float64)
        wanted = np.stack([other[name] for _, other in pairs]).astype(np.float64)
        if is_distribution(wanted):
            own, wanted = _logits(own), _logits(wanted)
        spread = float(np.sum((wanted - wanted.mean(0)) ** 2))
        found.append(float(np.sum((own - wanted) ** 2)) / (spread + 1e-12))
    return float(np.mean(found))


def is_distribution(values: Array) -> bool:
    """Whether these are probabilities of classes, along the last axis of [samples, 1, classes]."""
    if values.ndim != 3 or values.shape[-1] < 2 or values.min(initial=0) < 0:
        return False
    return bool((np.abs(values.sum(-1) - 1) < 1e-3).all())


def _logits(probabilities: Array) -> Array:
    found = np.log(np.maximum(probabilities, SMALLEST))
    centred: Array = found - found.mean(-1, keepdims=True)
    return centred
