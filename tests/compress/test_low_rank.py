"""Ranks and factors: the least error in the metric of the inputs, and a share of the weights gone at the least harm."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack.compress import low_rank
from edgepack.compress.low_rank import Spectrum
from edgepack.compress.recover import Problem
from edgepack.compress.student import Layer
from edgepack.errors import GateError

RNG = np.random.default_rng(0)


def problem(out: int, inputs: int) -> Problem:
    fed = RNG.normal(size=(200, inputs)) @ RNG.normal(size=(inputs, inputs))
    return Problem(RNG.normal(size=(out, inputs)), fed.T @ fed / 200)


def layer(name: str, out: int, inputs: int) -> Layer:
    return Layer(name, "linear", (out, inputs), False, 1, True)


def test_factors_are_the_best_of_their_rank() -> None:
    found = problem(12, 20)
    first, second = low_rank.factors(found, 5)
    assert (first.shape, second.shape) == ((5, 20), (12, 5))
    values = np.linalg.svd(found.target @ np.linalg.cholesky(found.hessian), compute_uv=False)
    best = found.error(second @ first)
    assert best == pytest.approx(np.sum(values[5:] ** 2))
    left, own, right = np.linalg.svd(found.target, full_matrices=False)  # which knows nothing of the inputs
    assert best < found.error(left[:, :5] * own[:5] @ right[:5])


def test_all_ranks_give_the_layer_itself() -> None:
    found = problem(6, 9)
    first, second = low_rank.factors(found, 6)
    np.testing.assert_allclose(second @ first, found.target, atol=1e-8)


def test_only_ranks_that_save_enough_are_taken() -> None:
    errors = np.linspace(1, 0, 129)
    assert Spectrum(layer("wide", 128, 128), errors).ranks[-1] == (128 * 128 - low_rank.LEAST) // 256
    assert len(Spectrum(layer("small", 44, 44), errors[:45]).ranks) == 0


def test_a_price_takes_from_layers_that_mind_least() -> None:
    flat, steep = np.linspace(1, 0, 129), np.append(np.exp(-np.arange(128.0)), 0)
    spectra = [Spectrum(layer("flat", 128, 128), flat), Spectrum(layer("steep", 128, 128), steep)]
    ranks = low_rank.spend(spectra, 2 * 128 * 128, 0.4)
    gone = sum(each.weights(0) - each.weights(ranks[each.layer.name]) for each in spectra)
    assert gone >= 0.4 * 2 * 128 * 128
    assert ranks["flat"] == 0
    assert 0 < ranks["steep"] < 20


def test_more_than_can_go_is_refused_with_the_most() -> None:
    spectra = [Spectrum(layer("only", 128, 128), np.linspace(1, 0, 129))]
    with pytest.raises(GateError, match="49 % of the weights at most"):
        low_rank.spend(spectra, 2 * 128 * 128, 0.6)
