"""A whole target in numpy: dense layers with tanh behind each, in float32 or with int8 weights; int8 ends if all are int8."""

import json
from time import perf_counter

import numpy as np

from edgepack.meter import PeakMemory, timed
from edgepack.precision.causes import Stored
from edgepack.precision.notes import Note
from edgepack.quantization import dequantize, quantize
from edgepack.spec import Precision, Quantization, Signature, TensorSpec
from edgepack.target import Artifact, Audit, AuditOp, File, Op


class Lowering:
    improves = frozenset()
    notes = (Note("", "hope", 20.0, 21.0, kept=True, precision=Precision.INT8),)

    def __init__(self, model, calibration, workdir):
        self.weights, both = model.form("numpy"), frozenset({Precision.INT8, Precision.FLOAT32})
        self.ops = [Op(name, "DENSE", weight.nbytes, both) for name, weight in self.weights.items()]
        self.ends = [(s.name, s.shape) for s in (*model.signature.inputs, *model.signature.outputs)]
        self.peak = max(float(abs(array).max()) for sample in calibration for array in sample.values())

    def emit(self, plan, out):
        steps, weights, io = dict.fromkeys(self.weights, 1.0), dict(self.weights), None
        rough = [name for name in weights if plan.ops.get(name, plan.default) == Precision.INT8]
        for name in rough:
            steps[name] = float(abs(weights[name]).max()) / 127
            weights[name] = np.rint(weights[name] / steps[name]).astype(np.int8)
        if len(rough) == len(weights) and plan.io == "auto":
            io = [self.peak / 127, 1 / 127]  # tanh's largest value is 1
        np.savez(out / "weights.npz", **weights)
        (out / "model.json").write_text(json.dumps({"ends": self.ends, "steps": steps, "io": io}))
        return Artifact(out, ("model.json", "weights.npz"))


class Runner:
    def __init__(self, artifact, backend=""):
        table, self.held = json.loads(artifact.main.read_text()), np.load(artifact.folder / "weights.npz")
        self.weights = {name: np.float32(step) * self.held[name] for name, step in table["steps"].items()}
        self.dtype, (taken, given) = "int8" if table["io"] else "float32", table["ends"]
        scales = [Quantization(scale, 0) for scale in table["io"]] if table["io"] else [None, None]
        ends = (
            [given]
            if "traced" not in table
            else [(name, (1, w.shape[1])) for name, w in self.weights.items()]
        )
        outputs = tuple(TensorSpec(name, tuple(shape), self.dtype, scales[1]) for name, shape in ends)
        self.signature = Signature((TensorSpec(taken[0], tuple(taken[1]), self.dtype, scales[0]),), outputs)

    def layers(self, inputs):
        (spec,) = self.signature.inputs
        x = dequantize(quantize(inputs[spec.name], spec), spec.quantization).reshape(1, -1)
        return {name: (x := np.tanh(x @ weight)) for name, weight in self.weights.items()}

    def stored(self, inputs, weighed=()):
        held = {name: each.T for name, each in self.held.items() if name in weighed}
        return {
            name: Stored(None, -1, self.weights[name].T, each if each.dtype == np.int8 else None)
            for name, each in held.items()
        }

    def __call__(self, inputs):
        made = self.layers(inputs)
        return {s.name: dequantize(quantize(made[s.name], s), s.quantization) for s in self.signature.outputs}


class Meter:
    runtime, threads = "numpy", 1

    def __init__(self, artifact, backend="", threads=1):
        self.memory, start = PeakMemory(), perf_counter()
        self.runner = Runner(artifact)
        self.load_seconds = perf_counter() - start

    def time(self, inputs, calls):
        return timed(lambda: self.runner(inputs), calls)


class Fake:
    name, kit_folder, host_backends, tools, lower, open = "fake", "kit", (), tuple, Lowering, Runner
    meter, backends = Meter, staticmethod(lambda runner, inputs: {})

    def audit(self, artifact):
        run = Runner(artifact)
        stored = [(name, run.held[name]) for name in run.weights]
        ops = tuple(AuditOp(name, "DENSE", str(each.dtype), each.nbytes) for name, each in stored)
        size = {
            dtype: sum(op.bytes for op in ops if op.precision == dtype)
            for dtype in sorted({op.precision for op in ops})
        }
        counts = {dtype: sum(op.precision == dtype for op in ops) for dtype in size}
        return Audit(ops, run.signature, counts, size, run.dtype == "int8", {"numpy": "2"})

    def traced(self, artifact, out):
        (out / "model.json").write_text(json.dumps(json.loads(artifact.main.read_text()) | {"traced": True}))
        return Artifact(out, artifact.files)

    def kit(self, manifest, golden):
        yield File("use.txt", f"feed {manifest.inputs[0].name}, read {manifest.outputs[0].name}\n")


target = Fake()
