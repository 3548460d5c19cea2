"""From one precision to a plan: ops that cannot take it get the next best."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.target import Op, Plan

INT8, DYNAMIC, FLOAT = Precision.INT8, Precision.INT8_DYNAMIC, Precision.FLOAT32


def lowering(**ops: set[Precision]) -> SimpleNamespace:
    return SimpleNamespace(ops=[Op(name, "K", 0, frozenset(each)) for name, each in ops.items()])


def test_ops_that_all_can_need_no_exceptions() -> None:
    assert uniform_plan(lowering(a={INT8, FLOAT}, b={INT8}), INT8, "auto") == Plan(INT8, {}, "auto")


def test_an_op_that_cannot_takes_int8_weights_before_float() -> None:
    plan = uniform_plan(lowering(can={INT8}, loop={DYNAMIC, FLOAT}, neither={FLOAT}), INT8, "auto")
    assert plan.ops == {"loop": DYNAMIC, "neither": FLOAT}


def test_int16_activations_are_planned_like_int8() -> None:
    plan = uniform_plan(lowering(a={INT8, FLOAT}), Precision.INT16X8, "float")
    assert plan == Plan(Precision.INT16X8, {"a": FLOAT}, "float")


@pytest.mark.parametrize("precision", [DYNAMIC, Precision.FLOAT16, FLOAT])
def test_precisions_without_calibration_leave_every_op_to_the_target(precision: Precision) -> None:
    assert uniform_plan(lowering(a=set()), precision, "auto") == Plan(precision, {}, "auto")
