"""Scales that qnnpack refuses together: widened where that costs nothing, else the op stays float and says why."""

import pytest
import torch
from torch import nn

from edgepack.spec import Precision


class DeadBranch(nn.Module):
    """Adds what is always zero, as a PReLU of Keras does before it is trained."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.dead = nn.Conv2d(3, 4, 1)
        nn.init.zeros_(self.dead.weight)
        nn.init.zeros_(self.dead.bias)

    def forward(self, image):
        return self.conv(image) + self.dead(image)


class Cancelling(nn.Module):
    """Adds two large branches whose sum is small."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.conv.weight.data *= factor
        self.other.load_state_dict({name: -each for name, each in self.conv.state_dict().items()})
        self.other.bias.data += 0.01

    def forward(self, image):
        return self.conv(image) + self.other(image)


class SmallBesideFixed(nn.Module):
    """Adds a sigmoid, whose scale is the kernel's own, to what is a hundred thousand times larger."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.conv.weight.data *= 1e5

    def forward(self, image):
        x = self.conv(image)
        return x + torch.sigmoid(x)


class Steep(nn.Module):
    """A leaky ReLU that leaves a two-thousandth of what comes in."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, image):
        return nn.functional.leaky_relu(-self.conv(image).abs().relu(), 0.0005)


@pytest.mark.parametrize(
    ("network", "least_db"),
    [
        (DeadBranch, 35),
        (Cancelling, None),
        (lambda: Cancelling(1e4), None),
        (SmallBesideFixed, 35),
        (Steep, 25),
    ],
    ids=["dead", "cancelling", "cancelling more", "beside a fixed scale", "steep"],
)
def test_the_file_is_made_and_runs(bench, network, least_db):
    made = bench(network(), image=(1, 3, 6, 6))
    found = made.worst_db(made.emit(Precision.INT8))
    assert least_db is None or found >= least_db  # of what cancels, int8 keeps nothing, whoever computes it


def test_an_op_that_stays_float_for_its_scales_says_so(bench):
    made = bench(SmallBesideFixed(), image=(1, 3, 6, 6))
    lowering = made.lower()
    made.emit(Precision.INT8, lowering)
    (reason,) = (op.limits[Precision.INT8] for op in lowering.ops if op.kind == "aten::add")
    assert reason == "the scales of its inputs and its output are too far apart for qnnpack"


def test_a_sum_that_fits_keeps_its_ranges(bench):
    """Nothing is widened without need: the file is the same with and without the step."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.LeakyReLU(0.1))
    made = bench(network, image=(1, 3, 6, 6))
    assert made.worst_db(made.emit(Precision.INT8)) >= 35
    assert all(Precision.INT8 not in op.limits for op in made.lower().ops if op.kind in ("aten::leaky_relu",))
