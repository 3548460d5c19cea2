"""The search for a plan: what it finds, with how many trials, and what it falls back to."""

from __future__ import annotations

from pathlib import Path

import pytest
from noisy_lowering import DYNAMIC, FLOAT16, FLOAT32, INT8, INT16X8, Noisy, op, search

from edgepack.errors import UsageError
from edgepack.events import Event, StepEnded
from edgepack.precision.search import Search
from edgepack.spec import Precision


def best(found: Search) -> dict[str, Precision]:
    """The first plan's exceptions from its default, which is under the key ``""``."""
    plan = next(found.plans())
    return {"": plan.default, **plan.ops}


def convolutions(count: int = 40) -> list:
    return [op(f"conv{number:02}") for number in range(count)]


def test_what_meets_the_gate_in_int8_stays_in_int8(tmp_path: Path) -> None:
    noisy = Noisy(convolutions())
    found = search(noisy, tmp_path, "sqnr_db>=20")
    assert best(found) == {"": INT8}
    assert found.count == 4  # each precision as a whole, int16x8 spared: others have 8-bit weights too


def test_the_few_ops_that_need_it_move_up_and_no_others(tmp_path: Path) -> None:
    bad = {name: {INT8: 0.2} for name in ("conv07", "conv21", "conv22")}
    found = search(Noisy(convolutions(), bad), tmp_path, "sqnr_db>=25")
    assert best(found) == {"": INT8, **dict.fromkeys(bad, DYNAMIC)}
    assert "as int8, it alone leaves the outputs" in found.why["conv07"]


def test_it_takes_fewer_trials_than_one_an_op(tmp_path: Path) -> None:
    """Exhaustive greedy search tries every op for every move: here 80 + 79 + 78."""
    bad = {name: {INT8: 0.2} for name in ("conv07", "conv41", "conv42")}
    found = search(Noisy(convolutions(80), bad), tmp_path, "sqnr_db>=25")
    assert set(best(found)) == {"", *bad}
    assert found.count < 60


