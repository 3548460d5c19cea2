"""Metrics of the task choose a plan: on samples that do not judge it, and by themselves where the gate names no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import pipeline
from edgepack.errors import GateError, UsageError
from edgepack.events import Event, StepEnded, Warned
from edgepack.metrics import evaluation
from edgepack.metrics.evaluation import Evaluation
from edgepack.project import load

ONE_LAYER = "mae_rise<=0.003"
"""What int8 misses (0.006), and one layer in float32 meets (0.002)."""


@pytest.fixture
def labelled(workspace: Path) -> Callable[..., str]:
    """Write ``set.npz``: inputs of the fake model and what it answers, or its best class, ``wrong`` of them changed."""

    def write(count: int = 60, classes: bool = False, wrong: int = 0) -> str:
        import fake_models

        x = np.random.default_rng(3).normal(size=(count, 4)).astype(np.float32)
        answers = np.stack([fake_models.build()({"x": row})["scores"][0] for row in x])
        best = answers.argmax(-1)
        best[:wrong] = (best[:wrong] + 1) % 3
        np.savez("set.npz", x=x, label=best if classes else answers)
        return "set.npz"

    return write


@pytest.fixture
def ask(fake: Callable[[str], str], workspace: Path) -> Callable[..., Evaluation]:
    """What the original makes of a labelled set, in this process, before a search."""

    def run(gate: dict[str, Any], precision: str = "auto", **data: Any) -> Evaluation:
        tables = {
            "model": {"source": fake("build")},
            "data": {"representative": fake("samples"), **data},
            "build": {"precision": precision},
            "gate": gate,
        }
        scratch = workspace / "scratch"
        scratch.mkdir(exist_ok=True)
        found = pipeline.record(load(None, tables), scratch).evaluation
        assert found is not None
        return found

    return run


def test_a_gate_of_the_task_alone_finds_the_smallest_plan_that_meets_it(
    build: Callable[..., Any], labelled: Callable[..., str]
) -> None:
    options = ("--evaluation", labelled(), "--precision", "auto", "--json")
    done = build(*options, "--gate", ONE_LAYER)
    assert done.code == 0, done.err
    (bundle,) = done.json["bundles"]
    assert bundle["audit"]["ops_by_precision"] == {"float32": 1, "int8": 1}
    assert [point["name"] for point in bundle["search"]["front"] if point["taken"]] == [
        "int8, 1 of 2 ops float32"
    ]
    missed, met, _ = bundle["search"]["front"]
    assert missed["metrics"]["mae"] > 0.003 > met["metrics"]["mae"]
    assert "chosen by mae" in (Path(bundle["path"]) / "report.html").read_text()
    # tensors would have asked for more: int8 has 37 dB
    easy = build(*options, "--gate", "mae_rise<=0.01", "--force").json["bundles"][0]
    assert easy["audit"]["ops_by_precision"] == {"int8": 2}
    both = build(*options, "--gate", "mae_rise<=0.01, sqnr_db>=100", "--force").json["bundles"][0]
    assert both["audit"]["ops_by_precision"] == {"float32": 2}


def test_tune_shows_what_a_plan_means_for_the_task(
    edgepack: Callable[..., Any], fake: Callable[[str], str], labelled: Callable[..., str]
) -> None:
    done = edgepack(
        "tune", fake("build"), "--data", fake("samples"), "--target", "fake", "--evaluation", labelled(),
        "--gate", ONE_LAYER, "--json",
    )  # fmt: skip
    points = done.json["targets"][0]["points"]
    assert [(point["passed"], point["best"]) for point in points] == [
        (False, False),
        (True, True),
        (True, False),
    ]
    assert points[0]["metrics"]["mae"] > points[1]["metrics"]["mae"] > points[2]["metrics"]["mae"] == 0
    (titles,) = (line.split() for line in done.err.splitlines() if "SQNR" in line and "plan" in line)
    assert titles[titles.index("SQNR") + 1] == "mae"
    assert f"gate    {ONE_LAYER}, on samples that judge no bundle" in done.err


def test_half_of_the_set_chooses_and_the_other_half_judges(
    ask: Callable[..., Evaluation], labelled: Callable[..., str], events: list[Event]
) -> None:
    found = ask({"mae_rise": 1.0}, evaluation=labelled())
    assert found.choosing is not None
    judging, choosing = ({sample for sample, _ in each.labels} for each in (found, found.choosing))
    assert (len(judging), len(choosing), len(judging & choosing)) == (30, 30, 0)
    assert max(int(each.split()[-1]) for each in choosing) > 40  # from all of it
    for part in (found, found.choosing):
        assert part.inputs is not None
        assert [str(len(part.inputs)), part.original["mae"]] == ["30", 0]
    told = [
        event.detail for event in events if isinstance(event, StepEnded) and event.name == "evaluate original"
    ]
    assert told == ["mae 0, on 30 samples; 30 others choose"]


@pytest.mark.parametrize(("gate", "precision"), [({"mae_rise": 1.0}, "int8"), ({"sqnr_db": 20.0}, "auto")])
def test_what_does_not_choose_is_whole(
    ask: Callable[..., Evaluation], labelled: Callable[..., str], gate: dict[str, Any], precision: str
) -> None:
    found = ask(gate, precision, evaluation=labelled(), metrics=("mae",))
    assert (found.choosing, len(found.labels)) == (None, 60)


def test_without_a_set_calibration_samples_choose_and_held_back_ones_judge(
    ask: Callable[..., Evaluation],
) -> None:
    found = ask({"top1_drop": 10.0})
    assert found.choosing is not None
    assert (len(found.labels), len(found.choosing.labels), found.choosing.labels.against) == (
        10,
        30,
        "original",
    )


def test_a_bound_on_a_value_leaves_both_halves_as_much_room(
    ask: Callable[..., Evaluation], labelled: Callable[..., str]
) -> None:
    """A half that the original does worse on would have no plan at all."""
    found = ask({"top1": 60.0}, evaluation=labelled(classes=True, wrong=15))
    assert found.choosing is not None
    (whole,), (eased,) = found.request.bounds, found.choosing.request.bounds
    assert found.original != found.choosing.original
    assert found.original["top1"] - whole.value == pytest.approx(
        found.choosing.original["top1"] - eased.value
    )


def test_a_set_too_small_to_be_halved_is_refused(
    ask: Callable[..., Evaluation], labelled: Callable[..., str]
) -> None:
    with pytest.raises(
        UsageError, match="has 12 samples; half of them choose a plan and half judge it, which takes 20"
    ):
        ask({"mae_rise": 1.0}, evaluation=labelled(12))
    assert len(ask({"mae_rise": 1.0}, "int8", evaluation="set.npz").labels) == 12


def test_a_bound_that_one_sample_breaks_is_warned_of(
    ask: Callable[..., Evaluation], labelled: Callable[..., str], events: list[Event]
) -> None:
    ask({"top1_drop": 0.5}, evaluation=labelled(classes=True))
    (text,) = (event.text for event in events if isinstance(event, Warned) and "One of" in event.text)
    assert text.startswith(
        "One of 30 samples is 3.3 points of top1, so top1_drop<=0.5 lets none of them change"
    )


def test_what_float32_misses_is_told_before_any_search(
    build: Callable[..., Any], labelled: Callable[..., str]
) -> None:
    options = ("--evaluation", labelled(), "--precision", "auto", "--gate", "mae_rise<=0.01")
    done = build(*options, source="broken")
    assert done.code == 1
    assert "so nothing was searched: even float32 misses it: mae_rise<=0.01 is not met: mae is" in done.err


CODE = """
import math

