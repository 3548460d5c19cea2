"""Why a layer errs: figures of its values and weights beside their integers, and the words for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgepack.precision.causes import Grid, Stored, Weights, cause, look, sqnr_db, weigh


def int8(scale: float | Sequence[float], zero_point: int = 0, axis: int = -1) -> Grid:
    return Grid(np.atleast_1d(np.float32(scale)), zero_point, -128, 127, axis)


def fitted(values: Any) -> Stored:
    """With the grid that min-max calibration on these values gives."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (high - low) / 255
    return Stored(int8(scale, round(-128 - low / scale)))


def gauss(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape)


def test_integers_stand_for_the_real_values_that_runtimes_make_of_them() -> None:
    grid = int8(0.5, 3)
    assert grid.codes(np.array([-1.0, 0.0, 1.1])).tolist() == [1, 3, 5]
    assert grid.real(np.array([1, 3, 500])).tolist() == [-1.0, 0.0, 62.0]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_channels_may_have_a_scale_each(axis: int) -> None:
    values = np.moveaxis(np.array([[1.0, 2.0], [10.0, 20.0]]), 0, axis)
    codes = int8([1.0, 10.0], axis=axis).codes(values)
    assert np.moveaxis(codes, axis, 0).tolist() == [[1, 2], [1, 2]]


def test_well_spread_values_keep_what_eight_bits_can_keep() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (1, 1000, 4))
    seen = look(values, fitted(values))
    assert seen.rounding_db == pytest.approx(6.02 * 8, abs=0.5)
    assert (seen.clipped, seen.wasted, seen.reached, sum(seen.bars)) == (0, 0, 256, 4000)
    assert (seen.limits[0], seen.limits[1]) == pytest.approx((-1, 1), abs=0.01)  # type: ignore[index]


def test_values_beyond_the_range_are_counted() -> None:
    seen = look(np.array([0.0] * 97 + [5.0, 5.0, -5.0]), Stored(int8(0.01)))
    assert seen.clipped == pytest.approx(0.03)


def test_steps_that_no_value_reaches_are_bits_wasted() -> None:
    seen = look(np.linspace(0, 1, 1000), Stored(int8(1 / 16)))
    assert (seen.reached, seen.used, seen.wasted) == (17, 17, 3)


def test_rounding_is_told_of_the_median_channel_for_the_loud_one_hides_it() -> None:
    values = gauss(1, 500, 16)
    values[..., 5] *= 300
    assert look(values, fitted(values)).rounding_db < 10


def test_unlikely_classes_may_be_rounded_away() -> None:
    values = np.full((1, 50, 10), 0.001)
    values[..., 3] = 1 - 0.009
    seen = look(values, Stored(int8(1 / 256, -128)))
    assert seen.rounding_db > 40
    assert "channel" not in cause(seen, None, 45.0, 45.0)


def test_silent_channels_do_not_make_the_others_loud() -> None:
    values = gauss(1, 500, 8)
    values[..., ::2] = 0
    assert look(values, fitted(values)).spread < 1.5


def test_one_loud_channel_is_named_with_what_it_costs() -> None:
    values = np.abs(gauss(1, 500, 16))
    values[..., 5] *= 300
    seen = look(values, fitted(values))
    assert seen.channel == 5
    told = cause(seen, None, 20.0, 40.0)
    assert told.startswith("output range ")
    assert "channel 5 has " in told
    assert "steps that fit it waste 8 bits on the others" in told


def test_channels_that_were_equalised_lose_less_by_a_loud_one() -> None:
    values = np.abs(gauss(1, 500, 4))
    values[..., 1] *= 300
    scale = np.float32(values.max() / 127) / np.array([16, 1, 16, 16], np.float32)
    plain, equalised = (look(values, Stored(Grid(each, 0, -128, 127))) for each in (scale[1:2], scale))
    assert plain.lost == pytest.approx(math.log2(plain.spread), abs=1)
    assert equalised.lost == pytest.approx(math.log2(equalised.spread) - 4, abs=1)
    assert equalised.rounding_db > plain.rounding_db + 15


def test_few_great_values_are_told_from_a_loud_channel() -> None:
    values = gauss(1, 5000, 4)
    values[0, ::5000] *= 100
    told = cause(look(values, fitted(values)), None, 20.0, 40.0)
    assert "what 99.9 % stay below" in told
    assert "channel" not in told


def test_a_range_that_cuts_off_is_told_as_such() -> None:
    values = gauss(1, 1000, 4)
    told = cause(look(values, Stored(int8(1 / 127))), None, 8.0, 40.0)
    assert "of its values are beyond -1.01 to 1 and cut off" in told


def test_a_range_that_nothing_reaches_is_told_as_such() -> None:
    values = gauss(1, 1000, 4)
    told = cause(look(values, Stored(int8(1.0))), None, 10.0, 40.0)
    assert "of 256 steps are reached" in told


def test_the_weights_are_blamed_where_they_lose_more_than_the_result() -> None:
    values = gauss(1, 1000, 4)
    told = cause(look(values, fitted(values)), Weights(21.0, 1.0), 20.0, 40.0)
    assert told.endswith("its stored weights keep 21 dB of the original's")


@pytest.mark.parametrize(
    ("before_db", "words"),
    [
        (18.0, "the error comes with what it reads"),
        (None, "its input and its weights bring the error in"),
        (
            40.0,
            "the error grows here from 40 dB to 15 dB: what is small in what it reads, or in its weights, counts",
        ),
    ],
)
def test_what_a_layer_inherits_is_not_its_fault(before_db: float | None, words: str) -> None:
    values = gauss(1, 1000, 4)
    told = cause(look(values, fitted(values)), Weights(40.0, 1.0), 15.0, before_db)
    assert "rounding alone would leave 42 dB" in told
    assert told.endswith(words)


def test_a_float_result_is_never_blamed_for_its_rounding() -> None:
    told = cause(look(gauss(1, 9), Stored()), Weights(math.inf, 1.0), 30.0, 31.0)
    assert told.endswith("the error comes with what it reads")
    assert "rounding" not in told


def test_weights_are_measured_against_their_originals() -> None:
    original = gauss(8, 30).astype(np.float32)
    original[2] *= 40
    scale = np.abs(original).max() / 127
    codes = np.rint(original / scale).astype(np.int8)
    found = weigh(original, Stored(weights=codes * scale, codes=codes))
    assert found is not None
    assert found.sqnr_db == pytest.approx(sqnr_db(original, codes * scale))
    assert found.spread > 20
    assert found.steps == 256
    assert found.used == len(np.unique(codes))
    assert sum(found.bars) == codes.size


def test_weights_of_another_shape_are_no_originals() -> None:
    assert weigh(gauss(3, 4), Stored(weights=gauss(4, 3))) is None
    assert weigh(gauss(3, 4), Stored()) is None


@pytest.mark.parametrize("values", [np.zeros((1, 4)), np.full(1, 3.0), np.array(2.0), np.zeros((1, 2, 2, 3))])
def test_constant_and_tiny_results_are_no_trouble(values: Any) -> None:
    seen = look(values, Stored(int8(1.0)))
    assert seen.rounding_db == math.inf
    assert sum(seen.bars) == values.size
    assert cause(seen, None, 10.0, None)
