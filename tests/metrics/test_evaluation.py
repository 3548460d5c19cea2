"""A labelled set in a build: both are measured on it, the gate is held against it, and it chooses nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import pipeline
from edgepack.errors import GateError, ModelError, UsageError
from edgepack.events import Event, Warned
from edgepack.metrics import evaluation
from edgepack.metrics.measure import finite
from edgepack.project import load

Build = Callable[..., Any]
REPORT = Path("dist.rejected/fake_models-1.0.0-fake-int8/report.html")


@pytest.fixture
def labelled(workspace: Path) -> Callable[..., Path]:
    """Write ``set.npz``: inputs of the fake model, with its own best class for a label, the first ``wrong`` of them changed."""

    def write(count: int = 40, wrong: int = 0, scale: float = 1) -> Path:
        import fake_models

        x = np.random.default_rng(3).normal(size=(count, 4)).astype(np.float32)
        label = np.array([int(fake_models.build()({"x": row})["scores"].argmax()) for row in x])
        label[:wrong] = (label[:wrong] + 1) % 3
        np.savez("set.npz", x=x * np.float32(scale), label=label)
        return Path("set.npz")

    return write


def test_the_original_and_the_artifact_are_measured_on_it(
    build: Build, labelled: Callable[..., Path]
) -> None:
    done = build("--evaluation", labelled(wrong=10), "--gate", "top1_drop<=5, top1>=70", "--json")
    assert done.code == 0, done.err
    (bundle,) = done.json["bundles"]
    score = bundle["metrics"]["top1"]
    assert score == score | {
        "original": 75.0, "samples": 40, "against": "labels", "unit": "%", "asked": ["top1_drop<=5", "top1>=70"], "passed": True,
    }  # fmt: skip
    assert 70 <= score["artifact"] <= 80
    assert bundle["gate"]["expression"] == "top1_drop<=5, top1>=70"
    manifest = json.loads((Path(bundle["path"]) / "manifest.json").read_text())
    assert manifest["metrics"] == bundle["metrics"]
    assert "--evaluation set.npz" in manifest["command"]
    assert "top1_drop&lt;=5" in (Path(bundle["path"]) / "report.html").read_text()
    assert done.err.splitlines()[-1].split()[:4] == ["top1", "fake", "75", "%"]


def test_what_drops_too_far_does_not_ship(build: Build, labelled: Callable[..., Path]) -> None:
    done = build("--evaluation", labelled(), "--gate", "top1_drop<=50", "--metric", "top1", source="broken")
    assert done.code == 1
    assert "top1_drop<=50 is not met: top1 is" in done.err
    assert "the original's 100" in done.err
    assert not Path("dist/fake_models-1.0.0-fake-int8").exists()
    assert "top1_drop" in REPORT.read_text()


def test_a_gate_of_task_metrics_alone_decides_alone(build: Build, labelled: Callable[..., Path]) -> None:
    """The default gate for tensors would refuse this artifact, whose answers are the original's with the other sign."""
    refused = build("--evaluation", labelled(), "--metric", "top1", "--json", source="broken")
    assert (refused.code, refused.json["bundles"][0]["metrics"]["top1"]["asked"]) == (1, [])
    done = build("--evaluation", labelled(), "--gate", "top1_drop<=100", "--json", source="broken")
    assert done.code == 0, done.err
    (bundle,) = done.json["bundles"]
    assert bundle["gate"] == {"expression": "top1_drop<=100", "passed": True, "failures": [], "asked": {}}
    assert bundle["parity"]["host"]["passed"]


def test_it_changes_nothing_but_what_is_told(build: Build, labelled: Callable[..., Path]) -> None:
    """Ranges, precisions and golden vectors come from the samples alone."""
    found = []
    for options in ((), ("--evaluation", labelled(), "--metric", "top1")):
        assert build(*options, "--out", f"out{len(found)}").code == 0
        bundle = Path(f"out{len(found)}/fake_models-1.0.0-fake-int8")
        found.append({
            path.relative_to(bundle): path.read_bytes()
            for path in bundle.rglob("*")
            if path.is_file() and path.name not in ("manifest.json", "report.html")
        })  # fmt: skip
    assert found[0] == found[1]


def test_without_a_set_the_originals_answers_are_the_labels(build: Build) -> None:
    done = build("--gate", "top1_drop<=40", "--metric", "mae", "--json")
    assert done.code == 0, done.err
    metrics = done.json["bundles"][0]["metrics"]
    agreement = done.json["bundles"][0]["parity"]["host"]["outputs"]["scores"]["argmax_agreement"]
    assert (metrics["top1"]["original"], metrics["top1"]["artifact"]) == (100, pytest.approx(100 * agreement))
    assert (metrics["top1"]["against"], metrics["top1"]["samples"]) == ("original", 10)
    assert (metrics["mae"]["original"], metrics["mae"]["unit"]) == (0, "")


def test_a_set_without_labels_is_answered_by_the_original(build: Build, workspace: Path) -> None:
    np.savez("set.npz", x=np.random.default_rng(3).normal(size=(15, 4)))
    done = build("--evaluation", "set.npz", "--json")
    assert done.code == 0, done.err
    score = done.json["bundles"][0]["metrics"]["top1"]
    assert (score["original"], score["against"], score["samples"]) == (100, "original", 15)


