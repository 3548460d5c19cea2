"""A budget that the gate forbids, on the fake target: what it would allow is named, or what draws the curve."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgepack import allowance, auto, pipeline
from edgepack.compress.budget import Budget
from edgepack.errors import GateError
from edgepack.pipeline import Built
from edgepack.project import load

Make = Callable[..., Built]


@pytest.fixture
def make(workspace: Path, tmp_path: Path, fake: Callable[[str], str]) -> Make:
    """Build with far too much compression for a gate on the cosine."""

    def run(cosine: float = 0.9, precision: str = "float32", **compress: Any) -> Built:
        tables = {
            "model": {"source": fake("taught")},
            "data": {"representative": fake("many")},
            "build": {"precision": precision, "targets": ["fake"]},
            "gate": {"cosine": cosine},
            "compress": {"prune": 0.95, "recover_minutes": 0} | compress,
        }
        scratch, out = (tmp_path / f"{name}{len(list(tmp_path.iterdir()))}" for name in ("scratch", "out"))
        scratch.mkdir()
        out.mkdir()
        return pipeline.build(load(None, tables), "fake", scratch, out)

    return run


def test_budgets_become_milder_in_even_steps() -> None:
    shares = [dict(each.amounts)["prune"] for each in Budget.of({"prune": 0.9}).milder]
    assert shares == [0.81, 0.72, 0.63, 0.54, 0.45, 0.36, 0.27, 0.18, 0.09]
    both = Budget.of({"prune_channels": 0.5, "cluster": 16}).milder
    assert [dict(each.amounts)["cluster"] for each in both[::4]] == [21, 64, 193]
    assert [dict(each.amounts)["prune_channels"] for each in both[::4]] == [0.45, 0.25, 0.05]
    assert Budget.of({"cluster": 255}).milder == ()


def test_a_command_builds_the_most_that_the_gate_allows(make: Make, edgepack: Callable[..., Any]) -> None:
    built = make(cluster=8)
    assert built.manifest.gate.failures
    assert built.allowed is not None
    assert built.allowed.budget in Budget.of({"prune": 0.95, "cluster": 8}).milder
    assert built.allowed.budget.flags in built.allowed.advice
    ended = edgepack(*shlex.split(built.allowed.command)[1:])
    assert ended.code == 0, ended.err


def test_what_only_calibration_samples_allow_is_not_named(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = make().allowed
    assert honest is not None
    monkeypatch.setattr(auto, "chosen", lambda *_: 0)
    deceived = make()
    assert deceived.allowed is not None
    assert deceived.allowed.budget == honest.budget


def test_where_nothing_milder_will_do_a_command_draws_the_curve(
    make: Make, fake: Callable[[str], str]
) -> None:
    allowed = make(cosine=1.0 - 1e-9).allowed
    assert allowed is not None
    assert allowed.budget is None
    assert "None of" in allowed.advice
    command = f"edgepack compress {fake('taught')} --data {fake('many')} --target fake --precision float32"
    assert allowed.command == f"{command} --gate 'cosine>=0.999999999' --curve"


def test_no_try_is_begun_that_would_take_too_long(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "SECONDS", 1e-9)
    allowed = make().allowed
    assert allowed is not None
    assert allowed.tries == 0
    assert "were not tried" in allowed.advice
    assert allowed.command.endswith("--curve")


def test_a_search_for_a_precision_that_finds_none_tells_it_too(make: Make) -> None:
    with pytest.raises(GateError, match="Without compression it can be met") as caught:
        make(precision="auto")
    assert "\n  edgepack build" in caught.value.hint


def test_what_meets_the_gate_is_not_looked_into(make: Make) -> None:
    assert make(cosine=0.1).allowed is None
