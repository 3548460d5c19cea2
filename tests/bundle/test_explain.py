"""What is told of an artifact's layers: which, why, and what was done."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepack.bundle import explain
from edgepack.bundle.ranked import LayerError, chosen
from edgepack.parity import LayerParity
from edgepack.precision.causes import Grid, Stored
from edgepack.precision.notes import Note, notes_on
from edgepack.spec import Precision, Signature
from edgepack.target import Audit, AuditOp, Plan

SAMPLES = [{"x": np.random.default_rng(i).normal(size=(1, 50, 4))} for i in range(6)]
GRID = Grid(np.array([1 / 16]), 0, -128, 127)


class Runner:
    """Three ops in a row, and one beside them; the second has a loud channel."""

    def __init__(self, *ops: str) -> None:
        self.ops, self.asked = ops, 0

    def layers(self, inputs: Any) -> dict[str, Any]:
        self.asked += 1
        loud = np.array([1.0, 100.0, 1.0, 1.0])
        return {name: inputs["x"] * (loud if name == "b" else 1) for name in self.ops}

    def stored(self, inputs: Any, weighed: Any = ()) -> dict[str, Stored]:
        return {
            name: Stored(replace(GRID, scale=GRID.scale * (50 if name == "b" else 1))) for name in self.ops
        }


def judged(**changes: Any) -> Any:
    reads = {"a": (), "b": ("a",), "c": ("b",), "d": ("a",)}
    ops = tuple(AuditOp(name, "CONV", "int8", 9, reads=reads[name]) for name in "abcd")
    plain = {
        "audit": Audit(ops, Signature((), ()), {}, {}, True),
        "layers": tuple(LayerParity(*each) for each in zip("abcd", (40.0, 37.0, 12.0, 39.0), strict=True)),
        "float32": None,
        "runner": Runner(*"abcd"),
        "rows": [SimpleNamespace(backend="")],
        "notes": (),
        "search": None,
        "plan": Plan(Precision.INT8),
    }
    return SimpleNamespace(**{**plain, **changes})


@pytest.fixture
def target() -> Any:
    return SimpleNamespace(open=lambda artifact, backend: Runner(*"abcd"))


def test_the_layer_with_the_loud_channel_and_the_one_that_suffers_are_told_apart(target: Any) -> None:
    layers = {layer.name: layer for layer in explain.layers(target, judged(), SAMPLES)}
    assert "channel 1 has" in layers["b"].cause
    assert "the error grows here from 37 dB to 12 dB" in layers["c"].cause
    assert "reads" not in layers["d"].cause


def test_what_was_done_for_a_layer_stands_beside_it(target: Any) -> None:
    wide = Note("c", "rounding", skipped="it is wide")
    notes = (Note("c", "mse", 20.0, 21.5, kept=True), wide, Note("", "rounding", 9.0, 9.5))
    found = judged(notes=notes)
    layers = {layer.name: layer for layer in explain.layers(target, found, SAMPLES)}
    ranged, rounded = layers["c"].remedy.split("; ")
    assert ranged == "range by mse, its own values 20.0 to 21.5 dB, kept"
    assert rounded == "rounding was not tried: it is wide"
    assert explain.remedies(found) == ("rounding, outputs 9.0 to 9.5 dB, not kept",)


def test_a_float32_artifact_has_no_layers_and_is_not_opened() -> None:
    assert explain.layers(None, judged(layers=()), SAMPLES) == ()  # type: ignore[arg-type]


def test_what_a_method_was_not_tried_for_is_told() -> None:
    found = judged(notes=(Note("", "all", skipped="3 calibration samples, 8 needed"),))
    assert explain.remedies(found) == ("all was not tried: 3 calibration samples, 8 needed",)


def test_what_a_search_moved_up_is_told_with_gain_and_cost() -> None:
    start, plan = Plan(Precision.INT8), Plan(Precision.INT8, {"c": Precision.INT16X8})

    def point(name: str, plan: Plan, db: float, size: int, count: int) -> Any:
        trial = SimpleNamespace(plan=plan, sqnr_db=db, bytes=size, error="")
        return SimpleNamespace(name=name, trial=trial, ladder=SimpleNamespace(start=start), count=count)

    points = [point("int8", start, 12.0, 1000, 0), point("int8, 1 of 4 ops int16x8", plan, 23.0, 1004, 1)]
    found = judged(plan=plan, search=SimpleNamespace(points=points))
    assert explain.remedies(found) == ("int8, 1 of 4 ops int16x8: +11.0 dB, +0.4 % bytes beside int8 alone",)
    assert explain.remedies(judged(plan=start, search=SimpleNamespace(points=points))) == ()


def test_notes_are_those_of_the_integers_that_ship() -> None:
    notes = [Note("", "a", precision="int8"), Note("", "b", precision="int16x8")]
    assert notes_on(Plan(Precision.INT16X8), notes) == (notes[1],)
    assert notes_on(Plan(Precision.FLOAT16, {"x": Precision.INT8}), notes) == (notes[0],)
    assert notes_on(Plan(Precision.FLOAT16), notes) == ()


def test_of_very_many_layers_the_worst_are_recorded_in_the_order_of_the_graph() -> None:
    many = [LayerError(f"op{i}", "CONV", "int8", float(i % 100)) for i in range(3 * explain.MOST_LAYERS)]
    kept = explain.entries(many)
    places = [int(entry.op.removeprefix("op")) for entry in kept]
    assert len(kept) == explain.MOST_LAYERS
    assert places == sorted(places)
    assert max(entry.sqnr_db for entry in kept) < 50


def test_no_error_at_all_is_a_number_in_the_record() -> None:
    (entry,) = explain.entries([LayerError("a", "CONV", "int8", math.inf, -math.inf)])
    assert (entry.sqnr_db, entry.rounding_db) == (300.0, -300.0)


def test_few_layers_are_explained_those_where_rounding_brings_most_in_among_them() -> None:
    layers = [LayerError(f"op{i}", "CONV", "int8", 40.0 - i, 60.0) for i in range(20)]
    layers[3] = replace(layers[3], rounding_db=5.0)
    places = chosen(tuple(layers))
    assert len(places) == 4
    assert {3, 19} <= set(places)
    assert list(places) == sorted(places)


def test_victims_are_passed_over_for_those_that_lose_against_what_they_read() -> None:
    layers = [LayerError(f"op{i}", "MATMUL", "float32", 20.0 - i / 100, before_db=20.0) for i in range(20)]
    for guilty in (2, 5, 9):
        layers[guilty] = replace(layers[guilty], before_db=35.0)
    assert chosen(tuple(layers)) == (2, 5, 9, 19)
