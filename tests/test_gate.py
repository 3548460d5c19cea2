"""Gates: how they are written, what they hold against which output, and what a user who names none gets."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.errors import UsageError
from edgepack.parity import Gate, Metrics, Threshold, default_gate, parse_gate
from edgepack.spec import Precision

GOOD = Metrics(sqnr_db=40, max_abs=0.01, cosine=0.999, argmax_agreement=1.0, probabilities=True)
NAMES = st.sampled_from(["sqnr_db", "max_abs", "cosine", "argmax_agreement"])
SIGNS = st.sampled_from([">=", "<=", ">", "<"])
THRESHOLDS = st.builds(Threshold, NAMES, SIGNS, st.floats(allow_nan=False, allow_infinity=False))


@given(st.lists(THRESHOLDS, min_size=1, max_size=5).map(tuple))
def test_a_gate_is_read_as_it_is_written(thresholds: tuple[Threshold, ...]) -> None:
    assert parse_gate(str(Gate(thresholds))).thresholds == thresholds


def test_a_gate_reads_like_its_flag() -> None:
    gate = parse_gate(" sqnr_db>=20,argmax_agreement >= 0.98 ,, max_abs<1e-3")
    assert str(gate) == "sqnr_db>=20, argmax_agreement>=0.98, max_abs<0.001"


@pytest.mark.parametrize(
    "text", ["sqnr_db", "sqnr_db=20", "sqnr_db>=", "sqnr_db>=high", "sqnr_db>=1.2.3", ">=20", "20"]
)
def test_a_gate_that_is_not_understood_comes_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is not understood") as error:
        parse_gate(text)
    assert "sqnr_db>=20" in error.value.hint


@pytest.mark.parametrize(
    ("name", "near"), [("sqnr", "sqnr_db"), ("argmax_agree", "argmax_agreement"), ("cosin", "cosine")]
)
def test_a_wrong_metric_gets_the_nearest_one(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=rf"no metric '{name}'. Did you mean '{near}'\?"):
        parse_gate(f"{name}>=1")


@pytest.mark.parametrize("text", ["", " ", ","])
def test_an_empty_gate_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="The gate is empty"):
        parse_gate(text)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("sqnr_db>=40", True), ("sqnr_db>40", False), ("sqnr_db>=40.1", False),
        ("max_abs<=0.01", True), ("max_abs<0.01", False), ("max_abs<=0.02, cosine>=0.9999", False),
    ],
)  # fmt: skip
def test_every_threshold_counts(text: str, passes: bool) -> None:
    assert (parse_gate(text).failures({"y": GOOD}) == []) == passes


def test_every_output_counts_and_a_failure_says_which_and_by_how_much() -> None:
    bad = Metrics(12.345, 1.0, 0.9, None)
    failures = parse_gate("sqnr_db>=20, max_abs<=2").failures({"good": GOOD, "bad": bad})
    assert failures == ["bad: sqnr_db is 12.35, not >= 20"]


def test_an_output_that_is_not_finite_fails_every_gate_once() -> None:
    broken = Metrics(-300, math.inf, 0.0, 0.0, finite=False)
    gate = parse_gate("max_abs<=1e300, sqnr_db<=0")
    assert gate.failures({"y": broken}) == ["y is not finite"]
    assert [threshold.verdict(broken) for threshold in gate.thresholds] == [False, False]


def test_a_threshold_that_applies_to_no_output_fails() -> None:
    """Else a gate on the argmax of a regression would pass without having looked at anything."""
    one = Metrics(40, 0.1, 1.0, None)
    gate = parse_gate("argmax_agreement>=0.9")
    assert gate.failures({"y": one}) == ["argmax_agreement>=0.9 applies to no output"]
    assert gate.failures({"y": one, "z": GOOD}) == []


def test_the_default_gate_holds_the_argmax_against_probabilities_only() -> None:
    gate = default_gate(Precision.INT8)
    assert gate.failures({"y": Metrics(20, 1, 0.99, 0.5, probabilities=False)}) == []
    assert gate.failures({"y": Metrics(20, 1, 0.99, 0.5, probabilities=True)}) == [
        "y: argmax_agreement is 0.5, not >= 0.95"
    ]


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("float32", "sqnr_db>=60"), ("float16", "sqnr_db>=35"), ("int16x8", "sqnr_db>=35"), ("int16", "sqnr_db>=35"),
        ("int8", "cosine>=0.98, argmax_agreement>=0.95"), ("int8_dynamic", "cosine>=0.98, argmax_agreement>=0.95"),
    ],
)  # fmt: skip
def test_every_precision_has_a_default_gate(precision: str, expected: str) -> None:
    assert str(default_gate(Precision(precision))) == expected
