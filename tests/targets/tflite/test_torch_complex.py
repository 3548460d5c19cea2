"""Spectra inside of a PyTorch model: complex numbers as pairs of real ones, as exact as PyTorch's own transforms."""

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.errors import ModelError
from edgepack.model import LoadRequest
from edgepack.precision.plan import uniform_plan
from edgepack.targets._torch import framework
from edgepack.targets.tflite import torch_convert
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite

HANN = torch.hann_window(64)


class Computed(nn.Module):
    """Computes what it is made with."""

    def __init__(self, compute):
        super().__init__()
        self.register_buffer("window", HANN.clone())
        self.compute = compute

    def forward(self, x):
        return self.compute(x, self.window)


def adopt(compute, shape):
    shapes = {"x": (shape, "float32")}
    return framework.adopt(Computed(compute).eval(), LoadRequest("model", shapes=shapes))


def draw(shape, count=4):
    random = np.random.default_rng(0)
    return [{"x": random.normal(size=shape).astype(np.float32)} for _ in range(count)]


def stft(x, window, **options):
    return torch.stft(
        x, **{"n_fft": 64, "hop_length": 16, "window": window, "return_complex": True, **options}
    )


SPECTRA = {
    "centred": {},
    "padded with zeros": {"pad_mode": "constant"},
    "not centred": {"center": False},
    "hops that do not fit": {"hop_length": 25},
    "a window shorter than the transform": {"n_fft": 100, "win_length": 64},
    "a window shorter by an odd number": {"n_fft": 81, "win_length": 64, "center": False},
    "all frequencies": {"onesided": False},
    "normalized": {"normalized": True},
    "no window": {"window": None, "win_length": 48},
    "an odd transform": {"n_fft": 63, "win_length": 63, "window": torch.hamming_window(63)},
}


@pytest.mark.parametrize("name", SPECTRA)
def test_a_spectrum_is_pytorchs(bench, name):
    def compute(x, window):
        return torch.view_as_real(stft(x, **{"window": window, **SPECTRA[name]}))

    model, samples = adopt(compute, (1, 500)), draw((1, 500))
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100


def test_a_window_made_in_forward(bench):
    def compute(x, window):
        return stft(x, torch.blackman_window(64) * window).abs()

    model, samples = adopt(compute, (1, 500)), draw((1, 500))
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100


def by_hand(x, window):
    return torch.fft.rfft(x.unfold(-1, 64, 16) * window, norm="ortho")


