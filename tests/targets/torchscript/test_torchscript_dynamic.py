"""Recurrent nets and transformers: int8 weights, their inputs scaled anew each time, whatever int8 was asked for."""

import pytest
import torch
from torch import nn

from edgepack.spec import Precision
from edgepack.targets.torchscript.target import target


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size * (2 if layer.bidirectional else 1), 5)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 4)

    def forward(self, ids):
        return self.head(self.encoder(self.embedding(ids)).mean(1))


@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(8, 16, batch_first=True),
        nn.LSTM(8, 16, 3, batch_first=True, bidirectional=True),
        nn.LSTM(8, 16, batch_first=True, bias=False),
        nn.GRU(8, 16, 2, batch_first=True, bidirectional=True),
    ],
)
@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT8_DYNAMIC])
def test_a_recurrent_layer_is_one_op_with_int8_weights(layer, precision, bench):
    made = bench(Recurrent(layer), x=(1, 20, 8))
    artifact = made.emit(precision)
    ops = {op.name: op.precision for op in target.audit(artifact).ops}
    assert (ops["layer"], ops["head"]) == ("int8_dynamic", "int8_dynamic")
    assert made.worst_db(artifact) > 30
    weights = sum(tensor.numel() for tensor in layer.parameters())
    assert target.audit(artifact).bytes_by_dtype["int8"] > 0.8 * weights


def test_a_long_sequence_makes_no_larger_file(bench):
    layer = nn.LSTM(8, 16, 3, batch_first=True)
    short, long = (
        bench(Recurrent(layer), x=(1, steps, 8)).emit(Precision.FLOAT32).bytes for steps in (4, 160)
    )
    assert abs(short - long) < 64


def test_a_transformer_asked_for_int8_keeps_its_activations_float(bench):
    made = bench(Encoder(), ids=((1, 12), "int64"))
    artifact = made.emit(Precision.INT8)
    counts = target.audit(artifact).ops_by_precision
    assert counts["int8_dynamic"] == 9
    assert "int8" not in counts
    assert made.worst_db(artifact) > 25


def test_a_net_of_convolutions_and_recurrence_is_mixed(bench):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.layer = nn.Conv1d(4, 8, 3, padding=1), nn.GRU(8, 16, batch_first=True)
            self.head = nn.Linear(16, 3)

        def forward(self, x):
            return self.head(self.layer(torch.relu(self.conv(x)).transpose(1, 2))[0][:, -1])

    made = bench(Mixed(), x=(1, 4, 30))
    artifact = made.emit(Precision.INT8)
    ops = {op.name: op.precision for op in target.audit(artifact).ops}
    assert [ops[name] for name in ("conv", "layer", "head")] == ["int8", "int8_dynamic", "int8_dynamic"]
    assert made.worst_db(artifact) > 25


def test_float_is_exact(bench):
    assert bench(Encoder(), ids=((1, 12), "int64")).db("float32") > 100
    assert bench(Recurrent(nn.LSTM(8, 16, 2, batch_first=True)), x=(1, 20, 8)).db("float32") > 100
