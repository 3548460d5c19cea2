"""Layers as two with few channels between them: an SVD in the metric of their inputs.

Of all weights of rank r, ``B A`` has the least squared error of the layer's outputs, ``|(T - B A) L|`` with ``H = L L'`` the
metric (see recover), where ``B A L`` is the SVD of ``T L`` cut off at r: Denton et al., Exploiting Linear Structure Within
Convolutional Networks, 2014; Zhang et al., Accelerating Very Deep Convolutional Networks, 2015. A convolution gives r channels
by its own kernel, and a convolution of one place makes the outputs of these.

Ranks are those that a price for a weight, the same in all layers, makes of each layer's errors: Lagrange.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import GateError, ModelError
from ..spec import Array, Arrays
from .recover import Problem
from .sensitivity import change, distance, problem
from .student import Layer, Student

LEAST = 2048
"""Weights that must go where one layer becomes two: an op more, its scales and its names take as many bytes in an artifact."""


@dataclass(frozen=True)
class Spectrum:
    """What a layer of every rank costs.

    Attributes:
        errors: of the model's outputs, by rank from 0 on.
    """

    layer: Layer
    errors: Array

    @property
    def ranks(self) -> Array:
        """Those that pay, from 1 on."""
        out, inputs = self.layer.shape
        most = (out * inputs - LEAST) // (out + inputs)
        return np.arange(1, min(most, len(self.errors) - 1) + 1)

    def weights(self, rank: int) -> int:
        """Of the layer at that rank; 0 is the layer as it is."""
        out, inputs = self.layer.shape
        return rank * (out + inputs) if rank else out * inputs

    def best(self, price: float) -> int:
        """The rank with the least error and price of weights; 0 where the layer stays whole."""
        ranks = self.ranks
        out, inputs = self.layer.shape
        costs = self.errors[ranks] + price * ranks * (out + inputs)
        return int(ranks[costs.argmin()]) if costs.min() < price * out * inputs else 0


def factors(found: Problem, rank: int) -> tuple[Array, Array]:
    """The best weights of a rank as two matrices, [rank, in] and [out, rank]: the second's times the first's."""
    lower = np.linalg.cholesky(found.hessian)
    left, values, right = np.linalg.svd(found.target @ lower, full_matrices=False)
    roots = np.sqrt(values[:rank])
    first = np.linalg.solve(lower.T, right[:rank].T).T
    return roots[:, None] * first, left[:, :rank] * roots


def split(
    student: Student, layers: Sequence[Layer], ratio: float, fed: Sequence[Arrays], samples: Iterable[Arrays]
) -> dict[str, tuple[Array, Array]]:
    """The factors of layers, so that the share ``ratio`` of all their weights goes and the outputs mind least.

    Args:
        layers: of which the share is; those that do not split, or do not pay, stay whole.
        fed: samples for the layers' inputs.
        samples: some to ask the student with, which is the teacher still.

    Raises:
        GateError: not so many weights can go, with the most that can.
        ModelError: none of the layers splits.
    """
    open_to = [layer for layer in layers if layer.splits and layer.has_inputs]
    if not open_to:
        raise ModelError(
            "Two layers can take the place of none here: a graph, or code that computes with its weights, has no others.",
            "Give the module or the Keras model itself, by a file.py:factory; or use --prune or --cluster.",
        )
    moments = student.moments([layer.name for layer in open_to], fed)
    problems = {
        layer.name: problem(layer, student.weight(layer.name), moments[layer.name]) for layer in open_to
    }
    spectra = [spectrum(student, layer, problems[layer.name], ratio, list(samples)) for layer in open_to]
    spectra = [each for each in spectra if len(each.ranks)]
    if not spectra:
        raise GateError(
            f"Low rank can take no weights: two layers are nowhere {LEAST:,} weights smaller than one.",
            "It pays in wide linear layers and convolutions; --prune and --cluster do in any.",
        )
    ranks = spend(spectra, sum(layer.shape[0] * layer.shape[1] for layer in layers), ratio)
    return {name: factors(problems[name], rank) for name, rank in ranks.items() if rank}


def spectrum(
    student: Student, layer: Layer, found: Problem, ratio: float, samples: Sequence[Arrays]
) -> Spectrum:
    """Errors of the layer's own outputs, weighed by how far the model's move when it alone loses its share."""
    taught = [student(inputs) for inputs in samples]
    values = np.linalg.svd(found.target @ np.linalg.cholesky(found.hessian), compute_uv=False)
    tails = np.append(np.cumsum(values[::-1] ** 2)[::-1], 0.0)
    out, inputs = layer.shape
    rank = max(1, int((1 - ratio) * out * inputs / (out + inputs)))
    first, second = factors(found, rank)
    original = student.weight(layer.name)
    change(student, layer, original, second @ first, None)
    moved = distance((student(inputs) for inputs in samples), taught)
    change(student, layer, second @ first, original, None)
    return Spectrum(layer, tails * (moved / max(float(tails[min(rank, len(values))]), 1e-9 * found.energy)))


def spend(spectra: Sequence[Spectrum], total: int, ratio: float) -> dict[str, int]:
    """Ranks by layer, 0 for whole ones, at the least price at which ``ratio`` of ``total`` weights go. Raises GateError."""

    def ranks(price: float) -> dict[str, int]:
        return {each.layer.name: each.best(price) for each in spectra}

    def gone(found: Mapping[str, int]) -> float:
        names = ((each, found[each.layer.name]) for each in spectra)
        return sum(each.weights(0) - each.weights(rank) for each, rank in names) / total

    most = gone({each.layer.name: 1 for each in spectra})
    if most < ratio:
        raise GateError(
            f"Low rank can take {100 * most:.0f} % of the weights at most, with one channel between any two.",
            f"Ask for less: --low-rank {max(0.01, np.floor(50 * most) / 100):g}.",
        )
    low, high = -30.0, 30.0  # of the price's logarithm
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if gone(ranks(np.exp(middle))) >= ratio else (middle, high)
    return ranks(np.exp(high))