def test_two_runs_try_the_same_and_find_the_same(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        noisy = Noisy(convolutions(), {"conv03": {INT8: 0.3}, "conv30": {INT8: 0.1}})
        (tmp_path / name).mkdir()
        runs.append((best(search(noisy, tmp_path / name, "sqnr_db>=28")), noisy.emitted))
    assert runs[0] == runs[1]


def test_an_op_that_wrecks_everything_does_not_hide_another(tmp_path: Path) -> None:
    """Noise far above the signal: taking one of the two away changes nothing, so each is looked at alone."""
    bad = {"conv05": {INT8: 40.0}, "conv33": {INT8: 30.0}}
    assert set(best(search(Noisy(convolutions(), bad), tmp_path, "sqnr_db>=25"))) == {"", *bad}


def test_convolutions_are_mixed_before_all_activations_become_float(tmp_path: Path) -> None:
    found = search(Noisy(convolutions(), {"conv00": {INT8: 0.3}}), tmp_path, "sqnr_db>=25")
    assert best(found)[""] == INT8


def test_matrix_products_become_dynamic_before_int8_is_mixed(tmp_path: Path) -> None:
    products = [op(f"dense{number}", "FULLY_CONNECTED") for number in range(12)]
    found = search(Noisy(products, {"dense3": {INT8: 0.3}}), tmp_path, "sqnr_db>=25")
    assert best(found) == {"": DYNAMIC}


def test_where_dynamic_is_too_rough_the_few_worst_weights_get_16_bits(tmp_path: Path) -> None:
    products = [op(f"dense{number}", "FULLY_CONNECTED") for number in range(12)]
    bad = {
        "dense3": {INT8: 0.3, DYNAMIC: 0.3, INT16X8: 0.3},
        "dense9": {INT8: 0.1, DYNAMIC: 0.1, INT16X8: 0.1},
    }
    found = search(Noisy(products, bad), tmp_path, "sqnr_db>=25")
    assert best(found) == {"": DYNAMIC, "dense3": FLOAT16, "dense9": FLOAT16}
    assert found.best.trial.bytes == 10 * 1000 + 2 * 2000


def test_ops_without_weights_cost_no_bytes_in_float(tmp_path: Path) -> None:
    ops = [*convolutions(10), op("softmax", "SOFTMAX", size=0)]
    found = search(Noisy(ops, {"softmax": {INT8: 0.3}}), tmp_path, "sqnr_db>=25")
    assert best(found) == {"": INT8, "softmax": FLOAT32}
    assert found.best.trial.bytes == 10 * 1000


def test_int16_activations_are_asked_where_no_8_bit_weights_will_do_otherwise(tmp_path: Path) -> None:
    bad = {f"conv{number:02}": {INT8: 0.1, DYNAMIC: 0.1} for number in range(10)}
    found = search(Noisy(convolutions(10), bad), tmp_path, "sqnr_db>=25")
    assert INT16X8 in best(found).values()
    assert found.best.trial.bytes == 10 * 1000


def test_only_what_the_target_offers_is_tried(tmp_path: Path) -> None:
    noisy = Noisy(convolutions(10), {"conv03": {INT8: 0.3, DYNAMIC: 0.3}})
    found = search(noisy, tmp_path, "sqnr_db>=25", (INT8, DYNAMIC, FLOAT32))
    assert best(found)["conv03"] == FLOAT32
    assert {FLOAT16, INT16X8}.isdisjoint(
        {p for plan in noisy.emitted for p in (plan.default, *plan.ops.values())}
    )


def test_small_values_that_drown_beside_large_ones_fail_the_gate(tmp_path: Path) -> None:
    """The whole has 40 dB, and its last place none: the gate is asked of that place too."""
    noisy = Noisy([*convolutions(10), op("concat", "CONCAT", size=0)], drown={"concat": frozenset({INT8})})
    found = search(noisy, tmp_path, "sqnr_db>=25")
    assert best(found) == {"": INT8, "concat": FLOAT32}
    assert str(found.places) == "y at 7"


def test_a_plan_that_the_target_refuses_is_a_plan_that_fails(tmp_path: Path, events: list[Event]) -> None:
    found = search(Noisy(convolutions(10), refuses=DYNAMIC), tmp_path, "sqnr_db>=25")
    assert best(found) == {"": INT8}
    told = [event.detail for event in events if isinstance(event, StepEnded) and event.name == "try"]
    assert "int8_dynamic: no kernel for int8_dynamic" in told
    assert any(text.startswith("int8: ") and text.endswith("meets the gate") for text in told)


def test_what_follows_the_best_comes_ever_closer_to_float_and_ends_there(tmp_path: Path) -> None:
    bad = {name: {INT8: 0.2} for name in ("conv01", "conv07")}
    plans = list(search(Noisy(convolutions(10), bad), tmp_path, "sqnr_db>=25").plans())
    moved = [len(plan.ops) for plan in plans if plan.default == INT8]
    assert moved == sorted(moved) == [2, 4, 8, 10]
    assert [plan.default for plan in plans[-2:]] == [FLOAT32, FLOAT32]


def test_the_front_has_what_nothing_beats_in_both_bytes_and_sqnr(tmp_path: Path) -> None:
    found = search(Noisy(convolutions(10), {"conv03": {INT8: 0.3}}), tmp_path, "sqnr_db>=25", thorough=True)
    found.run()
    unbeaten = [point for point in found.front if point is not found.best]
    sizes = [point.trial.bytes for point in unbeaten]
    quality = [point.trial.sqnr_db for point in unbeaten]
    assert sizes == sorted(set(sizes))
    assert quality == sorted(set(quality))
    assert found.front[-1].name == "float32"
    assert found.best in found.front  # of as many bytes there is one with a higher SQNR, and slower
    assert "int16x8" in {point.name for point in found.points}


def test_a_point_is_taken_by_its_number(tmp_path: Path) -> None:
    found = search(Noisy(convolutions(10)), tmp_path, "sqnr_db>=25", thorough=True)
    assert found.taken(1) == found.front[0].trial.plan
    with pytest.raises(UsageError, match="no point 9"):
        found.taken(9)
