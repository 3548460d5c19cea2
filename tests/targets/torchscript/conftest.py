"""Programs of small networks, and the steps from one to a measured artifact."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgepack import parity
from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision, Signature, TensorSpec
from edgepack.target import Plan
from edgepack.targets._torch.model import Program
from edgepack.targets.torchscript.lowering import lower
from edgepack.targets.torchscript.target import target


class Flat(torch.nn.Module):
    """A network as a program has it: it returns a tuple."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, *inputs):
        found = self.network(*inputs)
        return tuple(found) if isinstance(found, tuple | list) else (found,)


def dtype_name(tensor):
    return str(tensor.dtype).removeprefix("torch.")


class Bench:
    """One program: its samples, its lowering, and what comes of a plan."""

    def __init__(self, network, inputs, folder, integers=50):
        torch.manual_seed(7)
        self.folder, self._integers = folder, integers
        self.module = Flat(network.eval()).eval().requires_grad_(False)
        rng = np.random.default_rng(3)
        example = tuple(torch.from_numpy(self._draw(rng, spec)) for spec in inputs)
        outputs = self.module(*(tensor.clone() for tensor in example))
        specs = tuple(
            TensorSpec(f"output_{i}", tuple(value.shape), dtype_name(value))
            for i, value in enumerate(outputs)
        )
        self.program = Program(self.module, Signature(tuple(inputs), specs), example)
        self.calibration, self.held_back = (self.samples(rng, count) for count in (32, 16))

    def _draw(self, rng, spec):
        if spec.dtype.startswith("int"):
            return rng.integers(0, self._integers, spec.shape).astype(spec.dtype)
        return rng.normal(size=spec.shape).astype(spec.dtype)

    def samples(self, rng, count):
        return [
            {spec.name: self._draw(rng, spec) for spec in self.program.signature.inputs} for _ in range(count)
        ]

    def lower(self):
        return lower(self.program, self.calibration)

    def emit(self, precision, lowering=None, **plan):
        """An artifact: of a plan for all ops alike, as a build tries it first, or of the plan given."""
        lowering = lowering or self.lower()
        out = Path(tempfile.mkdtemp(dir=self.folder))
        uniform = replace(uniform_plan(lowering, precision, "auto"), plain=True)
        made = Plan(precision, plain=True, **plan) if plan else uniform
        return lowering.emit(made, out)

    def original(self, sample):
        values = self.module(*(torch.from_numpy(sample[spec.name]) for spec in self.program.signature.inputs))
        return {
            spec.name: value.numpy()
            for spec, value in zip(self.program.signature.outputs, values, strict=True)
        }

    def worst_db(self, artifact):
        runner = target.open(artifact)
        golden = [self.original(sample) for sample in self.held_back]
        return min(each.sqnr_db for each in parity.measure(runner, self.held_back, golden).values())

    def db(self, precision):
        return self.worst_db(self.emit(Precision(precision)))


@pytest.fixture
def bench(tmp_path):
    """``bench(network, image=(1, 3, 8, 8))``: float inputs by shape, or a TensorSpec's arguments."""

    def make(network, **inputs):
        specs = [
            TensorSpec(name, given, "float32")
            if not isinstance(given[-1], str)
            else TensorSpec(name, given[0], given[1])
            for name, given in inputs.items()
        ]
        return Bench(network, specs, tmp_path)

    return make


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)
