"""A model as a float .tflite, from which every precision is emitted."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from edgepack.events import step
from edgepack.spec import Precision, Signature
from edgepack.target import Artifact, Op, Plan, Samples

from . import logarithms, normalisations
from .calibrate import Ranges, calibrate
from .flatbuffer import ModelView
from .quantize import INTEGERS, limits, quantize, weight_bytes

FILE = "model.tflite"


class TFLiteLowering:
    """See edgepack.target.Lowering.

    Args:
        float32: the converted file.
        signature: the model's, with the value ranges that are known beforehand.
    """

    def __init__(self, float32: bytes, signature: Signature, calibration: Samples) -> None:
        self._float32 = float32
        self._signature = signature
        self._calibration = calibration
        self._view = ModelView(float32)

    @cached_property
    def _ranges(self) -> Ranges:
        with step("calibrate") as calibrating:
            return calibrate(self._float32, self._signature, self._calibration, calibrating)

    @cached_property
    def _exact(self) -> frozenset[str]:
        has_logarithms = any(op.kind == "LOG" for op in self._view.ops)  # calibration takes its time
        return logarithms.exact(self._view, self._ranges) if has_logarithms else frozenset()

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """The ops; asking calibrates, because what an op can take depends on its values."""
        ops, flat = [], normalisations.flat(self._view, self._ranges)
        for view in self._view.ops:
            cannot = {**limits(view, self._ranges)}
            cannot |= dict.fromkeys(INTEGERS, logarithms.REASON) if view.name in self._exact else {}
            cannot |= {Precision.INT8: normalisations.REASON} if view.name in flat else {}
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
        if plan.default == Precision.FLOAT32 and not plan.ops:
            data = self._float32
        else:
            static = {Precision.INT8, Precision.INT16X8} & {plan.default, *plan.ops.values()}
            exact = self._exact if {*INTEGERS} & {plan.default, *plan.ops.values()} else frozenset()
            data = quantize(self._float32, self._view, plan, self._ranges if static else None, exact)
        (out / FILE).write_bytes(data)
        return Artifact(out, (FILE,))