def test_inspect_tells_what_was_measured(
    build: Build, edgepack: Callable[..., Any], labelled: Callable[..., Path]
) -> None:
    assert build("--evaluation", labelled(wrong=10)).code == 0
    told = edgepack("inspect", "dist/fake_models-1.0.0-fake-int8")
    assert "the original's 75 %, against 40 labels" in told.err + told.out


def test_several_targets_are_measured_on_one_reading(build: Build, labelled: Callable[..., Path]) -> None:
    labelled()
    Path("own.py").write_text(
        "import numpy as np\n"
        "def it():\n  print(file=open('read.txt', 'a'))\n  with np.load('set.npz') as s:\n    yield from zip(s['x'], s['label'])\n"
        "class Right:\n  n = right = 0\n"
        "  def update(self, outputs, label): self.n += 1; self.right += outputs['scores'].argmax() == label\n"
        "  def value(self): return self.right / self.n\n"
    )
    options = (
        "--target",
        "twin",
        "--evaluation",
        "own.py:it",
        "--metric",
        "own.py:Right",
        "--gate",
        "Right_drop<=0.9",
    )
    done = build(*options, "--json")
    assert done.code == 0, done.err
    assert [each["metrics"]["Right"]["original"] for each in done.json["bundles"]] == [1, 1]
    assert Path("read.txt").read_text() == "\n"


def ask(fake: Callable[[str], str], gate: dict[str, Any] | None = None, **data: Any) -> Any:
    """What the original makes of a labelled set, in this process."""
    tables = {
        "model": {"source": fake("build")},
        "data": {"representative": fake("samples"), **data},
        "gate": gate or {},
    }
    project = load(None, tables)
    evaluation.check(project.evaluation)
    Path("scratch").mkdir(exist_ok=True)
    return pipeline.record(project, Path("scratch")).evaluation


def test_a_bound_that_the_original_misses_is_told_before_anything_is_lowered(
    fake: Callable[[str], str], labelled: Callable[..., Path]
) -> None:
    labelled(wrong=20)
    with pytest.raises(GateError, match=r"original itself does not meet the gate: top1>=90 \(top1 is 50\)\."):
        ask(fake, {"top1": 90, "top1_drop": 1}, evaluation="set.npz")


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        ({"evaluation": "none/"}, UsageError, "There is no evaluation set at none/."),
        ({"metrics": "none.py:it"}, UsageError, "There is no file none.py, which --metric names."),
        ({"metrics": "own.py:it"}, UsageError, "own.py:it, the original on set.npz sample 2: it gives nan"),
        ({"metrics": "own.py:raises"}, ModelError, "on set.npz sample 0 raised KeyError"),
        ({"metrics": "top5"}, UsageError, "The metric top5, the original on set.npz sample 0: 'scores' has no more"),
        ({"evaluation": "wide.npz"}, UsageError, "wide.npz sample 0 has the shape 5 for the input 'x'"),
        ({"evaluation": "empty.npz"}, UsageError, "The evaluation set empty.npz is empty."),
        ({"evaluation": "classes.npz"}, UsageError, "has 4 classes (a, b, c, d); the outputs have 3 (scores)"),
        ({"evaluation": "bare.npz", "metrics": "own.py:it"}, UsageError, "sample 0: it has no label."),
    ],
)  # fmt: skip
def test_bad_input_is_told(
    fake: Callable[[str], str],
    labelled: Callable[..., Path],
    data: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    labelled()
    Path("own.py").write_text(
        "seen = []\n"
        "def it(o, label):\n  seen.append(label)\n  return float('nan') if len(seen) == 3 else 1\n"
        "def raises(o, label): return o['none']\n"
    )
    np.savez("wide.npz", x=np.zeros((2, 5), np.float32), label=[0, 1])
    np.savez("empty.npz", x=np.zeros((0, 4), np.float32), label=np.zeros(0, int))
    np.savez("classes.npz", x=np.zeros((4, 4), np.float32), label=["a", "b", "c", "d"])
    np.savez("bare.npz", x=np.zeros((4, 4), np.float32))
    with pytest.raises(kind, match=re.escape(message)):
        ask(fake, **{"evaluation": "set.npz", **data})


def test_nan_is_no_class() -> None:
    """The argmax of NaN would be one."""
    answers = [{"y": np.ones(2)}, {"y": np.array([0, np.nan])}]
    bad = finite(answers, ("a.png", "b.png"), "The artifact", GateError)
    with pytest.raises(GateError, match="The artifact answers NaN or infinity in 'y' to b.png of the evalu"):
        list(bad)


def test_the_command_tells_it_by_its_exit_code(build: Build) -> None:
    assert build("--gate", "top1_drop<=1, top1_drop<=2").code == 2
    done = build("--metric", "own.py:it")
    assert (done.code, "The metric own.py:it needs labels." in done.err) == (2, True)


def test_a_set_that_looks_wrong_is_warned_of(
    fake: Callable[[str], str], labelled: Callable[..., Path], events: list[Event]
) -> None:
    labelled(wrong=30, scale=255)
    ask(fake, evaluation="set.npz")
    warnings = " ".join(event.text for event in events if isinstance(event, Warned))
    assert "the evaluation set reach" in warnings
    assert "The original is hardly better than chance" in warnings
