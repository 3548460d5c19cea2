"""Codebooks: few values a layer, as good as k-means can, in steps that int8 stores exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.compress import cluster
from edgepack.spec import Array


def drawn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def distortion(values: Array, centres: Array) -> float:
    return float(np.sum((values - centres[cluster.nearest(values, centres)]) ** 2))


@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 99))
def test_centres_are_the_means_of_what_is_nearest_to_them(size: int, count: int, seed: int) -> None:
    values = drawn(seed, size)
    centres = cluster.kmeans(values, count)
    assert len(centres) <= count
    assert np.all(np.diff(centres) > 0)
    owner = cluster.nearest(values, centres)
    for index, centre in enumerate(centres):
        assert centre == pytest.approx(values[owner == index].mean(), abs=1e-6)


@pytest.mark.parametrize(("count", "best"), [(4, 0.1175), (8, 0.03454), (32, 0.002505)])
def test_centres_are_as_good_as_the_best_for_normal_values(count: int, best: float) -> None:
    """The least distortion as in Max, Quantizing for minimum distortion, 1960, table 1."""
    values = drawn(0, 100_000)
    assert distortion(values, cluster.kmeans(values, count)) / len(values) < 1.03 * best


def test_what_matters_more_is_met_better() -> None:
    values = np.concatenate([np.linspace(-1, 0, 50), np.linspace(0.5, 1, 50)])
    importance = np.where(values > 0, 1000.0, 1.0)
    centres = cluster.kmeans(values, 4, importance)
    assert (centres > 0).sum() >= 3


@given(st.integers(1, 6), st.integers(1, 30), st.integers(4, 40), st.integers(0, 99))
def test_a_codebook_is_in_steps_of_int8_and_has_both_ends(
    rows: int, columns: int, count: int, seed: int
) -> None:
    weight = drawn(seed, rows, columns)
    codes = cluster.codebook(weight / cluster.channel_scales(weight), count)
    assert len(codes) <= count
    assert {-1.0, 1.0} <= set(codes)
    np.testing.assert_array_equal(np.rint(codes * 127) / 127, codes)


def test_zeros_keep_a_code_of_their_own() -> None:
    units = np.array([[0.0, 0.01, -0.012, 1.0, 0.5]])
    assert 0.0 in cluster.codebook(units, 4)


def test_a_channel_of_zeros_has_a_scale_too() -> None:
    assert cluster.channel_scales(np.array([[0.0, 0.0], [1.0, -2.0]])).tolist() == [[1.0], [2.0]]


def test_distinct_values_are_counted_beside_the_channels_scale() -> None:
    units = np.array([[1.0, 0.5, 0.0], [-1.0, 0.5, 0.5]])
    assert cluster.distinct(units * [[3.0], [0.7]]) == 4
