"""Where a budget of multiplications is spent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.compress import multiplications
from edgepack.compress.student import Group, Layer
from edgepack.errors import GateError
from edgepack.spec import Array


def index(count: int, each: int = 1) -> Array:
    return np.arange(count * each).reshape(count, each)


LAYERS = (
    Layer("first", "conv", (48, 27), True, 100),
    Layer("deep", "depthwise", (48, 9), True, 100),
    Layer("middle", "conv", (12, 48 * 9), True, 25),
    Layer("last", "linear", (5, 12), True, 1),
)
WIDE = Group({"first": index(48), "deep": index(48)}, {"middle": index(48, 9)})
NARROW = Group({"middle": index(12)}, {"last": index(12)})


def left(counts: list[int]) -> int:
    """By hand."""
    wide, narrow = 48 - counts[0], 12 - counts[1]
    return 100 * wide * 27 + 100 * wide * 9 + 25 * narrow * wide * 9 + narrow * 5


def test_a_ledger_counts_what_both_ends_of_a_layer_lose() -> None:
    ledger = multiplications.Ledger(LAYERS)
    assert ledger.left == left([0, 0])
    ledger.take(WIDE, 16)
    ledger.take(NARROW, 5)
    assert ledger.left == left([16, 5])
    assert ledger.saved(WIDE, 8) == left([16, 5]) - left([24, 5])
    ledger.take(WIDE, -16)
    assert ledger.left == left([0, 5])


@given(st.floats(0.01, 0.85), st.integers(0, 50))
def test_the_budget_is_met_in_whole_steps_and_none_of_them_is_needless(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = [np.append(0, np.cumsum(rng.random(size))) for size in (48, 12)]
    counts = multiplications.spend(LAYERS, [WIDE, NARROW], costs, share)
    wanted = (1 - share) * left([0, 0])
    assert left(counts) <= wanted
    assert (48 - counts[0]) % 8 == 0  # kernels take 8 at once
    assert min(48 - counts[0], 12 - counts[1]) > 0
    for fewer in ([counts[0] - 8, counts[1]], [counts[0], counts[1] - 1]):
        assert min(fewer) < 0 or left(fewer) > wanted


def test_it_is_spent_where_it_costs_least() -> None:
    free, dear = np.zeros(49), np.arange(13) * 1e6
    counts = multiplications.spend(LAYERS, [WIDE, NARROW], [free, dear], 0.49)
    assert counts == [24, 0]
    counts = multiplications.spend(LAYERS, [WIDE, NARROW], [np.arange(49) * 1e9, np.zeros(13)], 0.2)
    assert counts == [8, 2]  # but none gives much more than an even share would be


@pytest.mark.parametrize(
    ("size", "gone", "most", "next_"),
    [
        (12, 0, 0.5, 1),
        (12, 6, 0.5, None),
        (1, 0, 0.95, None),
        (48, 0, 0.9, 8),
        (50, 0, 0.9, 2),
        (48, 40, 0.95, None),
    ],
)
def test_steps(size: int, gone: int, most: float, next_: int | None) -> None:
    assert multiplications.further(size, gone, most) == next_


def test_more_than_all_channels_is_refused_with_the_most_that_can_go() -> None:
    multiplications.check(LAYERS, [WIDE, NARROW], 0.8)
    with pytest.raises(GateError, match=r"At most .* % of the multiplications .* 60\.0 % was asked"):
        multiplications.check(LAYERS, [NARROW], 0.6)
