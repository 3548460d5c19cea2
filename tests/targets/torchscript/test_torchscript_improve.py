"""What is tried before int8 is given up, and stays only where it helps."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchscript_graphs import graph_of, only

from edgepack import parity
from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.target import Plan
from edgepack.targets.torchscript.equalise import equalised
from edgepack.targets.torchscript.logits import logits
from edgepack.targets.torchscript.rounding import moments, passed_over, rounded
from edgepack.targets.torchscript.target import target


class Uneven(nn.Module):
    """Quiet channels that are read by large weights, in a residual sum and through a depthwise layer."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.apart = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.scores = nn.Linear(16 * 9, 6)
        gain = torch.logspace(-1.2, 0, 16).reshape(-1, 1, 1, 1)
        with torch.no_grad():
            for layer in (self.stem, self.inner):
                layer.weight *= gain
            for layer in (self.inner, self.apart):
                layer.weight /= gain.movedim(0, 1) if layer is self.inner else gain

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.inner(x))
        x = nn.functional.max_pool2d(torch.relu(self.apart(x)), 4)
        return torch.softmax(self.scores(x.flatten(1)), 1)


def smooth(count):
    small = np.random.default_rng(3).uniform(-1, 1, size=(count, 3, 3, 3)).astype(np.float32)
    return [{"image": picture[None]} for picture in small.repeat(4, axis=2).repeat(4, axis=3)]


@pytest.fixture
def uneven(bench):
    made = bench(Uneven(), image=(1, 3, 12, 12))
    made.calibration, made.held_back = smooth(100)[:60], smooth(100)[60:]
    return made


def emitted(made, lowering, **options):
    """Improved, but where ``plain`` is asked for."""
    out = Path(tempfile.mkdtemp(dir=made.folder))
    return lowering.emit(replace(uniform_plan(lowering, Precision.INT8, "auto"), **options), out)


def test_it_is_better_on_samples_that_nothing_saw_and_no_larger(uneven):
    lowering = uneven.lower()
    plain, better = emitted(uneven, lowering, plain=True), emitted(uneven, lowering)
    assert uneven.worst_db(better) >= uneven.worst_db(plain) + 1
    assert better.bytes <= plain.bytes + 500


def test_what_was_tried_is_told(uneven):
    lowering = uneven.lower()
    emitted(uneven, lowering, plain=True)
    assert lowering.notes == []
    emitted(uneven, lowering)
    tried = {note.method: note for note in lowering.notes if not note.where}
    assert tried["equalise"].kept
    assert all(note.after_db > note.before_db for note in tried.values() if note.kept)
    assert {note.precision for note in lowering.notes} == {"int8"}


def test_the_same_bytes_every_time(uneven):
    first, second = (emitted(uneven, uneven.lower()).main.read_bytes() for _ in range(2))
    assert first == second


def test_layers_and_weights_are_read_as_the_model_has_them(uneven):
    """Though their channels are scaled in the file."""
    lowering, sample = uneven.lower(), uneven.held_back[0]
    better, float32 = emitted(uneven, lowering), lowering.emit(Plan(Precision.FLOAT32), uneven.folder)
    runner, exact = target.open(better), target.open(float32)
    assert runner._scales.made
    for layer in parity.layer_parity(exact, runner, [sample]):
        assert layer.sqnr_db > 15, layer.name
    names = set(exact.layers(sample))
    stored, originals = runner.stored(sample, names), exact.stored(sample, names)
    weighed = [name for name, each in stored.items() if each.codes is not None]
    assert set(runner._scales.made) & set(weighed)
    for name in weighed:
        noise = stored[name].weights - originals[name].weights
        assert np.square(noise).sum() < 0.01 * np.square(originals[name].weights).sum()
    for name in set(runner._scales.made) & set(exact.layers(sample)):
        if stored[name].result is not None:
            values = exact.layers(sample)[name]
            assert np.allclose(
                stored[name].result.real(stored[name].result.codes(values)),
                values,
                atol=float(stored[name].result.scale.max()),
            )


def test_a_plan_that_has_int8_and_float_ops_is_as_good(uneven):
    lowering = uneven.lower()
    ops = {op.name: Precision.FLOAT32 for op in lowering.ops if op.name.endswith("inner")}
    assert uneven.worst_db(emitted(uneven, lowering, ops=ops)) > uneven.worst_db(
        emitted(uneven, lowering, ops=ops, plain=True)
    )


def test_an_equalised_graph_computes_the_same(uneven):
    module = graph_of(uneven)
    other, scaled = equalised(module, uneven.program.signature, uneven.calibration)
    assert scaled
    assert all((each.scales >= 1).all() and (each.scales > 1).any() for each in scaled)
    for sample in uneven.held_back[:3]:
        image = torch.from_numpy(sample["image"])
        assert torch.allclose(module(image)[0], other(image)[0], atol=1e-6)


