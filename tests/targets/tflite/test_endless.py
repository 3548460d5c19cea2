"""Attention masks in int8: whatever number stands for minus infinity, what is not masked keeps its precision."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgepack.model import LoadRequest
from edgepack.targets._torch import framework
from edgepack.targets.tflite.target import target as tflite


def filled(scores, mask):
    return scores.masked_fill(mask == 0, float("-inf"))


def summed(scores, mask):
    return scores + torch.zeros_like(scores).masked_fill(mask == 0, torch.finfo(scores.dtype).min)


def multiplied(scores, mask):
    return scores + (1 - mask.float()) * -10000.0


def causal(scores, mask):
    steps = scores.shape[-1]
    return scores + torch.full((steps, steps), float("-inf")).triu(1)


class Attention(nn.Module):
    def __init__(self, masked):
        super().__init__()
        self.masked = masked
        self.project, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x, mask):
        query, key, value = self.project(x).chunk(3, -1)
        scores = self.masked(query @ key.transpose(1, 2) / 4, mask[:, None])
        return self.out(functional.softmax(scores, -1) @ value)


@pytest.mark.parametrize("masked", [filled, summed, multiplied, causal])
def test_what_is_not_masked_keeps_its_precision(bench, masked):
    torch.manual_seed(0)
    shapes = {"x": ((1, 12, 16), "float32"), "mask": ((1, 12), "int64")}
    model = framework.adopt(Attention(masked).eval(), LoadRequest("model", shapes=shapes))
    random = np.random.default_rng(0)
    samples = [
        {
            "x": random.normal(size=(1, 12, 16)).astype(np.float32),
            "mask": (np.arange(12) < random.integers(4, 13))[None].astype(np.int32),
        }
        for _ in range(64)
    ]
    lowering = bench.lower(model, samples[:56])
    for precision, least in {"float32": 100, "int8": 25}.items():
        runner = tflite.open(bench.emit(lowering, precision))
        assert bench.worst_db(model, runner, samples[56:]) >= least
