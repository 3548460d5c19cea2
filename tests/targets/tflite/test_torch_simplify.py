"""What is simplified before conversion: fewer ops, the same answers, and the model's own weights untouched."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.model import LoadRequest
from edgepack.targets._torch import framework
from edgepack.targets.tflite import torch_convert
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite


class Shared(nn.Module):
    """One convolution in front of two normalisations: folding either would change the other."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.one, self.two = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.one(self.conv(x)) - self.two(self.conv(x + 1))


class Means(nn.Module):
    """The usual end of a network, by a mean without kept dimensions."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return torch.relu(self.conv(x)).mean((2, 3))


MODELS = {
    "conv1d": (nn.Sequential(nn.Conv1d(3, 4, 3, bias=False), nn.BatchNorm1d(4), nn.ReLU()), (1, 3, 20)),
    "conv2d": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6()), (1, 3, 8, 8)),
    "linear": (nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)), (1, 6)),
    "without scale and shift": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)),
        (1, 3, 8, 8),
    ),
    "shared": (Shared(), (1, 3, 8, 8)),
    "means": (Means(), (1, 3, 8, 8)),
}


def adopt(module, shape):
    torch.manual_seed(0)
    for each in module.modules():
        if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d):
            each.running_mean.normal_()
            each.running_var.uniform_(0.5, 2)
            if each.affine:
                nn.init.normal_(each.weight)
                nn.init.normal_(each.bias)
    name = "x" if isinstance(module, Shared | Means) else "input"
    return framework.adopt(module.eval(), LoadRequest("model", shapes={name: (shape, "float32")}))


@pytest.mark.parametrize("name", MODELS)
def test_the_answers_stay_and_so_do_the_models_weights(bench, name):
    model = adopt(*MODELS[name])
    before = {key: value.clone() for key, value in model.form("torch").module.state_dict().items()}
    (spec,) = model.signature.inputs
    random = np.random.default_rng(0)
    samples = [{spec.name: random.normal(size=spec.shape).astype(np.float32)} for _ in range(4)]
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100
    after = model.form("torch").module.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "linear"])
def test_a_normalisation_vanishes_into_the_layer_before_it(name):
    view = ModelView(torch_convert.convert(adopt(*MODELS[name]).form("torch")))
    kinds = {op.kind for op in view.ops}
    assert not kinds & {"MUL", "ADD", "SUB"}
    assert {op.name for op in view.ops if op.kind in ("CONV_2D", "FULLY_CONNECTED")} <= {"0", "output"}


def test_a_mean_over_an_image_needs_no_transpose():
    program = adopt(*MODELS["means"]).form("torch")
    view = ModelView(torch_convert.convert(program, frozenset({"x"})))
    assert not [op.name for op in view.ops if op.kind == "TRANSPOSE"]
