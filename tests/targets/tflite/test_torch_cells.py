"""Cells that forward calls step by step become the loop that their layer would be."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.events import Warned
from edgepack.model import LoadRequest
from edgepack.precision.plan import uniform_plan
from edgepack.targets._torch import framework
from edgepack.targets.tflite import torch_convert
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite

CELLS = {
    "lstm": lambda: nn.LSTMCell(16, 32),
    "lstm without biases": lambda: nn.LSTMCell(16, 32, bias=False),
    "gru": lambda: nn.GRUCell(16, 32),
    "rnn": lambda: nn.RNNCell(16, 32),
    "rnn with relu": lambda: nn.RNNCell(16, 32, nonlinearity="relu"),
}


class ByHand(nn.Module):
    """All states and the last."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state, found = None, []
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
            found.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(found, 1), state


class Stacked(nn.Module):
    """Two cells in one loop, what is fed and what comes out changed on the way."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.LSTMCell(16, 32), nn.GRUCell(32, 24)

    def forward(self, x):
        low = high = None
        found = []
        for step in reversed(range(x.shape[1])):
            low = self.low(torch.tanh(x[:, step]), low)
            high = self.high(low[0] * 2, high)
            found.append(torch.relu(high))
        return torch.cat(found, 1), low[1]


class FedBack(nn.Module):
    """A decoder: a step's input is what the step before gave."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(16, 16)

    def forward(self, x):
        state = fed = x[:, 0]
        for _ in range(6):
            state = self.cell(fed, state)
            fed = torch.tanh(state)
        return fed


class Remembered(nn.Module):
    """It reads the memories on the way."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(16, 16)

    def forward(self, x):
        state, total = None, 0
        for step in range(6):
            state = self.cell(x[:, step], state)
            total = total + state[1]
        return total


def adopt(module, steps=8):
    torch.manual_seed(0)
    return framework.adopt(module.eval(), LoadRequest("model", shapes={"x": ((1, steps, 16), "float32")}))


def draw(steps=8, count=8):
    random = np.random.default_rng(0)
    return [{"x": random.normal(size=(1, steps, 16)).astype(np.float32)} for _ in range(count)]


def kinds(model):
    return [op.kind for op in ModelView(torch_convert.convert(model.form("torch"))).ops]


@pytest.mark.parametrize("name", CELLS)
def test_a_loop_by_hand_is_one_loop_and_as_exact(bench, name, events):
    model, samples = adopt(ByHand(CELLS[name]())), draw()
    assert "WHILE" in (found := kinds(model))
    assert len(found) < 40
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100
    assert not [event for event in events if isinstance(event, Warned)]


def test_two_cells_in_one_loop(bench):
    model, samples = adopt(Stacked()), draw()
    assert kinds(model).count("WHILE") == 2
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100


def test_many_steps_are_as_small_as_their_weights(bench):
    module = ByHand(nn.LSTMCell(16, 256))
    weights = sum(each.numel() for each in module.parameters())
    model, samples = adopt(module, 60), draw(60)
    lowering = bench.lower(model, samples)
    for precision, (least, width) in {"float32": (100, 4), "int8_dynamic": (35, 1), "int8": (30, 1)}.items():
        plan = uniform_plan(lowering, precision, "auto")
        artifact = bench.emit(lowering, precision, ops=plan.ops)
        assert bench.worst_db(model, tflite.open(artifact), samples) >= least, precision
        assert artifact.bytes < 1.25 * width * weights, precision


@pytest.mark.parametrize("module", [FedBack(), Remembered()])
def test_what_is_no_layer_stays_unrolled_with_a_warning(bench, module, events):
    model, samples = adopt(module), draw()
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100
    (told,) = [event.text for event in events if isinstance(event, Warned)]
    assert "'cell' is unrolled into 6 steps" in told
    assert "nn.LSTM" in told
