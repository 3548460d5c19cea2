"""A whole target in numpy: dense layers with tanh between them, in float32 or with int8 weights and int8 I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgepack.spec import Precision, Quantization, Signature
from edgepack.target import Artifact, Audit, AuditOp, File, Op


@dataclass(frozen=True)
class FakeRunner:
    signature: Signature
    weights: dict

    def layers(self, inputs):
        (x,), found = inputs.values(), {}
        x = x.astype(np.float32).reshape(1, -1)
        for name, weight in self.weights.items():
            x = found[name] = np.tanh(x @ weight)
        return found

    def __call__(self, inputs):
        return {self.signature.outputs[0].name: list(self.layers(inputs).values())[-1]}


@dataclass(frozen=True)
class FakeLowering:
    signature: Signature
    weights: dict
    scale: float

    @property
    def ops(self):
        both = frozenset({Precision.INT8, Precision.FLOAT32})
        return [Op(name, "DENSE", weight.nbytes, both) for name, weight in self.weights.items()]

    def emit(self, plan, out):
        arrays, steps = self.weights, {}
        if plan.default == Precision.INT8:
            steps = {f"{name}.step": np.float32(abs(w).max() / 127) for name, w in arrays.items()}
            arrays = {n: np.rint(w / steps[f"{n}.step"]).astype(np.int8) for n, w in arrays.items()}
        np.savez(out / "model.npz", io=[repr((self.signature, self.scale))], **arrays, **steps)
        return Artifact(out, ("model.npz",))


class FakeTarget:
    name = "fake"

    def tools(self):
        return ()

    def lower(self, model, calibration, workdir):
        peak = max(float(abs(array).max()) for sample in calibration for array in sample.values())
        return FakeLowering(model.signature, model.form("numpy"), peak / 127)
