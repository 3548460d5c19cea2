"""Artifacts against the original: several backends, weights that are stored better where the gate needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.errors import GateError, ModelError, UsageError
from edgepack.events import Event, StepEnded, Warned
from edgepack.judge import Judge, Judged, Reference
from edgepack.metrics.evaluation import Evaluation
from edgepack.metrics.request import request
from edgepack.metrics.stored import Answered
from edgepack.parity import parse_gate
from edgepack.precision.notes import Note
from edgepack.records import Records, RecordWriter
from edgepack.samples import SampleSet
from edgepack.spec import AUTO, Arrays, Asked, Precision, Signature
from edgepack.target import Artifact, Audit, AuditOp, Op, Plan

STEPS = {Precision.INT8: 0.2, Precision.INT16: 1e-3, Precision.FLOAT16: 1e-2, Precision.FLOAT32: 0.0}
"""How far each precision moves a weight of Sums."""


def answer(inputs: Arrays, weights: Mapping[str, float]) -> dict[str, Any]:
    """Every value times all weights, one after the other."""
    return {"y": inputs["x"] * np.float32(np.prod(list(weights.values())))}


@dataclass
class Products:
    """A lowering and its target at once: each op multiplies by 1; how it is stored adds an error, ``scale`` times as large.

    Attributes:
        scale: per op.
        broken: why a backend cannot run, by backend; or by how much its answers are wrong.
    """

    scale: Mapping[str, float] = field(default_factory=lambda: {f"op{i}": 0.001 for i in range(8)})
    host_backends: tuple[str, ...] = ("fast", "slow")
    broken: Mapping[str, str | float] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    notes: tuple[Note, ...] = ()
    improves: frozenset[Precision] = frozenset()

    @property
    def ops(self) -> list[Op]:
        every = frozenset(STEPS)
        return [
            Op(name, "MUL", 4, every, {}, {p: -20 * np.log10(max(step * scale, 1e-12)) for p, step in STEPS.items()})
            for name, scale in self.scale.items()
        ]  # fmt: skip

    def emit(self, plan: Plan, out: Path) -> Artifact:
        lines = [f"{name} {plan.ops.get(name, plan.default).value}" for name in self.scale]
        (out / "plan.txt").write_text("\n".join(lines))
        return Artifact(out, ("plan.txt",))

    def stored(self, artifact: Artifact) -> dict[str, Precision]:
        pairs = (line.split() for line in artifact.main.read_text().splitlines())
        return {name: Precision(precision) for name, precision in pairs}

    def open(self, artifact: Artifact, backend: str = "") -> Any:
        self.opened.append(backend)
        fault = self.broken.get(backend, 0.0)
        if isinstance(fault, str):
            raise ModelError(fault)
        weights = {name: 1 + fault + STEPS[p] * self.scale[name] for name, p in self.stored(artifact).items()}
        run: Any = lambda inputs: answer(inputs, weights)  # noqa: E731
        return _Runner(run)

    def backends(self, runner: Any, inputs: Arrays) -> Mapping[str, str]:
        return {"fast": "", "slow": "", "phone": "no kernel Foo"} if self.host_backends else {}

    def audit(self, artifact: Artifact) -> Audit:
        ops = tuple(AuditOp(name, "MUL", p.value, 4) for name, p in self.stored(artifact).items())
        return Audit(ops, Signature((), ()), {}, {}, False)


@dataclass
class _Runner:
    run: Callable[[Arrays], dict[str, Any]]

    def __call__(self, inputs: Arrays) -> dict[str, Any]:
        return self.run(inputs)

    def layers(self, inputs: Arrays) -> dict[str, Any]:
        return {"all": self.run(inputs)["y"]}


def records(path: Path, arrays: Iterator[Arrays]) -> Records:
    writer = RecordWriter(path)
    with writer:
        for each in arrays:
            writer.write(each)
    return writer.records


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    rng = np.random.default_rng(0)
    draw = [{"x": rng.normal(size=(1, 5)).astype(np.float32)} for _ in range(20)]
    model: Any = lambda inputs: answer(inputs, {})  # noqa: E731
    calibration = records(tmp_path / "calibration", iter(draw[:12]))
    held_back = records(tmp_path / "held_back", iter(draw[12:]))
    golden = records(tmp_path / "golden", map(model, draw[12:]))
    return Reference(model, SampleSet(calibration, held_back), golden)


@pytest.fixture
def judged(reference: Reference, tmp_path: Path) -> Callable[..., Judged]:
    def run(
        products: Any, asked: Asked = Precision.INT8, gate: str = "sqnr_db>=50", **options: Any
    ) -> Judged:
        judge = Judge(products, products, reference, parse_gate(gate), tmp_path, tuple(STEPS))
        return judge.judge(asked, "auto", **options)

    return run


def test_every_backend_of_this_machine_is_a_row_the_best_first(judged: Callable[..., Judged]) -> None:
    found = judged(Products(), Precision.FLOAT32)
    assert [(row.backend, row.samples, row.error) for row in found.rows] == [("fast", 8, ""), ("slow", 4, "")]
    assert found.failures == ()
    assert found.outputs["y"].sqnr_db > 100


def test_a_target_without_a_choice_has_one_row(judged: Callable[..., Judged]) -> None:
    products = Products(host_backends=())
    assert [row.backend for row in judged(products).rows] == [""]
    assert set(products.opened) == {""}


def test_a_backend_that_cannot_run_it_is_marked_and_the_next_one_decides(
    judged: Callable[..., Judged], events: list[Event]
) -> None:
    found = judged(Products(broken={"fast": "no kernel Bar"}))
    assert [(row.backend, row.error) for row in found.rows] == [("slow", ""), ("fast", "no kernel Bar")]
    assert found.failures == ()
    assert found.backends == {"fast": "no kernel Bar", "slow": "", "phone": "no kernel Foo"}
    told = [event.text for event in events if isinstance(event, Warned)]
    assert any("fast" in text and "no kernel Bar" in text for text in told)


def test_a_further_backend_with_wrong_answers_is_not_to_be_used(judged: Callable[..., Judged]) -> None:
    found = judged(Products(broken={"slow": 0.01}))
    assert found.failures == ()
    assert found.rows[1].failures
    assert "sqnr_db" in found.backends["slow"]


def test_a_further_backend_may_miss_on_few_samples_what_the_best_meets_on_all(
    judged: Callable[..., Judged], reference: Reference
) -> None:
    """Its few samples are the harder ones here; what counts is that it answers as the best backend does."""
    quiet = {"y": np.zeros((1, 5), np.float32) + np.float32(1e-3)}
    golden = list(reference.golden)
    few = records(Path(str(reference.golden.path) + "2"), iter([*[quiet] * 4, *golden[4:]]))
    products = Products()
    gate = parse_gate("sqnr_db>=2")
    found = Judge(
        products, products, replace(reference, golden=few), gate, reference.golden.path.parent
    ).judge(Precision.FLOAT32, "auto")
    assert gate.failures(found.rows[1].outputs)
    assert found.rows[1].failures == ()


def test_what_no_backend_can_run_is_an_error_that_says_what_the_best_one_said(
    judged: Callable[..., Judged],
) -> None:
    with pytest.raises(ModelError, match="no kernel Bar"):
        judged(Products(broken={"fast": "no kernel Bar", "slow": "no kernel Baz"}))


def test_where_the_gate_is_met_every_weight_is_stored_as_asked(judged: Callable[..., Judged]) -> None:
    products = Products()
    found = judged(products)
    assert set(products.stored(found.artifact).values()) == {Precision.INT8}


def test_only_the_weights_that_need_it_are_stored_better(
    judged: Callable[..., Judged], events: list[Event]
) -> None:
    products = Products({f"op{i}": 1.0 if i in (2, 5, 6) else 0.001 for i in range(8)})
    found = judged(products, gate="sqnr_db>=40")
    assert found.failures == ()
    stored = products.stored(found.artifact)
    assert {name for name, precision in stored.items() if precision != Precision.INT8} == {
        "op2",
        "op5",
        "op6",
    }
    assert stored["op2"] == Precision.INT16  # as many bytes as float16, and nearer
    reasons = {op.name: op.reason for op in found.audit.ops}
    assert "the gate was not met" in reasons["op2"]
    assert reasons["op0"] == ""
    (choosing,) = [e for e in events if isinstance(e, StepEnded) and e.name == "choose weights"]
    assert choosing.detail == "3 of 8 stored better"


def test_when_better_storage_does_not_help_the_gate_still_refuses(judged: Callable[..., Judged]) -> None:
    products = Products({"op0": 1.0}, broken={"fast": 0.1})
    assert judged(products).failures


class Improving(Products):
    """Its integers are exact where they are not plain."""

    def emit(self, plan: Plan, out: Path) -> Artifact:
        exact = replace(plan, default=Precision.FLOAT32)
        return super().emit(plan if plan.plain else exact, out)


@pytest.mark.parametrize(("gate", "plain"), [("sqnr_db>=10", True), ("sqnr_db>=100", False)])
def test_integers_are_improved_where_plain_ones_miss_the_gate(
    judged: Callable[..., Judged], gate: str, plain: bool
) -> None:
    found = judged(Improving({"op0": 1.0}, improves=frozenset({Precision.INT8})), gate=gate)
    assert found.failures == ()
    assert found.plan == Plan(Precision.INT8, plain=plain)


@pytest.mark.parametrize(("most", "plain"), [(1.0, True), (0.01, False)])
def test_so_they_are_where_plain_ones_miss_the_gate_of_the_task(
    reference: Reference, tmp_path: Path, most: float, plain: bool
) -> None:
    """Alone it decides: the gate of tensors asks for more than int8 has, plain."""
    asked = request("", ("mae",), {"mae_rise": most})
    task = Evaluation(asked, None, Answered(reference.golden), {"mae": 0.0})
    products = Improving({"op0": 1.0}, improves=frozenset({Precision.INT8}))
    gate = parse_gate("sqnr_db>=100")
    judge = Judge(products, products, reference, gate, tmp_path, tuple(STEPS), task, tensors_decide=False)
    found = judge.judge(Precision.INT8, "auto")
    assert found.failures == ()
    assert found.plan == Plan(Precision.INT8, plain=plain)
    assert found.scores.by_metric["mae"].artifact <= most


def test_auto_takes_the_smallest_that_meets_the_gate_and_tells_what_it_tried(
    judged: Callable[..., Judged],
) -> None:
    products = Products({f"op{i}": 1.0 if i in (2, 5) else 0.001 for i in range(8)})
    found = judged(products, AUTO, gate="sqnr_db>=40")
    assert found.failures == ()
    assert found.plan == Plan(Precision.INT8, dict.fromkeys(("op2", "op5"), Precision.INT16))
    assert "the gate was not met" in {op.name: op.reason for op in found.audit.ops}["op2"]
    assert found.search is not None
    assert "int8, 2 of 8 ops better stored" in [point.name for point in found.search.points]


def test_auto_searches_nothing_when_not_even_float32_meets_the_gate(
    judged: Callable[..., Judged], events: list[Event]
) -> None:
    with pytest.raises(GateError, match=r"even float32 misses it: y: sqnr_db is \S+, not >= 50"):
        judged(Products(broken={"fast": 0.1}), AUTO)
    assert "try" not in [event.name for event in events if isinstance(event, StepEnded)]


def test_what_passes_by_calibration_samples_alone_gives_way_to_what_is_closer(
    judged: Callable[..., Judged], reference: Reference
) -> None:
    """A model that answers calibration samples as int8 does, and held-back ones, by now recorded, as float does."""
    rough = {f"op{i}": 1 + 0.2 * 0.5 for i in range(2)}
    model: Any = lambda inputs: answer(inputs, rough)  # noqa: E731
    products = Products({"op0": 0.5, "op1": 0.5})
    gate, folder = parse_gate("sqnr_db>=60"), reference.golden.path.parent
    judge = Judge(products, products, replace(reference, model=model), gate, folder, tuple(STEPS))
    found = judge.judge(AUTO, "auto")
    assert found.failures == ()
    assert found.plan.default == Precision.FLOAT32


def test_a_taken_point_is_judged_like_any_other(judged: Callable[..., Judged]) -> None:
    products = Products({"op0": 1.0})
    assert judged(products, AUTO, gate="sqnr_db>=40", take=1).failures
    assert not judged(products, AUTO, gate="sqnr_db>=40", take=2).failures
    with pytest.raises(UsageError, match="no point 7"):
        judged(products, AUTO, gate="sqnr_db>=40", take=7)
