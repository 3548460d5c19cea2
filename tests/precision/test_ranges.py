"""Ranges narrower than all that a tensor holds."""

import numpy as np
import pytest

from edgepack.precision.ranges import Histogram, best, candidates, noise

rng = np.random.default_rng(1)


def histogram(values, low=None, high=None):
    seen = Histogram(min(values.min() if low is None else low, 0), values.max() if high is None else high)
    for part in np.array_split(values, 3):
        seen.see(part)
    return seen


def rounded(values, limits):
    low, high = limits
    step = (high - low) / 255
    return np.clip(np.rint((values - low) / step) * step + low, low, high)


def test_its_noise_is_that_of_integers_over_that_range():
    values = rng.normal(size=200_000).astype(np.float32)
    seen = histogram(values)
    for limits in ((seen.low, seen.high), (-2.5, 2.5)):
        assert noise(seen, limits, 256) == pytest.approx(
            np.mean((values - rounded(values, limits)) ** 2), rel=0.05
        )


def test_few_outliers_do_not_pay_for_all_others():
    values = np.append(rng.normal(size=100_000), [40.0]).astype(np.float32)
    fitted = histogram(values)
    other = histogram(rng.normal(size=100_000).astype(np.float32), fitted.low, fitted.high)
    method, (low, high), gain = best(fitted, other)
    assert method in ("percentile", "mse", "entropy")
    assert high < 10
    assert low < 0
    assert gain > 10


def test_values_that_fill_their_range_keep_it():
    values = rng.uniform(-1, 1, size=100_000).astype(np.float32)
    method, limits, gain = best(histogram(values), histogram(values))
    assert (method, gain) == ("min-max", 0.0)
    assert limits == pytest.approx((-1, 1), abs=1e-3)


def test_what_other_samples_hold_counts():
    """A range fitted to quiet samples that cuts off the loud ones is not taken."""
    quiet = np.append(rng.normal(size=50_000), [40.0]).astype(np.float32)
    fitted = histogram(quiet)
    loud = histogram(rng.uniform(0, 40, size=50_000).astype(np.float32), fitted.low, fitted.high)
    assert best(fitted, loud)[0] == "min-max"


def test_every_method_includes_zero():
    values = np.append(rng.uniform(3, 4, size=10_000), [9.0]).astype(np.float32)
    for low, high in candidates(histogram(values, low=0)).values():
        assert low <= 0 < high
