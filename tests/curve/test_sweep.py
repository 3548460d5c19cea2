"""One budget after another, on the fake target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgepack import latency, pipeline
from edgepack.compress import stage
from edgepack.compress.budget import Budget
from edgepack.compress.sizes import LayerSize
from edgepack.compress.wanted import Wanted
from edgepack.curve.sweep import Curve, Point, sweep
from edgepack.events import Event, StepEnded
from edgepack.project import load

BUDGETS = {
    "prune": (Budget.of({"prune": 0.5}), Budget.of({"prune": 0.9})),
    "cluster": (Budget.of({"cluster": 5}),),
}


@pytest.fixture
def draw(
    workspace: Path, tmp_path: Path, fake: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Curve]:
    """The curve of a few budgets, under a gate on the cosine."""
    monkeypatch.setattr(latency, "measure", lambda race, listener: {"latency ratio": 0.5})

    def run(gate: float = 0.98, source: str = "taught", data: str = "many", **compress: Any) -> Curve:
        tables = {
            "model": {"source": fake(source)},
            "data": {"representative": fake(data)},
            "gate": {"cosine": gate},
            "compress": {"recover_minutes": 0} | compress,
        }
        scratch = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
        scratch.mkdir()
        return sweep(load(None, tables), "fake", BUDGETS, scratch, None)

    return run


def test_every_budget_is_made_and_measured(draw: Callable[..., Curve], events: list[Event]) -> None:
    original, half, most, few = draw().points
    assert (original.budget, original.nonzero, original.macs) == (Budget(), 240, 240)
    assert (half.series, half.nonzero, most.nonzero) == ("prune", 216, 197)
    assert original.agreement >= half.agreement >= most.agreement
    assert original.zipped > half.zipped > most.zipped
    assert few.series == "cluster"
    assert half.latency_ratio == 0.5
    steps = [event.name for event in events if isinstance(event, StepEnded)]
    assert steps[-3:] == ["--prune 0.5", "--prune 0.9", "--cluster 5"]


def test_the_original_is_as_large_as_its_own_framework_says(
    draw: Callable[..., Curve], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in has no layers that compression sees; see edgepack.elsewhere."""
    workbench = pipeline.workbench

    def with_elsewhere(*args: Any) -> Any:
        bench, model = workbench(*args)
        elsewhere = SimpleNamespace(
            sizes=lambda: (LayerSize("there", "linear", weights=9, zeros=2, values=7, macs=18),),
            smaller=lambda wanted: stage.compress(wanted, bench.load(), bench.samples, bench.golden),
        )
        return replace(bench, elsewhere=elsewhere), model

    monkeypatch.setattr(pipeline, "workbench", with_elsewhere)
    original = draw().points[0]
    assert (original.nonzero, original.macs) == (7, 18)


def test_the_gate_marks_points_and_the_smallest_that_meets_it(draw: Callable[..., Curve]) -> None:
    loose = draw(gate=0.5)
    assert all(point.passed for point in loose.points)
    assert loose.smallest == min(loose.points, key=lambda point: point.zipped)
    strict = draw(gate=0.9999)
    assert strict.smallest == strict.points[0]
    assert "cosine" in strict.points[2].failures[0]
    assert draw(gate=1.0).smallest is None


def test_of_two_alike_the_one_that_agrees_better() -> None:
    worse, better = (Point("", Budget(), zipped=10, agreement=share) for share in (0.9, 0.95))
    assert Curve("", "", "", (worse, better)).smallest is better
    failed = replace(better, failures=("too far",))
    assert Curve("", "", "", (worse, failed)).smallest is worse


def test_a_point_that_is_known_is_not_made_again_and_an_interrupted_sweep_keeps_those_it_had(
    draw: Callable[..., Curve], monkeypatch: pytest.MonkeyPatch
) -> None:
    compress = stage.compress
    made: list[Wanted] = []

    def counted(wanted: Wanted, *args: Any) -> stage.Compressed:
        if wanted.is_any:
            made.append(wanted)
        if len(made) == 3 and interrupted:
            raise KeyboardInterrupt
        return compress(wanted, *args)

    monkeypatch.setattr(stage, "compress", counted)
    interrupted = True
    with pytest.raises(KeyboardInterrupt):
        draw()
    interrupted = False
    first = draw()
    assert [(each.prune, each.cluster) for each in made] == [(0.5, None), (0.9, None), (None, 5), (None, 5)]
    assert draw() == first
    assert len(made) == 4


@pytest.mark.parametrize("other", [{"gate": 0.7}, {"source": "retaught"}, {"keep": ["hidden"]}])
def test_what_decides_a_point_makes_it_another(
    draw: Callable[..., Curve], other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw()
    monkeypatch.setattr(stage, "compress", lambda *_: pytest.fail("made again"))
    with pytest.raises(pytest.fail.Exception, match="made again"):
        draw(**other)


def test_a_budget_that_the_model_cannot_have_is_said_and_the_others_are_made(
    draw: Callable[..., Curve],
) -> None:
    curve = draw(keep=["hidden", "scores"])
    assert curve.points[0].passed
    assert {point.error for point in curve.points[1:]} == {"No layer is left to make smaller."}
    assert curve.smallest == curve.points[0]
