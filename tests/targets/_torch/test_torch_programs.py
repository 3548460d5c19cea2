"""Modules of every kind that people bring: each becomes a program that can be traced and exported, and answers as before."""

import keras  # noqa: F401  # the suite runs in one process: TensorFlow before torch
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.inside = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU6()
        )

    def forward(self, x):
        return x + self.inside(x)


class Classifier(nn.Module):
    """As users write it: pre-processing, network and post-processing in one module."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([123.7, 116.3, 103.5]).view(3, 1, 1))
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.blocks = nn.Sequential(Residual(8), nn.Dropout(0.2))
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        x = self.blocks(self.stem((image - self.mean) / 58.0)).mean((2, 3))
        return {"probabilities": self.head(x).softmax(-1), "features": x}


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.middle = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Conv2d(16, 2, 1)

    def forward(self, image):
        a = F.relu(self.down(image))
        b = F.relu(self.middle(F.max_pool2d(a, 2)))
        return self.out(torch.cat([self.up(b), F.interpolate(b, scale_factor=2.0)[:, :8]], 1)).sigmoid()


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, series):
        sequence, (hidden, _) = self.lstm(series)
        return self.head(sequence[:, -1]), hidden


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(50, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, ids, mask=None, return_dict: bool = True):
        hidden = self.encoder(self.tokens(ids), src_key_padding_mask=None if mask is None else mask == 0)
        return {"hidden": hidden} if return_dict else (hidden,)


class Audio(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))
        self.net = nn.Conv1d(33, 4, 3)

    def forward(self, sound):
        spectrum = torch.stft(sound, 64, 32, window=self.window, return_complex=True).abs()
        return self.net(torch.log(spectrum + 1e-3)).mean(-1)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.dense, self.out = nn.Conv2d(1, 4, 3), nn.Linear(5, 4), nn.Linear(8, 2)

    def forward(self, image, *, meta):
        return self.out(torch.cat([self.conv(image).amax((2, 3)), self.dense(meta)], -1))


class InPlace(nn.Module):
    """Writes into what it is fed, as careless pre-processing does."""

    def forward(self, x):
        x -= 1
        return x * 2


KINDS = {
    "classifier": (Classifier, {"image": (3, 16, 16)}),
    "unet": (UNet, {"image": (3, 16, 16)}),
    "lstm": (Recurrent, {"series": (12, 4)}),
    "transformer": (Encoder, {"ids": ((9,), "int64"), "mask": ((9,), "int64")}),
    "transformer without its mask": (Encoder, {"ids": ((9,), "int64")}),
    "audio": (Audio, {"sound": (800,)}),
    "two inputs": (TwoInputs, {"image": (1, 8, 8), "meta": (5,)}),
    "in place": (InPlace, {"x": (4,)}),
    "torchs own": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)), {"input": (4,)}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_traced_and_exported_and_answers_the_same(bench, kind):
    make, samples = KINDS[kind]
    model = bench.adopt(make(), **samples)
    direct, *others = bench.ways(model)
    specs = model.signature.outputs
    assert [(tuple(each.shape), str(each.dtype)) for each in direct] == [
        (spec.shape, f"torch.{spec.dtype}") for spec in specs
    ]
    for values in others:
        for one, other in zip(direct, values, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_what_the_module_answers(bench, kind):
    make, samples = KINDS[kind]
    made = make()
    model = bench.adopt(made, **samples)
    rng = np.random.default_rng(1)
    fed = {
        spec.name: rng.random(spec.shape, np.float32)
        if spec.dtype == "float32"
        else np.ones(spec.shape, np.int32)
        for spec in model.signature.inputs
    }
    answers = model({name: array.copy() for name, array in fed.items()})
    given = {
        name: torch.tensor(array).long() if array.dtype == np.int32 else torch.tensor(array)
        for name, array in fed.items()
    }
    with torch.no_grad():
        wanted = made(**given) if kind != "torchs own" else made(given["input"])
    first = (
        wanted["probabilities" if "classifier" in kind else "hidden"] if isinstance(wanted, dict) else wanted
    )
    first = first[0] if isinstance(first, tuple) else first
    np.testing.assert_allclose(next(iter(answers.values())), first.numpy(), atol=1e-6)


def test_what_is_fed_stays_as_it_was(bench):
    model = bench.adopt(InPlace(), x=(4,))
    fed = {"x": np.ones((1, 4), np.float32)}
    assert model(fed)["output"].tolist() == model(fed)["output"].tolist() == [[0, 0, 0, 0]]
    program = model.form("torch")
    before = program.example[0].clone()
    program.module(*program.example)
    torch.testing.assert_close(program.example[0], before)


def test_fx_sees_through_the_program_to_the_modules_inside(bench):
    program = bench.adopt(Classifier(), image=(3, 16, 16)).form("torch")
    traced = torch.fx.symbolic_trace(program.module)
    assert {"network.stem", "network.head"} <= {node.target for node in traced.graph.nodes}
    torch.testing.assert_close(traced(*program.example), program.module(*program.example))


def test_a_program_is_float32_in_eval_mode_and_without_gradients(bench):
    program = bench.adopt(Classifier().double(), image=((3, 16, 16), "float64")).form("torch")
    assert not any(each.training for each in program.module.modules())
    assert {each.dtype for each in program.module.parameters()} == {torch.float32}
    assert not any(each.requires_grad for each in program.module.parameters())


def test_compiled_and_parallel_modules_are_taken_out_of_their_shells(bench):
    inner = Classifier()
    model = bench.adopt(nn.DataParallel(inner), image=(3, 16, 16))
    assert [spec.name for spec in model.signature.inputs] == ["image"]
    assert bench.adopt(torch.compile(inner), image=(3, 16, 16)).form("torch").module.network is inner
