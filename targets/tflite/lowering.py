"""A model as a float .tflite, from which every precision is emitted."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from edgepack.events import step
from edgepack.precision.notes import Note
from edgepack.precision.plan import STATIC, uniform_plan
from edgepack.spec import Precision, Signature
from edgepack.target import Artifact, Op, Plan, Samples

from . import heads, logarithms, normalisations
from .apart import apart
from .calibrate import Ranges, calibrate
from .flatbuffer import ModelView
from .improve import State, Workshop, improve
from .quantize import INTEGERS, limits, quantize, weight_bytes
from .scaled import with_scales
from .weights import with_rounded

FILE = "model.tflite"


class TFLiteLowering:
    """See edgepack.target.Lowering.

    Args:
        float32: the converted file.
        signature: the model's, with the value ranges that are known beforehand.

    Attributes:
        notes: what was tried for integers, once these were asked for, and what it gave.
    """

    def __init__(self, float32: bytes, signature: Signature, calibration: Samples) -> None:
        self._float32 = apart(float32)
        self._signature = signature
        self._calibration = calibration
        self._view = ModelView(self._float32)
        self.improves = frozenset(STATIC)
        self._improved: dict[Precision, State] = {}
        self.notes: list[Note] = []

    @cached_property
    def _ranges(self) -> Ranges:
        with step("calibrate") as calibrating:
            return calibrate(self._float32, self._signature, self._calibration, calibrating)

    def _best(self, precision: Precision) -> State:
        """What integers of this precision are made from; found when it is first asked for."""
        if precision not in self._improved:
            plan = uniform_plan(self, precision, "auto")
            with step(f"improve {precision.value}") as improving:
                workshop = Workshop(
                    lambda state: self._emit(state, plan),
                    lambda float32: calibrate(float32, self._signature, self._calibration, improving),
                    precision,
                    self._calibration,
                )
                found, notes = improve(State(self._float32, self._ranges), workshop, improving)
            self._improved[precision] = found
            self.notes += [replace(note, precision=precision.value) for note in notes]
        return self._improved[precision]

    @cached_property
    def _exact(self) -> frozenset[str]:
        has_logarithms = any(op.kind == "LOG" for op in self._view.ops)  # calibration takes its time
        return logarithms.exact(self._view, self._ranges) if has_logarithms else frozenset()

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """The ops; asking calibrates, because what an op can take depends on its values."""
        ops = []
        flat, mixed = normalisations.flat(self._view, self._ranges), heads.mixed(self._view, self._ranges)
        for view in self._view.ops:
            cannot = {**limits(view, self._ranges)}
            cannot |= dict.fromkeys(INTEGERS, logarithms.REASON) if view.name in self._exact else {}
            cannot |= {Precision.INT8: normalisations.REASON} if view.name in flat else {}
            cannot |= {Precision.INT8: heads.REASON} if view.name in mixed else {}
            ops.append(
                Op(
                    view.name,
                    view.kind,
                    weight_bytes(self._view, view),
                    frozenset(Precision) - {Precision.INT16} - set(cannot),
                    cannot,
                )
            )
        return tuple(ops)

    def emit(self, plan: Plan, out: Path) -> Artifact:
        """Write ``model.tflite`` for a plan into ``out``."""
        static = [precision for precision in STATIC if precision in (plan.default, *plan.ops.values())]
        if static:
            state = State(self._float32, self._ranges) if plan.plain else self._best(static[0])
            data = self._emit(state, plan)
        elif plan.default == Precision.FLOAT32 and not plan.ops:
            data = self._float32
        else:
            exact = self._exact if Precision.INT8_DYNAMIC in (plan.default, *plan.ops.values()) else ()
            data = quantize(self._float32, self._view, plan, None, exact)
        (out / FILE).write_bytes(data)
        return Artifact(out, (FILE,))

    def _emit(self, state: State, plan: Plan) -> bytes:
        data = quantize(state.float32, state.view, plan, state.ranges, self._exact)
        return with_scales(with_rounded(data, state.layers), state.scales)
