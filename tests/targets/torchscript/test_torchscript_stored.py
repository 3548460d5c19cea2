"""How results and weights lie in a .ptl, and what each op reads."""

import torch
from torch import nn

from edgepack.precision.causes import sqnr_db
from edgepack.spec import Precision
from edgepack.targets.torchscript.target import target


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.up, self.out = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ConvTranspose2d(8, 6, 2, 2),
            nn.Linear(6, 4),
        )

    def forward(self, x):
        x = torch.relu(self.up(torch.clamp(self.conv(x), 0, 6)))
        return self.out(x.permute(0, 2, 3, 1)), x


def test_grids_and_weights_are_those_that_the_kernels_take(bench):
    net = bench(Branches(), x=(1, 3, 8, 8))
    sample = net.held_back[0]
    exact, runner = target.open(net.emit(Precision.FLOAT32)), target.open(net.emit(Precision.INT8))
    stored, values = runner.stored(sample, {"network.conv", *exact.layers(sample)}), exact.layers(sample)
    originals = exact.stored(sample, set(values))
    grids = {name: each.result for name, each in stored.items() if each.result is not None}
    weighed = {name for name, each in stored.items() if each.codes is not None}
    assert grids.keys() & values.keys()
    assert weighed
    for name in grids.keys() & values.keys():
        assert sqnr_db(values[name], grids[name].real(grids[name].codes(values[name]))) > 30, name
    for name in weighed:
        assert sqnr_db(originals[name].weights, stored[name].weights) > 30, name
        assert originals[name].weights.shape == stored[name].codes.shape
    assert all(each.weights is None for each in runner.stored(sample).values())


def test_channels_of_pictures_are_the_second_axis(bench):
    net = bench(Branches(), x=(1, 3, 8, 8))
    exact = target.open(net.emit(Precision.FLOAT32))
    convolved = [each for each in exact.stored(net.held_back[0], ()).values() if each.axis == 1]
    assert convolved


def test_what_an_op_reads_is_known_past_conversions(bench):
    net = bench(Branches(), x=(1, 3, 8, 8))
    for precision in (Precision.FLOAT32, Precision.INT8):
        ops = target.audit(net.emit(precision)).ops
        names = {op.name for op in ops}
        assert ops[0].reads == () or ops[0].precision == "convert"
        assert all(set(op.reads) <= names - {op.name} for op in ops)
        layers = [op for op in ops if op.precision != "convert"]
        assert all(op.reads for op in layers[1:])
