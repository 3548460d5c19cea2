"""Tables that are looked up: codes of one scale are as many integers in the file; other tables keep a step a row."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.model import LoadRequest
from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.targets._torch import framework
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite


class Words(nn.Module):
    def __init__(self, table):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.from_numpy(table))
        self.head = nn.Linear(table.shape[1], 3)

    def forward(self, ids):
        return self.head(self.table(ids).mean(1))


@pytest.fixture
def emitted(bench):
    """(the table as it is stored, the steps of its rows) of an int8 artifact that answers as the model does."""

    def run(table):
        torch.manual_seed(0)
        module = Words(table).eval()
        model = framework.adopt(module, LoadRequest("model", shapes={"ids": ((1, 6), "int64")}))
        rng = np.random.default_rng(1)
        samples = [{"ids": rng.integers(0, len(table), (1, 6)).astype(np.int32)} for _ in range(8)]
        lowering = bench.lower(model, samples)
        artifact = bench.emit(lowering, ops=uniform_plan(lowering, Precision.INT8, "auto").ops)
        assert bench.worst_db(model, tflite.open(artifact), samples) >= 25
        view = ModelView(artifact.main.read_bytes())
        (index,) = [op.inputs[1] for op in view.ops if op.kind == "EMBEDDING_LOOKUP"]
        return view.values(0, index), np.asarray(view.tensor(0, index).quantization.scale)

    return run


def test_codes_are_kept_and_so_are_zeros(emitted):
    rng = np.random.default_rng(0)
    codes = np.array([0, -127, -40, -9, 3, 22, 71, 100])
    chosen = rng.choice(codes, (60, 32))
    chosen[:5] //= 4  # a row of small values: its own step would be another
    stored, steps = emitted((chosen * np.float32(0.013)).astype(np.float32))
    np.testing.assert_array_equal(stored, chosen)
    assert np.unique(steps) == pytest.approx([0.013])


def test_what_has_no_codes_has_a_step_a_row(emitted):
    table = np.random.default_rng(0).normal(size=(60, 32)).astype(np.float32)
    stored, steps = emitted(table)
    assert len(np.unique(steps)) == 60
    assert np.abs(stored).max(axis=1).min() == 127
