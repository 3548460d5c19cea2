"""Normalisations in int8: in float where a variance is less than a step, and nowhere else."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.model import LoadRequest
from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.targets._torch import framework
from edgepack.targets.tflite.target import target as tflite

NORMS = {"instance": lambda: nn.InstanceNorm2d(8, affine=True), "group": lambda: nn.GroupNorm(8, 8)}
STATISTICS = {"MEAN", "SUB", "ADD", "RSQRT", "MUL"}


def lowered(bench, name, with_flat):
    """A network of two normalisations; ``with_flat`` feeds it with images of one color too."""
    torch.manual_seed(0)
    norm = NORMS[name]
    layers = [
        nn.Conv2d(3, 8, 3),
        norm(),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        norm(),
        nn.ReLU(),
        nn.Conv2d(8, 3, 3),
    ]
    shapes = {"input": ((1, 3, 24, 24), "float32")}
    model = framework.adopt(nn.Sequential(*layers).eval(), LoadRequest("model", shapes=shapes))
    random = np.random.default_rng(0)
    samples = [random.uniform(size=(1, 3, 24, 24)).astype(np.float32) for _ in range(12)]
    if with_flat:
        samples[::3] = [np.full_like(sample, sample.flat[0]) for sample in samples[::3]]
    samples = [{"input": sample} for sample in samples]
    return model, bench.lower(model, samples), samples


@pytest.mark.parametrize("name", NORMS)
def test_flat_images_do_not_spoil_the_others(bench, name):
    model, lowering, samples = lowered(bench, name, with_flat=True)
    plan = uniform_plan(lowering, Precision.INT8, "auto")
    kinds = {op.name: op.kind for op in lowering.ops}
    assert {kinds[op] for op in plan.ops} >= STATISTICS
    assert "CONV_2D" not in {kinds[op] for op in plan.ops}
    spoiled = bench.worst_db(model, tflite.open(bench.emit(lowering)), samples)
    mended = bench.worst_db(model, tflite.open(bench.emit(lowering, ops=plan.ops)), samples)
    assert mended >= max(25, spoiled + 3)
    assert all("variance" in op.limits[Precision.INT8] for op in lowering.ops if op.kind == "RSQRT")


@pytest.mark.parametrize("name", NORMS)
def test_variances_that_int8_can_tell_stay_int8(bench, name):
    model, lowering, samples = lowered(bench, name, with_flat=False)
    assert not uniform_plan(lowering, Precision.INT8, "auto").ops
    artifact = bench.emit(lowering)
    assert tflite.audit(artifact).full_int8
    assert bench.worst_db(model, tflite.open(artifact), samples) >= 25
