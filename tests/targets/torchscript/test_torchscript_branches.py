"""Models that decide by their data have no fixed graph: they are packed as TorchScript, or refused with the line."""

import pytest
import torch
from torch import nn

from edgepack.errors import ModelError
from edgepack.spec import Precision
from edgepack.targets.torchscript.target import target


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            return self.one(x)
        return self.other(x)


class Unscriptable(Branching):
    def forward(self, *inputs):
        if bool(inputs[0].sum() > 0):
            return self.one(*inputs)
        return self.other(*inputs)


def test_both_branches_are_in_the_file(bench):
    made = bench(Branching(), x=(1, 8))
    assert {float(sample["x"].sum()) > 0 for sample in made.held_back} == {True, False}
    assert made.db("float32") > 100


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT8_DYNAMIC])
def test_int8_is_that_of_the_linear_layers_and_the_audit_says_so(precision, bench):
    made = bench(Branching(), x=(1, 8))
    lowering = made.lower()
    assert all(Precision.INT8 not in op.precisions for op in lowering.ops)
    artifact = made.emit(precision, lowering)
    assert target.audit(artifact).ops_by_precision["int8_dynamic"] == 2
    assert made.worst_db(artifact) > 30


def test_what_came_as_torchscript_stays_float(bench):
    made = bench(torch.jit.script(Branching()), x=(1, 8))
    artifact = made.emit(Precision.INT8)
    assert "int8_dynamic" not in target.audit(artifact).ops_by_precision
    assert made.worst_db(artifact) > 100


def test_two_files_are_equal_and_name_no_path(bench):
    made = bench(Branching(), x=(1, 8))
    one, other = (made.emit(Precision.FLOAT32, made.lower()).main.read_bytes() for _ in range(2))
    assert one == other
    assert b".py" not in one
    assert b"mangle" not in one


def test_a_branch_that_cannot_be_packed_is_refused_with_its_line(bench):
    with pytest.raises(ModelError) as caught:
        bench(Unscriptable(), x=(1, 8)).lower()
    assert "branches on its data" in caught.value.message
    assert f"{__file__}:" in caught.value.message