class Own:
    found = ()
    def update(self, outputs, label): self.found += (float(abs(outputs["scores"] - label).max()),)
    def value(self): return {}
"""


@pytest.mark.parametrize(
    ("value", "told"),
    [("math.nan if max(self.found) else 0", "it is nan."), ("[1][bool(max(self.found))]", "IndexError")],
)
def test_a_plan_that_a_metric_can_make_nothing_of_is_none_to_take(
    build: Callable[..., Any], labelled: Callable[..., str], value: str, told: str
) -> None:
    """Garbage has no F1; of the original and of float32 every metric must tell something."""
    Path("own.py").write_text(CODE.format(value))
    options = ("--evaluation", labelled(), "--precision", "auto", "--metric", "own.py:Own")
    done = build(*options, "--gate", "Own_rise<=0.5", "--json")
    assert done.code == 0, done.err
    (bundle,) = done.json["bundles"]
    assert bundle["audit"]["ops_by_precision"] == {"float32": 2}
    (line,) = (each for each in done.err.splitlines() if " int8: 3" in each)
    assert told in line


def test_an_artifact_that_answers_nan_misses_the_gate(labelled: Callable[..., str], ask: Any) -> None:
    found = ask({"mae_rise": 1.0}, "int8", evaluation=labelled(20))
    scores = evaluation.candidate(found, lambda inputs: {"scores": np.full((1, 3), np.nan)}, None)  # type: ignore[arg-type]
    assert scores.failures == (
        "The artifact answers NaN or infinity in 'scores' to set.npz sample 0 of the evaluation set.",
    )


def test_two_builds_are_the_same(build: Callable[..., Any], labelled: Callable[..., str]) -> None:
    found = []
    for out in ("a", "b"):
        build("--evaluation", labelled(), "--precision", "auto", "--gate", ONE_LAYER, "--out", out)
        (manifest,) = Path(out).rglob("manifest.json")
        found.append(json.loads(manifest.read_text())["search"])
    assert found[0] == found[1]
    assert found[0]["tried"] > 2


def test_a_gate_that_contradicts_itself_is_wrong_usage(ask: Callable[..., Evaluation], labelled: Any) -> None:
    with pytest.raises(GateError, match=r"original itself does not meet the gate: top1>=99 \(top1 is"):
        ask({"top1": 99.0, "top1_drop": 50.0}, evaluation=labelled(classes=True, wrong=30))
