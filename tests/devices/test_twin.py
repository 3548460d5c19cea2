"""How far a device's answers may be from those of this machine's kernels, and what is said when they are further."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgepack.devices import twin
from edgepack.devices.twin import DYNAMIC_RANGE, EXACT, FLOAT, MIXED, Bound
from edgepack.spec import Quantization, Signature, TensorSpec
from edgepack.target import Audit, AuditOp

VALUES = arrays(np.float32, (1, 5), elements=st.floats(-100, 100, width=32))


def rows(*values: Any) -> list[dict[str, Any]]:
    return [{"y": np.asarray(each, np.float32)} for each in values]


def beside(device: Any, here: Any, bound: Bound) -> twin.Beside:
    return twin.compare(device, here, {"y": bound})["y"]


def audit(*ops: tuple[str, str]) -> Audit:
    """Of an artifact with ops of these kinds and precisions; the last one gives the output ``y``."""
    names = [*(f"op{number}" for number in range(len(ops) - 1)), "y"]
    y = TensorSpec("y", (1, 5), "int8", Quantization(1 / 256, -128))
    rows = tuple(
        AuditOp(name, kind, precision, 0) for name, (kind, precision) in zip(names, ops, strict=False)
    )
    return Audit(rows, Signature((), (y,)), {}, {}, full_int8=True)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"int8": 9}, EXACT), ({"int8": 9, "convert": 2, "integer": 1}, EXACT), ({"int16x8": 3}, EXACT),
        ({"int8": 9, "float32": 1}, MIXED), ({"int8": 9, "int8_dynamic": 1}, DYNAMIC_RANGE),
        ({"int8_dynamic": 4, "float32": 2}, DYNAMIC_RANGE), ({"float32": 9}, FLOAT), ({"float16": 9}, FLOAT),
        ({"int8_weights": 5, "float32": 9}, FLOAT), ({}, FLOAT), ({"convert": 1}, FLOAT),
    ],
)  # fmt: skip
def test_what_kernels_owe_each_other_follows_from_the_arithmetic_in_the_artifact(
    kinds: dict[str, int], expected: Bound
) -> None:
    names = [precision for precision, count in kinds.items() for _ in range(count)]
    assert twin.bounds(audit(*(("CONV_2D", precision) for precision in names)), ())["y"] == expected


def test_an_op_that_is_computed_in_another_way_there_may_be_a_step_apart() -> None:
    ends = audit(("CONV_2D", "int8"), ("SOFTMAX", "int8"))
    within = twin.bounds(ends, {"int8 SOFTMAX"})
    assert within["op0"] == EXACT
    assert beside(rows([[0.5, 1 / 256]]), rows([[0.5, 0.0]]), within["y"]).passed
    assert not beside(rows([[0.5, 2 / 256]]), rows([[0.5, 0.0]]), within["y"]).passed
    assert "int8 SOFTMAX is computed in another way there" in within["y"].words


def test_what_comes_behind_such_an_op_carries_its_roundings_on() -> None:
    within = twin.bounds(audit(("SOFTMAX", "int8"), ("FULLY_CONNECTED", "int8")), {"int8 SOFTMAX"})
    assert within == {"op0": MIXED, "y": MIXED}


@given(st.lists(VALUES, min_size=1, max_size=4), st.sampled_from([EXACT, FLOAT, MIXED, DYNAMIC_RANGE]))
def test_the_same_answers_are_within_every_bound(values: list[Any], bound: Bound) -> None:
    same = beside(rows(*values), rows(*values), bound)
    assert same.passed
    assert same.max_abs == 0


def test_one_step_of_int8_is_a_difference_and_is_told_by_place_and_value() -> None:
    here = rows([[0, 1, 2]], [[0.5, 1, 2]])
    there = rows([[0, 1, 2]], [[0.5, 1.25, 2]])
    found = beside(there, here, EXACT)
    assert not found.passed
    assert (found.sample, found.index, found.device, found.twin, found.max_abs) == (
        1,
        (0, 1),
        1.25,
        1.0,
        0.25,
    )
    assert "y[0, 1] of sample 1 is 1.25 there and 1 by this machine's kernels" in str(found)
    assert "bit for bit" in str(found)


@pytest.mark.parametrize(("off", "passed"), [(0.9e-3, True), (1.1e-3, False)])
def test_float_may_differ_by_a_part_of_the_outputs_range(off: float, passed: bool) -> None:
    here = rows([[0.0, 10.0]])
    assert beside(rows([[0.0, 10.0 + off]]), here, FLOAT).passed == passed


def test_the_range_is_that_of_all_samples() -> None:
    assert beside(rows([[1.0, 1.0001]], [[9.0, 9.0]]), rows([[1.0, 1.0]], [[9.0, 9.0]]), FLOAT).passed
    assert not beside(rows([[1.0, 1.001]], [[1.1, 1.1]]), rows([[1.0, 1.0]], [[1.1, 1.1]]), FLOAT).passed


def test_a_constant_output_rounds_like_its_size() -> None:
    assert beside(rows([[1000.0005]]), rows([[1000.0]]), FLOAT).passed
    assert not beside(rows([[1001.0]]), rows([[1000.0]]), FLOAT).passed
    assert not beside(rows([[0.1]]), rows([[0.0]]), FLOAT).passed


def test_dynamic_range_is_judged_by_the_whole_not_by_one_value() -> None:
    rng = np.random.default_rng(0)
    here = rng.normal(size=(1, 1000))
    spike = here.copy()
    spike[0, 3] += 1.0
    assert beside(rows(spike), rows(here), DYNAMIC_RANGE).passed
    assert not beside(rows(here + 0.2), rows(here), DYNAMIC_RANGE).passed


@pytest.mark.parametrize("bound", [EXACT, FLOAT, MIXED, DYNAMIC_RANGE])
def test_a_value_that_is_no_number_on_one_side_alone_is_a_difference(bound: Bound) -> None:
    nan, number = rows([[1.0, np.nan]]), rows([[1.0, 2.0]])
    assert not beside(nan, number, bound).passed
    assert not beside(number, nan, bound).passed
    assert beside(nan, nan, bound).passed
