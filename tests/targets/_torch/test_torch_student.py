"""The copy of a PyTorch model that is made smaller: what its layers are fed with, and what learning leaves alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.compress import closed_form, cluster, low_rank
from edgepack.compress.closed_form import Amount
from edgepack.compress.student import Hold, Teacher
from edgepack.errors import ModelError
from edgepack.events import Step

RNG = np.random.default_rng(0)


class Pads(nn.Conv2d):
    """Does more than its class says."""

    def forward(self, x):
        return nn.functional.conv2d(nn.functional.pad(x, (1, 0, 2, 0)), self.weight, self.bias, self.stride)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 8, 3, groups=8)
        self.padded = Pads(8, 12, 2, stride=2)
        self.point = nn.Conv2d(12, 10, 1, stride=2, bias=False)
        self.head = nn.Linear(10, 5)

    def forward(self, image):
        x = torch.relu(self.norm(self.stem(image)))
        x = torch.relu(self.point(torch.relu(self.padded(self.deep(x)))))
        return torch.softmax(self.head(x.mean((2, 3))), 1)


class Signal(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(2, 6, 3, stride=2, padding=1, dilation=2, padding_mode="circular")
        self.second = nn.Conv1d(6, 4, 5, padding=2)

    def forward(self, sound):
        return self.second(torch.relu(self.first(sound))).mean(2)


def samples(count=6, shape=(1, 3, 12, 12), name="image"):
    return [{name: RNG.normal(size=shape).astype(np.float32)} for _ in range(count)]


@pytest.fixture
def student(bench):
    return bench.adopt(Net().eval(), image=((3, 12, 12), "float32")).student()


def test_layers_are_those_that_compute_in_that_order(student):
    assert [(each.name, each.kind, each.shape, each.places) for each in student.layers] == [
        ("network.stem", "conv", (8, 27), 144),
        ("network.deep", "depthwise", (8, 9), 100),
        ("network.padded", "conv", (12, 32), 30),
        ("network.point", "conv", (10, 12), 9),
        ("network.head", "linear", (5, 10), 1),
    ]


@pytest.mark.parametrize("made", [Net, Signal])
def test_moments_are_those_of_what_the_weights_multiply(bench, made):
    """The mean output that the moments foretell is the one that the layer gives."""
    name, shape = ("image", (1, 3, 12, 12)) if made is Net else ("sound", (1, 2, 20))
    model = bench.adopt(made().eval(), **{name: (shape[1:], "float32")})
    student, fed = model.student(), samples(20, shape, name)
    chosen = [each for each in student.layers if each.kind != "depthwise"]
    found = student.moments([each.name for each in chosen], fed)
    module = model.form("torch").module
    for layer in chosen:
        given = []
        own = module.get_submodule(layer.name)
        hook = own.register_forward_hook(lambda _, args, output, given=given: given.append(output))
        for each in fed:
            model(each)
        hook.remove()
        output = torch.cat(given)
        places = (output.movedim(1, -1) if output.ndim > 2 else output).reshape(-1, layer.shape[0])
        places = (places - (0 if own.bias is None else own.bias)).double().detach().numpy()
        weight, moments = student.weight(layer.name), found[layer.name]
        assert moments.count == len(places)
        np.testing.assert_allclose(weight @ moments.mean, places.mean(0), atol=1e-5)
        np.testing.assert_allclose(
            weight @ moments.gram @ weight.T, places.T @ places / len(places), atol=1e-4
        )


class Loops(nn.Module):
    """A layer that computes twice, after and before others."""

    def __init__(self):
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3, bias=False)

    def forward(self, x):
        x = torch.relu(self.first(x))
        for _ in range(2):
            x = torch.tanh(self.inner(x))
        return self.last(x)


@pytest.mark.parametrize("made", [Net, Loops])
def test_a_walk_gives_moments_of_what_changed_layers_feed(bench, made):
    name, shape = ("image", (1, 3, 12, 12)) if made is Net else ("x", (1, 4))
    student = bench.adopt(made().eval(), **{name: (shape[1:], "float32")}).student()
    fed = samples(20, shape, name)
    names = [each.name for each in student.layers if each.kind != "depthwise"]
    walked = []
    for layer, found in student.walk(names, fed):
        wanted = student.moments([layer], fed)[layer]
        assert found.count == wanted.count
        for own, other in zip(vars(found).values(), vars(wanted).values(), strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-6)
        weight = student.weight(layer)
        student.change(layer, 0.5 * weight, np.ones(len(weight), np.float32))
        walked.append(layer)
    assert walked == names


def test_a_change_leaves_the_original_alone(bench):
    model = bench.adopt(Net().eval(), image=((3, 12, 12), "float32"))
    (fed,) = samples(1)
    before, student = model(fed), model.student()
    assert isinstance(model, Teacher)
    student.change("network.point", np.zeros((10, 12), np.float32), np.ones(10, np.float32))
    assert not np.allclose(student(fed)["output"], before["output"])
    np.testing.assert_array_equal(model(fed)["output"], before["output"])
    np.testing.assert_array_equal(student.model()(fed)["output"], student(fed)["output"])


def test_a_network_that_reshapes_to_a_batch_of_one_is_asked_one_by_one(bench):
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.second(self.first(x).reshape(1, 6))

    student = bench.adopt(One().eval(), x=((4,), "float32")).student()
    fed = samples(5, (1, 4), "x")
    assert student.moments(["network.second"], fed)["network.second"].count == 5
    student.hold({})
    assert np.isfinite(student.learn(fed, 1e-3))


def test_learning_comes_closer_and_keeps_zeros_and_codes(student, tmp_path: Path):
    fed = samples(24)
    chosen = [layer for layer in student.layers if layer.kind != "depthwise"][1:]
    amounts = {chosen[0]: Amount(0.5), chosen[1]: Amount(0.4, 6), chosen[2]: Amount(0, 5)}
    holds = closed_form.shrink(student, amounts, fed, Step("compress"))
    zeros = {layer.name: student.weight(layer.name) == 0 for layer in chosen}
    assert [int(each.sum()) for each in zeros.values()] == [192, 48, 0]
    student.hold(holds)
    losses = [student.learn(fed, 0.1) for _ in range(30)]
    assert min(losses) < 0.95 * losses[0]
    student.save(tmp_path / "state")
    before = student(fed[0])["output"]
    student.learn(fed, 1.0)
    student.restore(tmp_path / "state")
    np.testing.assert_array_equal(student(fed[0])["output"], before)
    student.release()
    np.testing.assert_array_equal(student(fed[0])["output"], before)
    closed_form.reach(student, holds)
    for layer, amount in amounts.items():
        weight = student.weight(layer.name)
        if amount.ratio:
            np.testing.assert_array_equal(weight == 0, zeros[layer.name])
        if amount.codes:
            assert cluster.distinct(weight) <= amount.codes
    program = student.model().form("torch")
    with torch.no_grad():
        traced = torch.jit.trace(program.module, program.example)
        np.testing.assert_allclose(
            traced(*program.example)[0], program.module(*program.example)[0], atol=1e-6
        )


def test_a_state_brings_biases_back(bench, tmp_path: Path):
    model = bench.adopt(Net().eval(), image=((3, 12, 12), "float32"))
    student, (fed,) = model.student(), samples(1)
    student.change("network.point", student.weight("network.point"), np.ones(10, np.float32))
    student.save(tmp_path / "state")
    other = model.student()
    other.restore(tmp_path / "state")
    np.testing.assert_array_equal(other(fed)["output"], student(fed)["output"])


def test_a_rate_is_relative_to_what_is_moved(student):
    student.change("network.head", 100 * student.weight("network.head"))
    student.hold({"network.point": Hold(np.ones((10, 12), bool))})
    names = ("network.head", "network.point")
    before = {name: student.weight(name) for name in names}
    student.learn(samples(4), 1e-3)
    relative = []
    for name in names:
        size, inputs = np.sqrt(np.mean(before[name] ** 2)), before[name].shape[1]
        relative.append(np.abs(student.weight(name) - before[name]).max() / size * np.sqrt(inputs))
    assert relative[0] == pytest.approx(relative[1], rel=0.05)
    assert 0 < relative[0] < 1e-3


def test_masks_hold_whatever_the_rate(student):
    mask = np.ones((10, 12), bool)
    mask[3] = False
    student.change("network.point", np.where(mask, student.weight("network.point"), 0))
    student.hold({"network.point": Hold(mask)})
    for _ in range(3):
        student.learn(samples(4), 100.0)
    student.release()
    assert np.array_equal(student.weight("network.point") != 0, mask)


class Sequence(nn.Module):
    """Weights that no plain layer holds."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.steps = nn.LSTM(8, 6, batch_first=True)
        self.cell = nn.GRUCell(6, 5)
        self.up = nn.ConvTranspose1d(5, 4, 3)
        self.mixes = nn.Parameter(torch.randn(4, 7))
        self.table = nn.Parameter(torch.randn(2, 7, 3))

    def forward(self, ids):
        x = self.words(ids)
        x = self.attend(x, x, x)[0]
        last = self.cell(self.steps(x)[0][:, -1])
        x = self.up(last[:, :, None]).transpose(1, 2) @ self.mixes
        return torch.matmul(x.expand(2, 3, 7), self.table).mean((0, 1))[None]


