"""Which channels of a PyTorch module can go, and that it computes the same without those that nothing reads."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

RNG = np.random.default_rng(0)
IMAGE = ((3, 16, 16), "float32")


class Residual(nn.Module):
    """A stem and two blocks whose outputs are added; attention over channels in the first, a map of places in the second."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.wide, self.deep = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.narrow = nn.Conv2d(16, 8, 1)
        self.act, self.scale = nn.PReLU(8), nn.Parameter(torch.rand(8, 1, 1))
        self.places, self.head = nn.Conv2d(8, 1, 1), nn.Linear(8, 5)

    def forward(self, image):
        x = F.relu(self.norm(self.stem(image)))
        y = F.hardswish(self.deep(F.silu(self.wide(x))))
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        x = self.act(x + self.narrow(y) * self.scale)
        x = x * torch.sigmoid(self.places(x))
        return self.head(x.mean((2, 3)))


class Joined(nn.Module):
    """Concatenation, upsampling, a transposed convolution, flattening."""

    def __init__(self):
        super().__init__()
        self.high, self.low = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 2, 2)
        self.joined, self.head = nn.Conv2d(14, 3, 3, stride=4), nn.Linear(48, 5)

    def forward(self, image):
        high = F.relu(self.high(image))
        low = F.relu(self.low(F.max_pool2d(high, 2)))
        both = torch.cat([high, self.up(low), F.interpolate(low, scale_factor=2, mode="bilinear")], 1)
        return self.head(torch.flatten(F.pad(self.joined(both), (0, 0, 0, 0)), 1))


class Shuffled(nn.Module):
    """Channels in another order; a convolution in groups, and one with several outputs a channel."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 4, 1)
        self.groups, self.three = nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 5, 1)
        self.deep, self.last = nn.Conv2d(5, 10, 3, groups=5), nn.Conv2d(10, 2, 1)

    def forward(self, image):
        x = self.one(image)
        x = x.view(1, 2, 3, 16, 16).transpose(1, 2).reshape(1, 6, 16, 16)
        return self.last(self.deep(self.three(self.groups(self.two(x)))))


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.inputs = nn.Linear(6, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu")
        self.recurrent, self.hidden, self.head = nn.LSTM(8, 8), nn.Linear(8, 7), nn.Linear(7, 3)

    def forward(self, x):
        x, _ = self.recurrent(self.block(self.inputs(x)))
        return self.head(torch.tanh(self.hidden(x[:, -1])))


class Sound(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(1, 6, 9, 4), nn.InstanceNorm1d(6, affine=True), nn.ELU(), nn.MaxPool1d(2),
            nn.Conv1d(6, 8, 3, dilation=2), nn.GroupNorm(2, 8), nn.Conv1d(8, 4, 1), nn.AdaptiveAvgPool1d(1),
            nn.Flatten(), nn.Linear(4, 3),
        )  # fmt: skip

    def forward(self, sound):
        return self.net(sound)


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.both = nn.Linear(4, 6), nn.Linear(3, 5), nn.Linear(11, 7)
        self.first, self.second = nn.Linear(7, 1), nn.Linear(7, 4)

    def forward(self, x, y):
        hidden = torch.relu(self.both(torch.cat([torch.relu(self.one(x)), torch.relu(self.two(y))], 1)))
        return {"box": self.first(hidden), "kind": self.second(hidden)}


class Written(nn.Module):
    """Its code knows how many features there are."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), nn.Linear(5 * 256, 3)

    def forward(self, image):
        return self.head(self.two(torch.relu(self.one(image))).view(-1, 5 * 256))


class Shared(nn.Module):
    """The same weights at two places, one in a table."""

    def __init__(self):
        super().__init__()
        self.table, self.one, self.two = nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 9)
        self.two.weight = self.table.weight

    def forward(self, x):
        hidden = torch.relu(self.one(torch.relu(self.one(x))))
        return self.two(hidden) + self.table(torch.tensor([3])).sum()


