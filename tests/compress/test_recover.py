"""Closed form recovery: exact where brute force can check it, and better than leaving the rest as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.compress import cluster, prune, recover
from edgepack.compress.recover import Moments, Problem
from edgepack.spec import Array


def moments(inputs: Array, teacher: Array | None = None) -> Moments:
    """Of inputs [positions, in]."""
    taught = inputs if teacher is None else teacher
    count = len(inputs)
    return Moments(
        inputs.T @ inputs / count, taught.T @ inputs / count, inputs.mean(0), taught.mean(0), count
    )


def problem(
    seed: int, rows: int = 5, columns: int = 8, mixing: float = 1.0, ridge: float = 1e-6
) -> tuple[Array, Array, Problem]:
    """(weight, inputs, the problem) with correlated inputs."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(1000, columns)) @ (
        np.eye(columns) + mixing * rng.normal(size=(columns, columns))
    )
    weight = rng.normal(size=(rows, columns))
    return weight, inputs, Problem.of(weight, moments(inputs), ridge, False)


def test_on_the_teachers_own_inputs_the_best_weights_are_the_teachers() -> None:
    weight, _, found = problem(0)
    np.testing.assert_allclose(found.target, weight, atol=1e-8)
    assert found.error(weight) == pytest.approx(0, abs=1e-8)


def test_the_error_is_that_of_the_outputs() -> None:
    weight, inputs, found = problem(1)
    other = weight + 0.1
    wanted = np.mean(np.sum((inputs @ (other - weight).T) ** 2, axis=1))
    assert found.error(other) == pytest.approx(wanted, rel=1e-4)


def test_weights_make_up_for_what_became_of_the_inputs() -> None:
    """The student's inputs are the teacher's, mixed: the weights unmix them."""
    rng = np.random.default_rng(2)
    taught, mix, weight = rng.normal(size=(300, 6)), rng.normal(size=(6, 6)), rng.normal(size=(4, 6))
    found = Problem.of(weight, moments(taught @ mix, taught), 1e-9, False)
    np.testing.assert_allclose(taught @ mix @ found.target.T, taught @ weight.T, atol=1e-4)


def test_a_bias_takes_up_the_mean() -> None:
    rng = np.random.default_rng(3)
    taught, weight = rng.normal(size=(300, 6)), rng.normal(size=(4, 6))
    told = moments(taught + 5, taught)
    found = Problem.of(weight, told, 1e-9, True)
    bias = recover.shift(weight, found.target, told)
    np.testing.assert_allclose((taught + 5) @ found.target.T + bias, taught @ weight.T, atol=1e-6)


def test_a_strong_ridge_leaves_the_weights_as_they_were() -> None:
    rng = np.random.default_rng(4)
    taught, weight = rng.normal(size=(5, 40)), rng.normal(size=(4, 40))
    found = Problem.of(weight, moments(rng.normal(size=(5, 40)), taught), 1e6, True)
    np.testing.assert_allclose(found.target, weight, atol=1e-3)


@given(st.integers(0, 99))
def test_masked_weights_are_the_best_on_their_support(seed: int) -> None:
    weight, inputs, found = problem(seed, ridge=1e-10)
    mask = prune.magnitude_mask(weight, 0.5)
    best = recover.masked(found, mask)
    assert np.all(best[~mask] == 0)
    for row, kept in enumerate(mask):
        wanted = np.linalg.lstsq(inputs[:, kept], inputs @ weight[row], rcond=None)[0]
        np.testing.assert_allclose(best[row, kept], wanted, atol=1e-3)


@given(st.integers(0, 99), st.floats(0.1, 0.9))
@settings(deadline=None)
def test_pruned_weights_have_that_share_of_zeros(seed: int, ratio: float) -> None:
    weight, _, found = problem(seed)
    assert (recover.pruned(found, ratio) == 0).sum() == round(ratio * weight.size)


def test_pruning_with_second_moments_beats_magnitude() -> None:
    """Over draws: on correlated inputs, by a wide margin."""
    better = []
    for seed in range(10):
        weight, _, found = problem(seed, 16, 200, mixing=0.2, ridge=1e-2)
        plain = weight * prune.magnitude_mask(weight, 0.5)
        own = recover.masked(found, prune.magnitude_mask(weight, 0.5))
        best = recover.pruned(found, 0.5)
        better.append((found.error(plain), found.error(own), found.error(best)))
    plain_error, own_error, best_error = np.mean(better, axis=0)
    assert best_error < 0.9 * own_error
    assert own_error < 0.6 * plain_error


@given(st.integers(0, 99), st.integers(4, 16))
@settings(deadline=None)
def test_clustered_weights_have_few_values_that_int8_stores_exactly(seed: int, count: int) -> None:
    _, _, found = problem(seed)
    weight = recover.clustered(found, count)
    assert cluster.distinct(weight) <= count
    units = 127 * weight / cluster.channel_scales(weight)
    np.testing.assert_allclose(units, np.rint(units), atol=1e-9)
    assert len(np.unique(np.rint(units))) <= count


def test_clustered_weights_keep_their_zeros() -> None:
    weight, _, found = problem(7)
    mask = prune.magnitude_mask(weight, 0.5)
    clustered = recover.clustered(found, 8, mask)
    assert np.array_equal(clustered != 0, mask)
    assert cluster.distinct(clustered) <= 8


def test_codes_that_columns_to_come_make_up_for_are_better_than_the_nearest() -> None:
    errors = []
    for seed in range(10):
        weight, _, found = problem(seed, 16, 150, mixing=0.2, ridge=1e-2)
        scales = cluster.channel_scales(weight)
        codes = cluster.codebook(weight / scales, 8)
        nearest = codes[cluster.nearest(weight / scales, codes)] * scales
        errors.append((found.error(nearest), found.error(recover.clustered(found, 8))))
    plain, settled = np.mean(errors, axis=0)
    assert settled < 0.6 * plain
