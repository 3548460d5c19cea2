"""``--prune auto`` on the fake target: the strongest budget of its ladder that the gate allows, and never one too strong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgepack import auto, pipeline, registry
from edgepack.compress.budget import Budget
from edgepack.errors import UsageError
from edgepack.events import Event, StepEnded, Warned
from edgepack.judge import Judge
from edgepack.pipeline import Built
from edgepack.project import load


@pytest.fixture
def make(workspace: Path, tmp_path: Path, fake: Callable[[str], str]) -> Callable[..., Built]:
    """Build with ``prune = "auto"`` under a gate on the cosine."""

    def run(cosine: float, source: str = "taught", **compress: Any) -> Built:
        tables = {
            "model": {"source": fake(source)},
            "data": {"representative": fake("many")},
            "build": {"precision": "float32"},
            "gate": {"cosine": cosine},
            "compress": {"prune": "auto", "recover_minutes": 0} | compress,
        }
        for name in ("scratch", "out"):
            (tmp_path / name).mkdir()
        return pipeline.build(load(None, tables), "fake", tmp_path / "scratch", tmp_path / "out")

    return run


@pytest.mark.parametrize("first", range(6))
def test_the_first_that_meets_is_found_in_few_tries(first: int) -> None:
    tried: list[int] = []

    def meets(place: int) -> bool:
        tried.append(place)
        return place >= first

    assert auto.strongest(5, meets) == first
    assert len(tried) <= 3


def test_as_much_goes_as_the_gate_allows(make: Callable[..., Built], events: list[Event]) -> None:
    told = make(0.9).manifest
    assert told.gate.passed
    assert told.compression["prune"] in (0.6, 0.8)
    (choice,) = (
        event.detail for event in events if isinstance(event, StepEnded) and event.name == "choose budget"
    )
    assert choice == f"--prune {told.compression['prune']:g}"
    assert "--prune auto" in told.command


def test_a_gate_that_allows_nothing_leaves_the_model_as_it_is(
    make: Callable[..., Built], events: list[Event]
) -> None:
    told = make(1.0 - 1e-9).manifest
    assert told.gate.passed
    assert told.compression == {}
    assert any("not even the mildest" in event.detail for event in events if isinstance(event, StepEnded))


def test_what_does_not_hold_on_the_held_back_samples_becomes_milder(
    make: Callable[..., Built], events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judge, "failures", lambda *_: [])  # the calibration samples say that all goes well
    told = make(0.9).manifest
    assert told.gate.passed
    assert told.compression["prune"] < 0.95
    assert any("--prune 0.95 did not hold" in event.text for event in events if isinstance(event, Warned))


def test_what_makes_nothing_smaller_does_not_ship(
    make: Callable[..., Built], events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "zipped", lambda artifact: 100)
    told = make(0.9).manifest
    assert told.gate.passed
    assert told.compression == {}
    assert any("no smaller" in event.text for event in events if isinstance(event, Warned))


def test_other_amounts_beside_it_are_refused(make: Callable[..., Built]) -> None:
    with pytest.raises(UsageError, match="leave out the others"):
        make(0.9, cluster=32)


def test_every_target_has_budgets_that_could_be_asked_for() -> None:
    for info in registry.targets().values():
        assert info.auto, info.name
        for amounts in info.auto:
            wanted = load(None, {"compress": dict(amounts)}).compression
            assert dict(Budget.given(wanted).amounts) == amounts
    assert registry.target("tfjs", "litert").auto == registry.target("tflite").auto