@pytest.mark.parametrize(
    "between",
    [nn.ReLU6(), nn.Sigmoid(), nn.ChannelShuffle(2)],
    ids=["a limit from above", "a curve", "channels moved"],
)
def test_channels_that_cannot_be_scaled_are_left(between, bench):
    first = nn.Conv2d(3, 8, 3)
    first.weight.data *= torch.logspace(-2, 0, 8).reshape(-1, 1, 1, 1)
    made = bench(nn.Sequential(first, between, nn.Conv2d(8, 4, 3)), image=(1, 3, 8, 8))
    module = graph_of(made)
    assert equalised(module, made.program.signature, made.calibration) == (module, ())


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), (1, 4, 10, 10)),
        (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(0, 1)), (1, 4, 11, 12)),
        (nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4), (1, 4, 10, 10)),
        (nn.Conv1d(4, 6, 5, stride=2, padding=2), (1, 4, 30)),
        (nn.Conv1d(4, 4, 3, groups=4, bias=False), (1, 4, 30)),
        (nn.Linear(12, 6), (1, 12)),
        (nn.Linear(12, 6, bias=False), (1, 5, 12)),
    ],
)
def test_a_layers_inputs_are_what_its_outputs_come_of(network, shape, bench):
    """The mean and the mean square of the outputs, from the moments of the inputs and the weights."""
    made = bench(network, x=shape)
    lowering = made.lower()
    module = lowering._module
    (inputs,) = moments(module, made.program.signature, lowering._limits, made.calibration).values()
    outputs = torch.stack([network(torch.from_numpy(sample["x"]))[0] for sample in made.calibration])
    if not isinstance(network, nn.Linear):
        outputs = outputs.movedim(1, -1)
    outputs = outputs.reshape(-1, outputs.shape[-1]).double() - (
        network.bias.double() if network.bias is not None else 0
    )
    weight = network.weight.movedim(1, -1).flatten(1).detach().double().numpy()
    means = np.einsum("oi,oi->o", weight, np.broadcast_to(inputs.mean, weight.shape))
    gram = np.broadcast_to(inputs.gram / inputs.count, (len(weight), *inputs.gram.shape[1:]))
    squares = np.einsum("oi,oij,oj->o", weight, gram, weight)
    assert np.allclose(means, outputs.mean(0).detach().numpy(), atol=1e-5)
    assert np.allclose(squares, outputs.square().mean(0).detach().numpy(), rtol=1e-4)


def test_rounded_weights_keep_their_shape_and_their_zeros(bench):
    network = nn.Conv2d(4, 6, (3, 2))
    network.weight.data[:, 1] = 0
    made = bench(network, x=(1, 4, 9, 9))
    lowering = made.lower()
    seen = moments(lowering._module, made.program.signature, lowering._limits, made.calibration)
    (layer,) = rounded(lowering._module, seen, "rounding").values()
    steps = network.weight.detach().abs().amax((1, 2, 3), keepdim=True) / 127
    assert (layer.codes[:, 1] == 0).all()
    assert float((layer.codes * steps - network.weight.detach()).abs().max() / steps.max()) < 3
    assert layer.codes.dtype == torch.int8


def test_layers_that_rounding_passes_over_are_told_with_the_reason(bench):
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.grouped, self.wide = nn.Conv2d(40, 4, 3, groups=2), nn.Linear(2560, 6)
            self.shared, self.free = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x):
            found = self.wide(x.flatten(1))
            return self.grouped(x), self.free(self.shared(self.shared(found)))

    lowering = bench(Apart(), x=(1, 40, 8, 8)).lower()
    assert passed_over(lowering._module, lowering._limits) == {
        "grouped": "grouped convolutions keep the nearest integers",
        "wide": "more than 2,304 inputs at a place would take minutes and GBs",
        "shared": "weights that layers share keep the nearest integers",
        "shared_2": "weights that layers share keep the nearest integers",
    }


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 8, 3), nn.Conv1d(3, 8, 3), nn.Linear(3, 8)])
def test_the_bias_of_a_channel_of_no_weight_is_not_lost(layer, bench):
    """So many of its steps are too much for an int32, and qnnpack makes nonsense of the bias."""
    shape = {nn.Conv2d: (1, 3, 8, 8), nn.Conv1d: (1, 3, 8), nn.Linear: (1, 3)}[type(layer)]
    with torch.no_grad():
        for channel, least in enumerate((0, 1e-9, 1e-7)):
            layer.weight[channel] *= least
            layer.bias[channel] = 1
    made = bench(layer, x=shape)
    assert made.worst_db(made.emit(Precision.INT8)) > 30


def test_probabilities_are_judged_by_their_logits(uneven):
    module = graph_of(uneven)
    assert only(module, "softmax") in module.graph.output_node().args[0]
    assert logits(module) == (only(module, "linear"),)