def found(student):
    """By the layers that make the channels and those that read them."""
    return {(_short(group.rows), _short(group.columns)): group.size for group in student.groups()}


def _short(names):
    return " ".join(sorted(name.removeprefix("network.") for name in names))


@pytest.mark.parametrize(
    ("made", "inputs", "groups"),
    [
        (
            Residual,
            {"image": IMAGE},
            {
                ("narrow stem", "head places wide"): 8,
                ("deep excite wide", "narrow squeeze"): 16,
                ("squeeze", "excite"): 4,
            },
        ),
        (Joined, {"image": IMAGE}, {("high", "joined low"): 4, ("", "joined"): 4, ("joined", "head"): 3}),
        (Shuffled, {"image": IMAGE}, {("deep three", "last"): 5}),
        (
            Sequences,
            {"x": ((5, 6), "float32")},
            {("block.linear1", "block.linear2"): 12, ("hidden", "head"): 7},
        ),
        (
            Sound,
            {"sound": ((1, 200), "float32")},
            {("net.0", "net.4"): 6, ("net.6", "net.9"): 4},
        ),
        (
            Several,
            {"x": ((4,), "float32"), "y": ((3,), "float32")},
            {("one", "both"): 6, ("two", "both"): 5, ("both", "first second"): 7},
        ),
        (Written, {"image": IMAGE}, {("one", "two"): 4}),
        (Shared, {"x": ((6,), "float32")}, {}),
    ],
)
def test_channels_go_together_and_without_a_trace(bench, made, inputs, groups):
    torch.manual_seed(0)
    model = bench.adopt(made().eval(), **inputs)
    student = model.student()
    assert found(student) == groups
    gone = {group: RNG.permutation(group.size)[: group.size // 2] for group in student.groups()}
    for group, channels in gone.items():
        for name, columns in group.columns.items():
            weight = student.weight(name)
            weight[:, columns[channels].ravel()] = 0
            student.change(name, weight)
    fed = {name: RNG.normal(size=(1, *shape)).astype(np.float32) for name, (shape, _) in inputs.items()}
    before, macs = student(fed), sum(layer.macs for layer in student.layers)
    student.slim(gone)
    assert not groups or sum(layer.macs for layer in student.layers) < macs
    for name, value in student.model()(fed).items():
        np.testing.assert_allclose(value, before[name], rtol=1e-4, atol=1e-5)
    program = student.model().form("torch")
    for own in (
        torch.jit.trace(program.module, program.example),
        torch.export.export(program.module, program.example).module(),
    ):
        for one, other in zip(own(*program.example), program.module(*program.example), strict=True):
            torch.testing.assert_close(one, other)


def test_modules_say_what_they_are_now(bench):
    student = bench.adopt(Residual().eval(), image=IMAGE).student()
    groups = {_short(group.rows): group for group in student.groups()}
    for group in groups.values():
        for name in group.columns:
            student.change(name, np.zeros_like(student.weight(name)))
    student.slim({groups["deep excite wide"]: np.arange(10), groups["narrow stem"]: np.arange(5)})
    network = student.model().form("torch").module.network
    assert (network.wide.in_channels, network.wide.out_channels) == (3, 6)
    assert (network.deep.in_channels, network.deep.out_channels, network.deep.groups) == (6, 6, 6)
    assert (network.norm.num_features, network.act.num_parameters, network.scale.shape[0]) == (3, 3, 3)
    assert (network.head.in_features, network.head.out_features) == (3, 5)


def test_biases_that_came_later_lose_their_channels_too(bench):
    student = bench.adopt(Residual().eval(), image=IMAGE).student()
    (group,) = (group for group in student.groups() if "network.stem" in group.rows)
    student.change("network.stem", student.weight("network.stem"), np.ones(8, np.float32))
    student.slim({group: np.arange(3)})
    assert student.model().form("torch").module.network.stem.bias.shape == (5,)
