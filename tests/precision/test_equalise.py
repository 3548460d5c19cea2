"""Scales of channels for activations with one step for all."""

import numpy as np
import pytest

from edgepack.precision.equalise import HEADROOM, MOST, Reader, Values, noise, scales

rng = np.random.default_rng(2)


def values(peak):
    peak = np.asarray(peak, np.float64)
    return Values(peak, (peak / 3) ** 2)


def layer(held, shared=True, out=8):
    return Reader(held, rng.normal(size=(out, 1, len(held.peak))), shared)


def test_a_quiet_channel_is_made_louder_where_every_weight_has_its_own_step():
    held = values([100, 1, 10])
    found = scales([held], [layer(held, shared=False, out=1)])
    assert found[0] == 1
    assert found[1] > found[2] > 1
    assert (held.peak * found).max() == 100


def test_a_multiplied_channel_stays_below_the_loudest():
    """On samples to come every channel is louder now and then: without room one of many would be cut off each time."""
    held = values([100, 95, 60, 30, 10, 5])
    found = scales([held], [layer(held, shared=False, out=1)])
    assert (found[:2] == 1).all()
    assert (found[2:] > 1).any()
    assert (held.peak * found)[found > 1].max() <= 100 / HEADROOM


def test_weights_with_one_step_are_not_made_worse_than_activations_gain():
    held = values(np.geomspace(1, 1000, 16))
    reader = layer(held)
    found = scales([held], [reader])
    assert noise(reader, found) < noise(reader, np.ones(16))


def test_alike_channels_are_left_alone():
    held = values(np.full(8, 3.0))
    assert (scales([held], [layer(held)]) == 1).all()


@pytest.mark.parametrize("peak", [0.0, 1e-9])
def test_a_silent_channel_stays(peak):
    held = values([1.0, peak])
    assert scales([held], [layer(held, shared=False, out=1)])[1] == 1


def test_scales_are_fourths_of_powers_of_two_and_not_without_end():
    held = values(np.geomspace(1e-4, 1, 30))
    found = scales([held], [layer(held, shared=False, out=1)])
    np.testing.assert_allclose(4 * np.log2(found), np.rint(4 * np.log2(found)), atol=1e-6)
    assert found.max() <= MOST
