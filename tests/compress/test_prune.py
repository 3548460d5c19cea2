"""Which weights go: the smallest, so many, and where they are missed least."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.compress import prune
from edgepack.spec import Array


def drawn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99))
def test_a_mask_drops_that_share_and_none_above_one_that_stays(
    rows: int, columns: int, ratio: float, seed: int
) -> None:
    weight = drawn(seed, rows, columns)
    kept = prune.magnitude_mask(weight, ratio)
    assert (~kept).sum() == round(ratio * weight.size)
    gone, stay = np.abs(weight[~kept]), np.abs(weight[kept])
    assert gone.max(initial=0) <= stay.min(initial=np.inf)


def test_equal_weights_still_give_exactly_that_share() -> None:
    assert prune.mask(np.ones((4, 4)), 0.5).sum() == 8


def test_saliency_tells_what_the_error_grows_by() -> None:
    """Brute force: drop one weight, let the others of its row be the best that they can."""
    inputs = drawn(0, 50, 4)
    hessian = inputs.T @ inputs / 50
    weight = drawn(1, 1, 4)
    told = prune.saliency(weight, np.linalg.inv(hessian))
    for gone in range(4):
        others = [index for index in range(4) if index != gone]
        best = np.linalg.lstsq(inputs[:, others], inputs @ weight[0], rcond=None)[0]
        error = np.mean((inputs[:, others] @ best - inputs @ weight[0]) ** 2)
        assert told[0, gone] == pytest.approx(error)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.floats(0, 0.95), st.integers(0, 99))
def test_a_budget_is_met_whatever_the_layers(sizes: list[int], ratio: float, seed: int) -> None:
    scores = {f"layer {index}": drawn(seed + index, size) ** 2 for index, size in enumerate(sizes)}
    ratios = prune.budget(scores, ratio)
    gone = sum(round(ratios[name] * scores[name].size) for name in scores)
    assert gone == round(ratio * sum(sizes))


def test_a_budget_is_spent_where_it_hurts_least_but_empties_no_layer() -> None:
    scores = {"dear": np.full(100, 9.0), "cheap": np.full(100, 1e-3)}
    assert prune.budget(scores, 0.45) == {"dear": 0.0, "cheap": 0.9}
    assert prune.budget(scores, 0.6) == {"dear": 0.25, "cheap": 0.95}


def test_a_budget_that_no_layer_could_survive_is_refused() -> None:
    with pytest.raises(ValueError, match="0.95"):
        prune.budget({"only": np.ones(10)}, 0.99)
