"""What may be asked of the task: names, bounds, and those that nothing can meet."""

from __future__ import annotations

from typing import Any

import pytest

from edgepack.errors import UsageError
from edgepack.metrics.metric import Asked
from edgepack.metrics.request import Bound, check_thresholds, request
from edgepack.parity import parse_gate


def bound(key: str, value: Any, metrics: tuple[str, ...] = ("wer.py:wer",)) -> Bound:
    (found,) = request("set.csv", metrics, {key: value}).bounds
    return found


def test_a_number_is_the_least_of_what_should_be_high_and_the_most_of_an_error_or_a_change() -> None:
    assert [str(bound(key, 2)) for key in ("top1", "mae", "top1_drop", "mae_rise", "wer_rise")] == [
        "top1>=2", "mae<=2", "top1_drop<=2", "mae_rise<=2", "wer_rise<=2",
    ]  # fmt: skip


def test_a_text_says_which_it_is() -> None:
    assert bound("wer", "<=0.1") == Bound("wer", "", "<=", 0.1)
    with pytest.raises(UsageError, match=r"The gate on 'wer' is 0.1: at least, or at most\?"):
        bound("wer", 0.1)


def test_a_drop_is_from_the_original_and_a_rise_above_it() -> None:
    drop, rise = Bound("f1", "drop", "<=", 0.5), Bound("mae", "rise", "<=", 0.5)
    assert [drop.is_met(98, artifact) for artifact in (99, 97.5, 97.4)] == [True, True, False]
    assert [rise.is_met(1, artifact) for artifact in (0.5, 1.5, 1.6)] == [True, True, False]
    assert drop.is_met(98.47, 97.97)  # 0.5000000000000000 and a little, as floats subtract


def test_a_metric_that_the_gate_names_is_measured() -> None:
    assert request("", (), {"top5_drop": 1}).asked == (Asked("top5"),)
    assert request("", ("top5:y",), {"top5_drop": 1}).asked == (Asked("top5", output="y"),)


def test_a_labelled_set_alone_is_for_top1() -> None:
    assert request("set.csv", (), {}).asked == (Asked("top1"),)
    assert request("", (), {}).asked == ()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("top1_drop", -1, "better than the original"),
        ("top1", "<=90", "asks for a worse artifact"),
        ("mae", ">=1", "asks for a worse artifact"),
        ("top1_drop", ">=1", "asks for a worse artifact"),
        ("top1_rise", 1, "bounds how much better the artifact is"),
        ("mae_drop", 1, "bounds how much better the artifact is"),
        ("top1_drop", float("nan"), "is no number"),
        ("top1", 101, "is no percentage"),
        ("miou", 0.97, "is no percentage"),
        ("top1", "97", "at least, or at most"),
        ("top1", ">=many", "is not understood"),
        ("tpo1", 97, "no metric 'tpo1'. Did you mean 'top1'?"),
        ("sqnr", 20, "no metric 'sqnr'. Did you mean 'sqnr_db'?"),
        ("wer_dorp", 1, "no metric 'wer_dorp'. Did you mean 'wer_drop'?"),
    ],
)
def test_a_bound_that_cannot_be_meant_is_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        bound(key, value)
    assert message in error.value.message


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (("top2",), "no metric 'top2'. Did you mean 'top1'?|no metric 'top2'. Did you mean 'top5'?"),
        (("a.py:wer", "b.py:wer"), "more than one metric called 'wer'"),
        (("a.py:top1",), "more than one metric called 'top1'"),
        (("a.py:cosine",), "more than one metric called 'cosine'"),
        (("top1:a", "top1:b"), "more than one metric called 'top1'"),
    ],
)
def test_metrics_that_a_gate_could_not_tell_apart_are_refused(metrics: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as error:
        request("set.csv", metrics, {})
    assert any(each in error.value.message for each in message.split("|"))


def test_code_of_the_users_needs_labels() -> None:
    with pytest.raises(UsageError, match="The metric a.py:wer needs labels"):
        request("", ("a.py:wer",), {})


@pytest.mark.parametrize("gate", ["cosine>=1.1", "argmax_agreement>=98", "sqnr_db>=1000", "max_abs<=-1"])
def test_tensor_bounds_that_nothing_can_meet_are_refused(gate: str) -> None:
    with pytest.raises(UsageError, match="No artifact can meet the gate"):
        check_thresholds(parse_gate(gate).thresholds)
