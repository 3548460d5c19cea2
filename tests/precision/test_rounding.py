"""Weights rounded so that a layer's outputs change least."""

import numpy as np
import pytest

from edgepack.precision import rounding

rng = np.random.default_rng(0)


def correlated(places=400, size=24, offset=0.0):
    """Inputs that tell of each other, as a network's do: [places, in]."""
    mixed = rng.normal(size=(places, 6)) @ rng.normal(size=(6, size))
    return (mixed + 0.1 * rng.normal(size=(places, size)) + offset).astype(np.float32)


def seen(rows):
    inputs = rounding.Inputs()
    for part in np.array_split(rows, 4):
        inputs.see(part[None])
    return inputs


def error(weight, stored, rows, added=0.0):
    off = rows @ weight.T - (rows @ stored.T + added)
    return float(np.mean(off**2))


def test_outputs_err_half_as_much_as_with_the_nearest_codes():
    rows = correlated()
    weight = rng.normal(size=(16, 24)).astype(np.float32)
    step = rounding.scales(weight)
    codes = rounding.codes(weight, seen(rows))
    assert codes.dtype == np.int8
    nearest = np.rint(weight / step)
    assert error(weight, codes * step, rows) < 0.5 * error(weight, nearest * step, rows)


def test_the_bias_takes_up_what_the_mean_is_off():
    rows = correlated(offset=3.0)
    weight = rng.normal(size=(16, 24)).astype(np.float32)
    step, inputs = rounding.scales(weight), seen(rows)
    codes = rounding.codes(weight, inputs)
    added = rounding.shift(weight, codes, inputs)
    off = rows @ weight.T - (rows @ (codes * step).T + added)
    np.testing.assert_allclose(off.mean(0), 0, atol=1e-3)


def test_rows_with_inputs_of_their_own_are_rounded_as_each_by_itself():
    rows = np.stack([correlated(size=9) for _ in range(5)])
    weight = rng.normal(size=(5, 9)).astype(np.float32)
    inputs = rounding.Inputs()
    inputs.see(rows)
    step = rounding.scales(weight)
    codes = rounding.codes(weight, inputs)
    for number in range(5):
        own, nearest = codes[number] * step[number], np.rint(weight / step)[number] * step[number]
        assert error(weight[number : number + 1], own[None], rows[number]) <= error(
            weight[number : number + 1], nearest[None], rows[number]
        )


def test_zeros_stay_zero():
    weight = rng.normal(size=(16, 24)).astype(np.float32)
    weight[rng.random(weight.shape) < 0.5] = 0
    codes = rounding.codes(weight, seen(correlated()))
    assert (codes[weight == 0] == 0).all()


@pytest.mark.parametrize(("count", "coded"), [(16, True), (256, False)])
def test_a_codebook_is_known_by_how_few_codes_it_has(count, coded):
    values = rng.normal(size=count).astype(np.float32)
    weight = values[rng.integers(0, count, size=(40, 50))]
    weight[:, 0] = np.abs(values).max()
    assert rounding.is_coded(weight * rng.uniform(0.1, 9, size=(40, 1))) == coded


def test_inputs_that_never_vary_leave_weights_at_their_nearest_codes():
    weight = rng.normal(size=(4, 6)).astype(np.float32)
    codes = rounding.codes(weight, seen(np.zeros((20, 6), np.float32)))
    assert (codes == np.rint(weight / rounding.scales(weight))).all()
