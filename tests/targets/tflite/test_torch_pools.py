"""Pools with padding, as every ResNet begins with one: right in float, and in int8 without a number that int8 lacks."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.model import LoadRequest
from edgepack.targets._torch import framework
from edgepack.targets.tflite import torch_convert
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite

POOLS = {
    "of a resnet": (nn.ReLU(), nn.MaxPool2d(3, 2, 1), 32),
    "that TFLite pads itself": (nn.ReLU(), nn.MaxPool2d(3, 2, 1), 33),
    "of what may be negative": (nn.LeakyReLU(0.3), nn.MaxPool2d(3, 2, 1), 32),
    "after a pool": (nn.Sequential(nn.ReLU6(), nn.MaxPool2d(2, 2, 1)), nn.MaxPool2d(3, 2, 1), 31),
    "of whole windows": (nn.SiLU(), nn.MaxPool2d(2, 2, 1, ceil_mode=True), 31),
    "of a network for all sizes": (nn.ReLU(), nn.AdaptiveMaxPool2d((2, 4)), 32),
}


def adopt(name):
    torch.manual_seed(0)
    activation, pool, size = POOLS[name]
    made = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), activation, pool, nn.Conv2d(8, 4, 1))
    shapes = {"input": ((1, 3, size, size), "float32")}
    return framework.adopt(made.eval(), LoadRequest("model", shapes=shapes))


def samples(model, count=24):
    (spec,) = model.signature.inputs
    random = np.random.default_rng(0)
    return [{spec.name: random.normal(size=spec.shape).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize("name", POOLS)
def test_the_answers_are_pytorchs(bench, name):
    model = adopt(name)
    given = samples(model)
    lowering = bench.lower(model, given)
    for precision, least in {"float32": 100, "int8_dynamic": 30, "int8": 25}.items():
        assert bench.worst_db(model, tflite.open(bench.emit(lowering, precision)), given) >= least


@pytest.mark.parametrize("name", POOLS)
def test_nothing_stays_in_float(bench, name):
    model = adopt(name)
    audit = tflite.audit(bench.emit(bench.lower(model, samples(model)), "int8"))
    assert audit.full_int8


@pytest.mark.parametrize("name", ["of a resnet", "after a pool"])
def test_what_is_not_negative_is_padded_with_zeros(name):
    kinds = {op.kind for op in ModelView(torch_convert.convert(adopt(name).form("torch"))).ops}
    assert "PAD" in kinds
    assert "PADV2" not in kinds