def ids(count=8):
    return [{"ids": RNG.integers(0, 20, (1, 9)).astype(np.int32)} for _ in range(count)]


def test_weights_that_no_layer_holds_are_seen_where_they_multiply(bench):
    student = bench.adopt(Sequence().eval(), ids=((9,), "int32")).student()
    assert [(each.name, each.kind, each.shape, each.has_bias, each.places) for each in student.layers] == [
        ("network.words", "weights", (1, 160), False, 0),
        ("network.attend.in_proj_weight", "linear", (24, 8), True, 9),
        ("network.attend.out_proj", "linear", (8, 8), True, 9),
        ("network.steps.weight_ih_l0", "linear", (24, 8), True, 9),
        ("network.steps.weight_hh_l0", "linear", (24, 6), True, 9),
        ("network.cell.weight_ih", "linear", (15, 6), True, 1),
        ("network.cell.weight_hh", "linear", (15, 5), True, 1),
        ("network.up", "weights", (4, 15), False, 1),
        ("network.mixes", "linear", (7, 4), False, 3),
        ("network.table", "weights", (2, 21), False, 3),
    ]


class Places(nn.Module):
    """Of several samples torch makes one batched product, with the weights repeated for every place."""

    def __init__(self):
        super().__init__()
        self.words, self.mixes, self.head = nn.Embedding(20, 8), nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, ids):
        return self.head(self.mixes(self.words(ids).transpose(0, 1)).mean(0))


