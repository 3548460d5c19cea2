"""What a module returns, in whatever structure, becomes named tensors of types that a mobile runtime has."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.errors import ModelError


@dataclass
class Detection:
    boxes: torch.Tensor
    parts: dict


class Pose(NamedTuple):
    angles: torch.Tensor
    score: torch.Tensor


class ModelOutput(dict):
    """As the transformers library has it: a dict with attributes."""

    def __getattr__(self, name):
        return self[name]


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


STRUCTURES = {
    "tensor": (lambda x: x, ["output"]),
    "tuple of one": (lambda x: (x,), ["output"]),
    "tuple": (lambda x: (x, x + 1), ["output_0", "output_1"]),
    "list in a tuple": (lambda x: (x, [x + 1, x + 2]), ["output_0", "output_1.0", "output_1.1"]),
    "dict": (lambda x: {"boxes": x, "scores": x + 1}, ["boxes", "scores"]),
    "dict of one": (lambda x: {"boxes": x}, ["boxes"]),
    "dataclass": (
        lambda x: Detection(x, {"hand": x + 1, "all": [x, x + 2]}),
        ["boxes", "parts.hand", "parts.all.0", "parts.all.1"],
    ),
    "named tuple": (lambda x: Pose(x, x + 1), ["angles", "score"]),
    "model output": (
        lambda x: ModelOutput(logits=x, states=(x + 1, x + 2)),
        ["logits", "states.0", "states.1"],
    ),
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_outputs_are_named_by_key_or_field(bench, structure):
    make, names = STRUCTURES[structure]
    model = bench.adopt(Returns(make), x=(3,))
    assert [spec.name for spec in model.signature.outputs] == names
    answers = model({"x": np.zeros((1, 3), np.float32)})
    assert list(answers) == names
    assert all(values.shape == (1, 3) for values in answers.values())
    assert len({len(values) for values in bench.ways(model)}) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: {"logits": x, "loss": None}, "The output 'loss' is None, not a tensor"),
        (lambda x: Detection(x, {"name": "cat"}), "The output 'parts.name' is a str, not a tensor"),
        (lambda x: (x, 3), "The output 'output_1' is a int, not a tensor"),
        (lambda x: None, "The output 'output' is None"),
        (lambda x: {}, "The model returns nothing"),
        (lambda x: {"f": torch.fft.rfft(x)}, "The output 'f' is complex64"),
        (lambda x: x.to_sparse(), "The output 'output' is a sparse tensor"),
    ],
)
def test_what_is_no_plain_tensor_is_refused_with_its_place(bench, make, message):
    with pytest.raises(ModelError, match=message) as caught:
        bench.adopt(Returns(make), x=(3,))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("dtype", "here"),
    [
        (torch.int64, "int32"),
        (torch.int16, "int32"),
        (torch.float64, "float32"),
        (torch.float16, "float32"),
        (torch.bfloat16, "float32"),
        (torch.bool, "bool"),
        (torch.uint8, "uint8"),
    ],
)
def test_output_types_are_narrowed(bench, dtype, here):
    model = bench.adopt(Returns(lambda x: x.to(dtype)), x=(3,))
    assert model.signature.outputs[0].dtype == here
    assert model({"x": np.ones((1, 3), np.float32)})["output"].dtype == here


@pytest.mark.parametrize("make", [lambda x: (x, x), lambda x: (x[:, :3], x[:, :3])])
def test_the_same_tensor_twice_is_two_outputs(bench, make):
    model = bench.adopt(Returns(make), x=(3,))
    first, second = model.form("torch").module(*model.form("torch").example)
    assert first is not second


@pytest.mark.parametrize(
    "make", [lambda x: x[x > 0.5], lambda x: torch.nonzero(x > 0.5), lambda x: torch.unique((x * 99).round())]
)
def test_a_size_that_depends_on_the_data_is_refused(bench, make):
    with pytest.raises(ModelError, match="has a size that depends on the data.*test_torch_outputs.py line"):
        bench.adopt(Returns(make), x=(40,))


def test_a_size_that_depends_on_data_never_seen_before_is_refused_when_it_comes(bench):
    model = bench.adopt(Returns(lambda x: x[x > -5]), x=(4,))
    with pytest.raises(ModelError, match="depends on the data: 3 instead of 4"):
        model({"x": np.array([[1, 2, 3, -9]], np.float32)})


def test_selecting_by_value_inside_is_no_matter_where_sizes_stay(bench):
    model = bench.adopt(Returns(lambda x: x[x > 0.5].sum()[None]), x=(4,))
    assert model({"x": np.array([[0, 1, 2, 0]], np.float32)})["output"].tolist() == [3]
