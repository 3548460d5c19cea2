"""PyTorch's recurrent layers become loops: exact, about as large as their weights, converted in seconds."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.errors import ModelError
from edgepack.model import LoadRequest
from edgepack.precision.plan import uniform_plan
from edgepack.targets._torch import framework
from edgepack.targets.tflite.target import target as tflite


class Recurrent(nn.Module):
    """A layer, its outputs and its last states."""

    def __init__(self, layer):
        super().__init__()
        self.rnn = layer

    def forward(self, x):
        y, last = self.rnn(x)
        return (y, last) if isinstance(last, torch.Tensor) else (y, *last)


def adopt(module, sample):
    shapes = {name: (array.shape, "float32") for name, array in sample.items()}
    return framework.adopt(module.eval(), LoadRequest("model", shapes=shapes))


def draw(count=8, **shapes):
    random = np.random.default_rng(0)
    return [
        {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(count)
    ]


LAYERS = {
    "lstm": (lambda: nn.LSTM(4, 8), (6, 1, 4)),
    "two layers in both directions": (
        lambda: nn.LSTM(4, 8, 2, bidirectional=True, batch_first=True),
        (1, 6, 4),
    ),
    "lstm without biases": (lambda: nn.LSTM(4, 8, bias=False), (6, 1, 4)),
    "lstm on one step": (lambda: nn.LSTM(4, 8), (1, 1, 4)),
    "gru": (lambda: nn.GRU(4, 8, 2, batch_first=True), (1, 6, 4)),
    "gru in both directions without biases": (
        lambda: nn.GRU(4, 8, bidirectional=True, bias=False),
        (6, 1, 4),
    ),
    "gru on one step": (lambda: nn.GRU(4, 8, batch_first=True), (1, 1, 4)),
    "rnn": (lambda: nn.RNN(4, 8), (6, 1, 4)),
    "rnn with relu in both directions": (
        lambda: nn.RNN(4, 8, nonlinearity="relu", bidirectional=True),
        (6, 1, 4),
    ),
    "dropout between layers": (lambda: nn.LSTM(4, 8, 2, dropout=0.5), (6, 1, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_last_states_are_the_originals(bench, name):
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    samples = draw(x=shape)
    model = adopt(Recurrent(make()), samples[0])
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100
    assert bench.worst_db(model, runner, samples[::-1]) >= 100  # nothing is kept from call to call


def test_a_state_that_is_given(bench):
    class Continued(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(4, 8)

        def forward(self, x, state):
            return self.rnn(x, state)

    samples = draw(x=(6, 1, 4), state=(1, 1, 8))
    model = adopt(Continued(), samples[0])
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100


class Long(nn.Module):
    """Three layers over 160 steps."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(40, 128, 3, batch_first=True)
        self.fc = nn.Linear(128, 5)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


LEAST_DB = {"float32": 100, "float16": 50, "int8_dynamic": 40, "int8": 35}


def test_many_steps_take_no_more_time_or_space_than_few(bench):
    torch.manual_seed(0)
    samples = draw(x=(1, 160, 40))
    module = Long()
    weights = sum(parameter.numel() for parameter in module.parameters())
    model = adopt(module, samples[0])
    lowering = bench.lower(model, samples)
    few = draw(x=(1, 16, 40))
    # as many to convert; unrolled, ten times as many, and 70 s where this takes 2
    assert len(lowering.ops) == len(bench.lower(adopt(module, few[0]), few).ops)
    sizes = {}
    for precision, least in LEAST_DB.items():
        plan = uniform_plan(lowering, precision, "auto")
        artifact = bench.emit(lowering, precision, ops=plan.ops)
        assert bench.worst_db(model, tflite.open(artifact), samples) >= least, precision
        sizes[precision] = artifact.bytes
    assert sizes["float32"] < 1.05 * 4 * weights
    assert sizes["int8_dynamic"] < 1.25 * weights
    assert sizes["int8"] < 1.25 * weights


def test_a_layer_that_is_called_twice_keeps_one_copy_of_its_weights(bench):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(32, 64, batch_first=True)

        def forward(self, a, b):
            return self.rnn(a)[0][:, -1], self.rnn(b)[0][:, -1]

    samples = draw(a=(1, 9, 32), b=(1, 9, 32))
    module = Twice()
    weights = sum(parameter.numel() for parameter in module.parameters())
    model = adopt(module, samples[0])
    lowering = bench.lower(model, samples)
    for precision, least in LEAST_DB.items():
        plan = uniform_plan(lowering, precision, "auto")
        artifact = bench.emit(lowering, precision, ops=plan.ops)
        assert bench.worst_db(model, tflite.open(artifact), samples) >= least, precision
    assert bench.emit(lowering, "float32").bytes < 1.3 * 4 * weights


def test_the_audit_tells_loops_by_their_layer(bench):
    samples = draw(x=(6, 1, 4))
    lowering = bench.lower(adopt(Recurrent(nn.LSTM(4, 8)), samples[0]), samples)
    audit = tflite.audit(bench.emit(lowering, "int8_dynamic"))
    kinds = {op.name: op.kind for op in audit.ops}
    assert len(kinds) == len(audit.ops)
    assert kinds["rnn"] == "FULLY_CONNECTED"
    assert kinds["rnn/loop"] == "WHILE"
    assert all(name.startswith("rnn/step") for name, kind in kinds.items() if kind in ("TANH", "LOGISTIC"))


def test_projections_are_refused_by_name(bench):
    samples = draw(x=(6, 1, 4))
    with pytest.raises(ModelError, match="proj_size.*'rnn' at test_torch_recurrence.py") as caught:
        bench.lower(adopt(Recurrent(nn.LSTM(4, 8, proj_size=3)), samples[0]), samples)
    assert "Linear" in caught.value.hint