class Depends(Places):
    """Uses its weights otherwise for one sample than for several."""

    def forward(self, ids):
        head = self.head.weight.T
        x = self.words(ids).transpose(0, 1).mean(0) @ self.mixes.weight.T
        return x @ head if len(ids) == 1 else x @ (head * 1)


@pytest.mark.parametrize("network", [Places, Depends])
def test_samples_that_are_computed_together_tell_what_each_tells_alone(bench, network):
    student = bench.adopt(network().eval(), ids=((9,), "int32")).student()
    names, fed = [layer.name for layer in student.layers if layer.has_inputs], ids()
    together = student.moments(names, fed)
    student._together = 1
    for name, alone in student.moments(names, fed).items():
        assert np.allclose(together[name].gram, alone.gram, atol=1e-4)
        assert together[name].count == alone.count


def traced(bench, folder):
    torch.jit.trace(Net().eval(), torch.zeros(1, 3, 12, 12)).save(folder / "net.pt")
    return bench.load(folder / "net.pt", image=((3, 12, 12), "float32"))


def deciding(bench, folder):
    class Decides(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.jit.trace(Net().eval(), torch.zeros(1, 3, 12, 12))

        def forward(self, x):
            return self.net(x) if bool(x.sum() > 0) else self.net(-x)

    torch.jit.script(Decides().eval()).save(folder / "net.pt")
    return bench.load(folder / "net.pt", x=((3, 12, 12), "float32"))


def exported(bench, folder):
    program = torch.export.export(Net().eval(), (torch.zeros(1, 3, 12, 12),))
    torch.export.save(program, folder / "net.pt2")
    return bench.load(folder / "net.pt2")


def sequence(bench, _):
    return bench.adopt(Sequence().eval(), ids=((9,), "int32"))


@pytest.mark.parametrize("source", [traced, deciding, exported, sequence])
def test_graphs_and_sequences_are_made_smaller_too(bench, source, tmp_path: Path):
    model = source(bench, tmp_path)
    (spec,) = model.signature.inputs
    fed = ids() if spec.name == "ids" else samples(8, name=spec.name)
    student = model.student()
    chosen = [layer for layer in student.layers if layer.kind != "depthwise"][1:]
    once = student(fed[0])
    holds = closed_form.shrink(student, dict.fromkeys(chosen, Amount(0.5, 16)), fed, Step("compress"))
    student.hold(holds)
    before = [student.weight(layer.name) for layer in chosen]
    losses = [student.learn(fed, 0.1) for _ in range(3)]
    assert losses[0] > 0
    student.release()
    closed_form.reach(student, holds)
    for layer in chosen:
        weight = student.weight(layer.name)
        assert (weight == 0).sum() == round(0.5 * weight.size)
        assert cluster.distinct(weight) <= 16
    assert any((student.weight(layer.name) != was).any() for layer, was in zip(chosen, before, strict=True))
    made = student.model()
    name = model.signature.outputs[0].name
    np.testing.assert_array_equal(made(fed[0])[name], student(fed[0])[name])
    np.testing.assert_array_equal(model(fed[0])[name], once[name])


def test_tied_weights_are_one_layer(bench):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(torch.tanh(self.first(x)))

    student = bench.adopt(Tied().eval(), x=((4,), "float32")).student()
    assert [layer.name for layer in student.layers] == ["network.first"]


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 32, 3, stride=2, bias=False)
        )
        self.head = nn.Linear(32, 96)
        self.twice = nn.Linear(96, 96)

    def forward(self, image):
        x = torch.relu(self.head(torch.relu(self.net(image)).mean((2, 3))))
        return self.twice(torch.relu(self.twice(x)))


