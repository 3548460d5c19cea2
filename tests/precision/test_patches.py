"""What convolutions read: the products with their weights are what they give."""

import numpy as np
import pytest

from edgepack.precision.patches import PLACES, Window, rows, same, thinned

rng = np.random.default_rng(3)


@pytest.mark.parametrize(
    "window",
    [
        Window((3, 3)),
        Window((3, 2), strides=(2, 1)),
        Window((2, 3), dilation=(2, 1)),
        Window((3, 3), strides=(2, 2), margins=((1, 1), (0, 1))),
    ],
)
def test_a_row_is_a_place_of_the_output(window):
    image, kernel = rng.normal(size=(1, 9, 8, 2)), rng.normal(size=(*window.kernel, 2))
    padded = np.pad(image, [(0, 0), *window.margins, (0, 0)])
    (down, across), (high, wide) = window.strides, window.dilation
    expected = []
    for top in range(0, padded.shape[1] - window.reach[0] + 1, down):
        for left in range(0, padded.shape[2] - window.reach[1] + 1, across):
            here = padded[0, top : top + window.reach[0] : high, left : left + window.reach[1] : wide]
            expected.append((here * kernel).sum((0, 1)))
    (whole,) = rows(image, window, by_channel=False)
    assert np.allclose(whole @ kernel.ravel(), np.sum(expected, 1))
    apart = rows(image, window, by_channel=True)
    assert np.allclose(np.einsum("cpk,kc->pc", apart, kernel.reshape(-1, 2)), expected)


def test_of_many_places_there_are_some_from_all_over():
    image = np.arange(40 * 40, dtype=float).reshape(1, 40, 40, 1)
    (found,) = rows(image, Window((1, 1)), by_channel=False)
    assert len(found) == PLACES
    assert (found[0], found[-1]) == (0, 1599)
    assert PLACES <= thinned(np.zeros((1, 1000, 4))).shape[1] < 2 * PLACES


def test_same_padding_has_the_odd_zero_behind():
    assert same((9, 8), (3, 3), (2, 2)) == ((1, 1), (0, 1))
    assert same((4, 4), (1, 1), (3, 3)) == ((0, 0), (0, 0))
