"""A lowering whose ops err by known amounts, each in every precision, so that the best plan is known too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.errors import ModelError
from edgepack.parity import parse_gate
from edgepack.precision.notes import Note
from edgepack.precision.plan import level
from edgepack.precision.search import Search
from edgepack.precision.trials import Trials
from edgepack.spec import Array, Arrays, Precision
from edgepack.target import Artifact, Op, Plan

INT8, DYNAMIC, INT16X8 = Precision.INT8, Precision.INT8_DYNAMIC, Precision.INT16X8
FLOAT16, FLOAT32 = Precision.FLOAT16, Precision.FLOAT32

QUIET = {INT8: 0.003, DYNAMIC: 0.002, INT16X8: 0.001, FLOAT16: 1e-4, FLOAT32: 0.0}
"""By precision, the amplitude of an op's noise beside a signal of 1."""


@dataclass
class Noisy:
    """Answers its input plus the noise of every op; noises of two ops have nothing to do with each other.

    Attributes:
        loud: ops with a noise of their own, by precision.
        drown: ops that lose the last place, which is small, in a precision.
        refuses: a precision that no artifact may have.
    """

    ops: Sequence[Op]
    loud: Mapping[str, Mapping[Precision, float]] = field(default_factory=dict)
    drown: Mapping[str, frozenset[Precision]] = field(default_factory=dict)
    refuses: Precision | None = None
    emitted: list[Plan] = field(default_factory=list)
    improves: frozenset[Precision] = frozenset()
    notes: Sequence[Note] = ()

    def emit(self, plan: Plan, out: Path) -> Artifact:
        self.emitted.append(plan)
        levels = {op.name: plan.ops.get(op.name) or level(op, plan.default) for op in self.ops}
        if self.refuses in levels.values():
            raise ModelError(f"no kernel for {self.refuses}")
        (out / "weights").write_bytes(
            b"0" * sum(op.weight_bytes * levels[op.name].bits // 32 for op in self.ops)
        )
        (out / "levels.json").write_text(json.dumps(levels))
        return Artifact(out, ("weights",))

    def open(self, artifact: Artifact) -> Any:
        levels = {
            name: Precision(each)
            for name, each in json.loads((artifact.folder / "levels.json").read_text()).items()
        }

        def run(inputs: Arrays) -> dict[str, Array]:
            answer = inputs["x"].astype(np.float64)
            for number, (name, precision) in enumerate(levels.items()):
                amplitude = {**QUIET, **self.loud.get(name, {})}[precision]
                noise = np.random.default_rng(number).normal(size=answer.shape) * amplitude
                noise[..., -1] *= 1e-3  # the last place is small, and so is what it loses
                if precision in self.drown.get(name, ()):
                    noise[..., -1] += 1e-3
                answer = answer + noise
            return {"y": answer.astype(np.float32)}

        return run


def op(name: str, kind: str = "CONV", size: int = 4000, without: Iterable[Precision] = ()) -> Op:
    precisions = frozenset(Precision) - {Precision.INT16} - set(without)
    return Op(name, kind, size, precisions if size else precisions - {DYNAMIC})


def samples() -> list[Arrays]:
    """All of power 1 but for the last place, of a thousandth."""
    rng = np.random.default_rng(100)
    scale = np.array([1.0] * 7 + [1e-3])
    return [{"x": (rng.choice([-1.0, 1.0], size=(1, 8)) * scale).astype(np.float32)} for _ in range(16)]


def search(
    noisy: Noisy, folder: Path, gate: str, offered: Iterable[Precision] = (), **options: Any
) -> Search:
    """A search of the lowering, every precision offered unless told otherwise."""

    def emit(plan: Plan) -> Artifact:
        out = folder / f"{len(noisy.emitted)}"
        out.mkdir()
        return noisy.emit(plan, out)

    given = samples()
    trials = Trials(emit, noisy.open, given, [{"y": each["x"]} for each in given], parse_gate(gate))
    return Search(noisy, tuple(offered) or tuple(QUIET), "auto", trials, **options)
