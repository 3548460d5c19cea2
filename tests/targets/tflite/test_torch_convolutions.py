"""Convolutions that the converter does not know: PyTorch's paddings by name, transposed ones of every shape."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.model import LoadRequest
from edgepack.targets._torch import framework
from edgepack.targets.tflite import torch_convert
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite

SIZES = {1: (9,), 2: (6, 7), 3: (4, 5, 3)}
LAYERS = {
    "same": nn.Conv2d(4, 4, 3, padding="same"),
    "same, more after than before": nn.Conv2d(4, 4, 4, padding="same", dilation=(1, 2), groups=2),
    "same in one dimension": nn.Conv1d(4, 4, 2, padding="same", bias=False),
    "same in three": nn.Conv3d(4, 4, 2, padding="same"),
    "valid": nn.Conv2d(4, 4, 3, stride=2, padding="valid"),
    "cut off at both ends": nn.ConvTranspose2d(4, 4, 3, 2, 1),
    "as large as its stride says": nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
    "in one dimension": nn.ConvTranspose1d(4, 4, 3, 2, 1, output_padding=1, bias=False),
    "cut off in one direction": nn.ConvTranspose2d(4, 4, (3, 4), (2, 1), (0, 1)),
    "beyond the last value": nn.ConvTranspose2d(4, 4, 2, 3, output_padding=2),
    "in groups": nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1, groups=2),
    "dilated": nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1, dilation=2),
    "in three dimensions": nn.ConvTranspose3d(4, 4, 2, 2),
    "three dimensions cut off": nn.ConvTranspose3d(4, 4, 3, 2, 1, output_padding=1),
}


def adopt(module):
    torch.manual_seed(0)
    first = next(each for each in module.modules() if hasattr(each, "weight"))
    shape = (1, 4, *SIZES[first.weight.dim() - 2])
    return framework.adopt(module.eval(), LoadRequest("model", shapes={"input": (shape, "float32")}))


def worst_db(bench, model):
    (spec,) = model.signature.inputs
    random = np.random.default_rng(0)
    samples = [{spec.name: random.normal(size=spec.shape).astype(np.float32)} for _ in range(4)]
    return bench.worst_db(model, tflite.open(bench.emit(bench.lower(model, samples), "float32")), samples)


@pytest.mark.parametrize("name", LAYERS)
def test_the_answers_are_pytorchs(bench, name):
    assert worst_db(bench, adopt(nn.Sequential(LAYERS[name], nn.ReLU()))) >= 100


def test_a_traced_transposed_convolution(bench):
    module = nn.Sequential(nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1), nn.ReLU()).eval()
    traced = torch.jit.trace(module, torch.rand(1, 4, 6, 7))
    model = framework.adopt(traced, LoadRequest("model", shapes={"input": ((1, 4, 6, 7), "float32")}))
    assert worst_db(bench, model) >= 100


@pytest.mark.parametrize("shape", [(4, 2, 1), (3, 2, 1, 1)])
def test_a_normalisation_vanishes_into_a_transposed_convolution(bench, shape):
    norm = nn.BatchNorm2d(6)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    model = adopt(nn.Sequential(nn.ConvTranspose2d(4, 6, *shape, bias=False), norm, nn.ReLU()))
    view = ModelView(torch_convert.convert(model.form("torch")))
    assert not {op.kind for op in view.ops} & {"MUL", "ADD", "SUB"}
    assert worst_db(bench, model) >= 100


def test_a_usual_upsampling_stays_one_op():
    view = ModelView(
        torch_convert.convert(adopt(nn.Sequential(nn.ConvTranspose2d(4, 4, 4, 2, 1))).form("torch"))
    )
    assert [op.kind for op in view.ops] == ["TRANSPOSE", "TRANSPOSE_CONV", "TRANSPOSE"]