READ = {
    "absolute value": lambda z: z.abs(),
    "power": lambda z: z.abs() ** 2,
    "power by a method": lambda z: z.abs().pow(2),
    "square": lambda z: z.abs().square(),
    "another power": lambda z: z.abs().pow(0.5),
    "parts": lambda z: (z.real, z.imag),
    "one and the other": lambda z: z.abs() + z.abs() ** 2 + z.imag,
    "moved about": lambda z: z.transpose(1, 2)[:, 2:, None].reshape(-1, 31, 33).abs(),
    "joined": lambda z: torch.cat([z, z.conj()], 1).imag,
    "arithmetic": lambda z: ((z * z + z * z.conj() * 3 - z) / 2.0 * z.real).sum(1).abs(),
    "made of parts": lambda z: (
        torch.complex(z.imag, z.real).real + torch.view_as_complex(torch.view_as_real(z)).imag
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_done_with_a_spectrum(bench, name):
    model, samples = adopt(lambda x, window: READ[name](stft(x, window)), (1, 512)), draw((1, 512))
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100


TRANSFORMS = {
    "of frames": ((1, 512), lambda x, window: by_hand(x, window).abs()),
    "along another axis": ((1, 60, 3), lambda x, window: torch.fft.rfft(x, dim=1).imag),
    "cut off": ((1, 60), lambda x, window: torch.fft.rfft(x, 50).abs()),
    "filled up": ((1, 60), lambda x, window: torch.fft.rfft(x, 75, norm="forward").real),
    "all frequencies": ((1, 60), lambda x, window: torch.fft.fft(x).imag),
    "there and back": ((1, 3, 64), lambda x, window: torch.fft.irfft(torch.fft.rfft(x) * window[:33])),
    "back along another axis": (
        (1, 60, 3),
        lambda x, window: torch.fft.irfft(torch.fft.rfft(x, dim=1), 59, dim=1, norm="ortho"),
    ),
    "back to more": ((1, 60), lambda x, window: torch.fft.irfft(torch.fft.rfft(x), 90)),
    "back to less": ((1, 60), lambda x, window: torch.fft.irfft(torch.fft.rfft(x), 40)),
    "a sound with a mask": (
        (1, 512),
        lambda x, window: torch.istft(stft(x, window) * torch.sigmoid(stft(x, window).abs()), 64, 16, window=window),
    ),
    "a sound of given length": (
        (1, 512),
        lambda x, window: torch.istft(
            stft(x, window, normalized=True, n_fft=80, win_length=64),
            80,
            16,
            win_length=64,
            window=window,
            length=500,
            normalized=True,
        ),
    ),
    "a longer sound": (
        (1, 512),
        lambda x, window: torch.istft(stft(x, window)[0], 64, 16, window=window, length=530),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_other_transforms_and_ways_back(bench, name):
    shape, compute = TRANSFORMS[name]
    model, samples = adopt(compute, shape), draw(shape)
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert bench.worst_db(model, runner, samples) >= 100


def kinds(compute, shape):
    return [op.kind for op in ModelView(torch_convert.convert(adopt(compute, shape).form("torch"))).ops]


def test_a_spectrum_is_one_convolution_of_the_sound():
    found = kinds(lambda x, window: stft(x, window).abs() ** 2, (1, 512))
    assert sum("CONV" in kind for kind in found) == 1
    assert "MIRROR_PAD" in found
    assert "SQRT" not in found  # a root that would only be squared
    assert len(found) <= 10


def test_no_more_of_a_kernel_is_stored_than_the_window():
    program = adopt(lambda x, window: stft(x, window, n_fft=256, win_length=64).abs(), (1, 512)).form("torch")
    assert len(torch_convert.convert(program)) < 4 * 64 * 258 + 6000


@pytest.mark.parametrize(
    ("compute", "what"),
    [
        (lambda x, window: torch.fft.fft2(x[:, None]).abs(), "aten.fft_fft2 gives complex64"),
        (lambda x, window: stft(x, window).angle(), "aten.angle takes complex64"),
        (lambda x, window: (stft(x, window) * 1j).real, "aten.mul.Tensor gives complex64"),
        (lambda x, window: (1 / stft(x, window)).real, "gives complex64"),
        (lambda x, window: torch.fft.fft(stft(x, window)).real, "aten.fft_fft gives complex64"),
        (lambda x, window: stft(x, x[0, :64]).abs(), "aten.stft gives complex64"),
    ],
)
def test_what_has_no_rule_is_refused_where_it_stands(compute, what):
    with pytest.raises(ModelError) as caught:
        torch_convert.convert(adopt(compute, (1, 512)).form("torch"))
    assert "TensorFlow Lite has no ops on complex numbers" in caught.value.message
    assert what in caught.value.message
    assert "test_torch_complex.py:" in caught.value.message


class Words(nn.Module):
    """A front end of 40 mel bands, in the way of torchaudio, and a small network."""

    def __init__(self):
        super().__init__()
        mel = torch.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42)
        edges = 700 * (10 ** (mel / 2595) - 1)
        slopes = edges[None] - torch.linspace(0, 8000, 201)[:, None]
        widths = edges.diff()
        bank = torch.minimum(-slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]).clamp(min=0)
        self.register_buffer("bank", bank)
        self.register_buffer("window", torch.hann_window(400), persistent=False)
        self.net = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, 5),
        )

    def forward(self, sound):
        spectrum = torch.stft(sound, 400, 160, 400, self.window, return_complex=True)
        bands = (spectrum.abs() ** 2).transpose(1, 2) @ self.bank
        return self.net(torch.log(bands + 1e-6).transpose(1, 2)[:, None])


def sounds(count=12):
    random, time = np.random.default_rng(0), np.arange(8000) / 16000
    for _ in range(count):
        waves = np.sin(2 * np.pi * random.uniform(100, 3000, (4, 1)) * time)
        noise = random.normal(size=8000) * 10 ** random.uniform(-4, -1.5)
        sound = (random.uniform(0, 0.2, (4, 1)) * waves).sum(0) + noise
        yield {"sound": sound[None].astype(np.float32)}


def test_a_network_on_mel_bands_in_every_precision(bench):
    torch.manual_seed(0)
    samples, module = list(sounds()), Words().train()
    with torch.no_grad():
        for _ in range(30):  # so that the normalisation knows how loud these are
            module(torch.cat([torch.tensor(sample["sound"]) for sample in samples]))
    shapes = {"sound": ((1, 8000), "float32")}
    model = framework.adopt(module.eval(), LoadRequest("model", shapes=shapes))
    lowering = bench.lower(model, samples)
    for precision, least in {"float32": 100, "int8_dynamic": 30, "int8": 30, "int16x8": 30}.items():
        plan = uniform_plan(lowering, precision, "auto")
        runner = tflite.open(bench.emit(lowering, precision, ops=plan.ops))
        assert bench.worst_db(model, runner, samples) >= least, precision
