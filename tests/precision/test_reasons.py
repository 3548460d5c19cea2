"""Why an op has another precision than was asked for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from edgepack.precision.reasons import explained
from edgepack.spec import Precision, Signature
from edgepack.target import Audit, AuditOp, Plan

OPS = (AuditOp("loop", "WHILE", "float32", 4), AuditOp("conv", "CONV", "int8", 4))
AUDIT = Audit(OPS, Signature((), ()), {}, {}, False)


def lowering(*ops: tuple[str, dict[Precision, str], dict[Precision, float]]) -> Any:
    made = [SimpleNamespace(name=name, limits=limits, weight_db=weight_db) for name, limits, weight_db in ops]
    return SimpleNamespace(ops=made)


def test_an_op_that_the_plan_left_in_float_carries_its_reason_into_the_audit() -> None:
    cannot = lowering(("loop", {Precision.INT8: "bodies stay float"}, {}))
    found = explained(AUDIT, cannot, Plan(Precision.INT8, {"loop": Precision.FLOAT32}), {})
    assert found.ops == (replace(OPS[0], reason="bodies stay float"), OPS[1])
    assert found.float_islands == (found.ops[0],)


def test_what_moved_an_op_up_comes_before_what_it_cannot_take() -> None:
    ops = lowering(("loop", {Precision.INT8: "bodies stay float"}, {}), ("conv", {}, {}))
    found = explained(AUDIT, ops, Plan(Precision.INT8), {"loop": "it alone leaves 3 dB"})
    assert [op.reason for op in found.ops] == ["it alone leaves 3 dB", ""]


def test_where_weights_are_only_stored_an_op_without_any_has_nothing_to_explain() -> None:
    ops = lowering(("loop", {Precision.INT8: "it has no weights"}, {}), ("conv", {}, {Precision.INT8: 30.0}))
    assert [op.reason for op in explained(AUDIT, ops, Plan(Precision.INT8), {}).ops] == ["", ""]
