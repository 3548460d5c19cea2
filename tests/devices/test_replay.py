"""What counts as passed, and which gate a device is held to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgepack.devices import gate
from edgepack.devices.replay import BackendResult, DeviceResult
from edgepack.parity import Metrics

RAN = BackendResult("wasm", 3)
MISSED = BackendResult("webgl", 3, failures=("y: cosine is 0.1, not >= 0.98",))
CANNOT = BackendResult("webgpu", error="op 'x': no kernel")


@pytest.mark.parametrize(
    ("backends", "passed"),
    [((RAN,), True), ((RAN, CANNOT), True), ((RAN, MISSED), False), ((CANNOT,), False), ((), False)],
)
def test_a_device_passes_when_something_ran_and_nothing_that_ran_missed_the_gate(
    backends: tuple[BackendResult, ...], passed: bool
) -> None:
    assert DeviceResult("chrome-desktop", backends).passed == passed


def manifest(
    expression: str,
    asked: dict[str, tuple[str, ...]] | None = None,
    shipped: int = 32,
    measured: int = 32,
    **others: Any,
) -> Any:
    return SimpleNamespace(
        **{"metrics": {}, "parity": {}} | others,
        gate=SimpleNamespace(expression=expression, asked=asked or {}),
        golden=SimpleNamespace(shipped=shipped, measured=measured),
    )


def metrics(agreement: float = 1.0, sqnr_db: float = 30.0) -> dict[str, Metrics]:
    return {"y": Metrics(sqnr_db, 0.1, 0.99, agreement)}


def test_an_output_is_asked_for_what_the_build_asked_it_for() -> None:
    words = "cosine>=0.98, argmax_agreement>=0.95"
    some = manifest(words, {"y": ("cosine>=0.98",)})
    assert gate.failures(some, metrics(0.5)) == ()
    every = manifest(words, {"y": ("cosine>=0.98", "argmax_agreement>=0.95")})
    assert gate.failures(every, metrics(0.5)) == ("y: argmax_agreement is 0.5, not >= 0.95",)


def test_where_the_gate_is_of_task_metrics_alone_a_device_may_not_do_worse_than_the_build() -> None:
    """Golden vectors have no labels, and nothing asked would be nothing proven."""
    here = {"host": SimpleNamespace(outputs=metrics(sqnr_db=32.0))}
    task = manifest("top1_drop<=1", {"y": ()}, metrics={"top1": object()}, parity=here)
    assert gate.failures(task, metrics(sqnr_db=29.5)) == ()
    assert gate.failures(task, metrics(sqnr_db=28.5)) == ("y: sqnr_db is 28.5, not >= 29",)


def test_where_the_manifest_does_not_tell_all_of_the_gate_is_asked() -> None:
    assert gate.failures(manifest("argmax_agreement>=0.95"), metrics(0.5)) != ()


def test_the_few_samples_that_travel_may_do_a_little_worse_than_all_did_together() -> None:
    few, all_of_them = manifest("sqnr_db>=30.5", measured=75), manifest("sqnr_db>=30.5")
    assert gate.failures(few, metrics()) == ()
    assert gate.failures(all_of_them, metrics()) == ("y: sqnr_db is 30, not >= 30.5",)
    assert gate.failures(few, metrics(sqnr_db=29.4)) == ("y: sqnr_db is 29.4, not >= 30.5",)
    one_wrong, two_wrong = metrics(1 - 1 / 32), metrics(1 - 2 / 32)
    strict = manifest("argmax_agreement>=0.98", measured=75)
    assert gate.failures(strict, one_wrong) == ()
    assert gate.failures(strict, two_wrong) != ()


def test_what_is_not_finite_is_said_once() -> None:
    broken = {"y": Metrics(-300, float("inf"), 0.0, 0.0, finite=False)}
    assert gate.failures(manifest("sqnr_db>=20, cosine>=0.9"), broken) == ("y is not finite",)