def test_two_layers_take_the_place_of_one(bench, tmp_path: Path):
    model = bench.adopt(Deep().eval(), image=((3, 12, 12), "float32"))
    student, fed = model.student(), samples(40)
    assert [layer.name for layer in student.layers if layer.splits] == [
        "network.net.0", "network.net.2", "network.head", "network.twice",
    ]  # fmt: skip
    factors = low_rank.split(student, student.layers, 0.4, fed, fed[:8])
    assert factors.keys() <= {"network.net.2", "network.twice", "network.head"}
    made = student.split(factors)
    weights = [sum(each.shape[0] * each.shape[1] for each in own.layers) for own in (student, made)]
    assert weights[1] <= 0.6 * weights[0]
    for name, (first, second) in factors.items():
        np.testing.assert_allclose(made.weight(f"{name}.0"), first, atol=1e-6)
        np.testing.assert_allclose(made.weight(f"{name}.1"), second, atol=1e-6)
        student.change(name, (second @ first).astype(np.float32))
    np.testing.assert_allclose(made(fed[0])["output"], student(fed[0])["output"], atol=1e-5)
    np.testing.assert_array_equal(made.teach(fed[0])["output"], model(fed[0])["output"])
    closed_form.shrink(made, dict.fromkeys(made.layers, Amount(0.2)), fed, Step("compress"))
    made.hold({layer.name: Hold(made.weight(layer.name) != 0) for layer in made.layers})
    losses = [made.learn(fed[:16], 0.1) for _ in range(20)]
    assert min(losses) < 0.9 * losses[0]
    made.save(tmp_path / "state")
    again = model.student().split({name: (0 * a, 0 * b) for name, (a, b) in factors.items()})
    again.restore(tmp_path / "state")
    np.testing.assert_allclose(again(fed[0])["output"], made.model()(fed[0])["output"], atol=1e-6)


def test_a_network_that_looks_into_its_layers_is_told_which_to_keep(bench):
    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Linear(64, 64)

        def forward(self, x):
            return self.wide(x.to(self.wide.weight.dtype))

    student = bench.adopt(Looks().eval(), x=((64,), "float32")).student()
    factors = {"network.wide": (np.zeros((4, 64)), np.zeros((64, 4)))}
    with pytest.raises(ModelError, match="does not run with two layers") as caught:
        student.split(factors)
    assert "--keep-layer NAME. Layers: network.wide" in caught.value.hint


def test_which_way_a_class_is_probable_is_the_teacher_s(student):
    fed = samples(3)
    for layer in student.layers:
        student.change(layer.name, 2 * student.weight(layer.name))
    gradients = [each["image"] for each in student.towards(fed, "output", [4, 0, 1])]
    alone = student.towards(fed[1:2], "output", [0])[0]["image"]
    np.testing.assert_allclose(gradients[1], alone, rtol=1e-3, atol=1e-5)
    for each, gradient, wanted in zip(fed, gradients, [4, 0, 1], strict=True):
        assert gradient.shape == each["image"].shape
        step = 1e-2 * gradient / np.sqrt(np.sum(gradient**2))
        ends = [
            student.teach({"image": each["image"] + sign * step})["output"][0, wanted] for sign in (1, -1)
        ]
        slope = np.log(ends[0]) - np.log(ends[1])
        assert slope == pytest.approx(2e-2 * np.sqrt(np.sum(gradient**2)), rel=0.05)
