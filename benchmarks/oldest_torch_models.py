"""Networks that between them call what mobile models are made of; oldest_torch.py packs them and asks old runtimes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

IMAGE = (1, 3, 16, 16)
ROWS = (1, 4, 8)


class Calls(nn.Module):
    """A module of one expression: ``call(x, *layers)``."""

    def __init__(self, call: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self._call = nn.ModuleList(layers), call

    def forward(self, x: torch.Tensor) -> Any:
        return self._call(x, *self.layers)


class Branching(nn.Module):
    """Decides by a value, so that it has no fixed graph."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        if bool(x.sum() > 0):
            x = -x
        return x


def block(before: int, after: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 3, padding="same", groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU6())


def attention(x: torch.Tensor, query: nn.Module, key: nn.Module, **options: Any) -> torch.Tensor:
    return F.scaled_dot_product_attention(query(x), key(x), x, **options)


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...], str]]:
    """{name: (network, shape of its input, type of its input)}"""
    found: dict[str, tuple[nn.Module, tuple[int, ...]]] = {**_layers(), **_functions()}
    typed = {name: (network.eval(), shape, "float32") for name, (network, shape) in found.items()}
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 1)
    typed["encoder"] = (nn.Sequential(nn.Embedding(50, 16), encoder).eval(), (1, 7), "int64")
    return typed


def _layers() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.Softmax(1)]
    inner = [
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 1),
        nn.Hardswish(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 1),
        nn.ReLU(),
    ]
    sound = [nn.Conv1d(4, 8, 3, 2, 1), nn.LeakyReLU(0.1), nn.Conv1d(8, 8, 3), nn.ELU(), nn.MaxPool1d(2)]
    gates = [nn.Conv2d(3, 8, 3), nn.SiLU(), nn.ChannelShuffle(2), nn.Conv2d(8, 4, 3), nn.SiLU()]
    dense = [nn.Linear(8, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 8), nn.LogSoftmax(-1)]
    query, key = nn.Linear(8, 8), nn.Linear(8, 8)
    both_ways = nn.LSTM(8, 16, 2, batch_first=True, bidirectional=True)
    norms = [
        nn.ConvTranspose2d(3, 4, 3, 2),
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4),
        nn.LocalResponseNorm(2),
    ]
    activations = [
        nn.CELU(), nn.SELU(), nn.Softplus(), nn.Mish(), nn.Softsign(), nn.Tanhshrink(), nn.Hardshrink(),
        nn.Softshrink(), nn.Threshold(0.1, 0.2), nn.LogSigmoid(), nn.Hardtanh(), nn.PReLU(), nn.RReLU(),
    ]  # fmt: skip
    return {
        "classifier": (nn.Sequential(block(3, 8), block(8, 8, 8), *inner, *pooled), IMAGE),
        "conv1d": (
            nn.Sequential(*sound, nn.Tanh(), nn.Flatten(), nn.Linear(56, 3), nn.Hardsigmoid()),
            (1, 4, 32),
        ),
        "conv3d": (nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4), nn.MaxPool3d(2)), (1, 2, 8, 8, 8)),
        "gates": (nn.Sequential(*gates), IMAGE),
        "dense": (nn.Sequential(*dense), ROWS),
        "batch_norm": (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3)), IMAGE),
        "norms": (nn.Sequential(*norms), IMAGE),
        "activations": (nn.Sequential(*activations), ROWS),
        "lstm": (Calls(lambda x, net: net(x)[0][:, -1], both_ways), (1, 12, 8)),
        "gru": (Calls(lambda x, net: net(x), nn.GRU(8, 16, batch_first=True)), (1, 12, 8)),
        "rnn": (Calls(lambda x, net: net(x)[0], nn.RNN(8, 16, batch_first=True)), (1, 12, 8)),
        "attention": (Calls(attention, query, key), ROWS),
        "attention_causal": (Calls(lambda x, *both: attention(x, *both, is_causal=True), query, key), ROWS),
        "attention_scaled": (Calls(lambda x, *both: attention(x, *both, scale=0.3), query, key), ROWS),
        "rms_norm": (nn.RMSNorm(8), ROWS),
        "branching": (nn.Sequential(nn.Linear(8, 8), Branching()), (1, 8)),
    }


def _functions() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    return {
        "joined": (Calls(_joined, block(3, 4), nn.Conv2d(3, 4, 3, padding=1)), IMAGE),
        "moved": (Calls(_moved, block(3, 8)), IMAGE),
        "pixels": (Calls(_pixels), IMAGE),
        "reduced": (Calls(_reduced), IMAGE),
        "chosen": (Calls(_chosen), (1, 16)),
        "elementwise": (Calls(_elementwise), ROWS),
        "products": (Calls(_products), ROWS),
        "spectrum": (Calls(_spectrum), (1, 64)),
    }


def _joined(x: torch.Tensor, one: nn.Module, other: nn.Module) -> Any:
    y, z = one(x), other(x)
    return torch.cat([y + z, torch.sigmoid(y) * z], 1), y.mean((2, 3))


def _moved(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    x = F.interpolate(F.pad(layer(x), (1, 1, 1, 1)), scale_factor=2.0)
    return F.pixel_shuffle(x, 2).permute(0, 2, 3, 1)[:, 1:-1].transpose(1, 2).unsqueeze(0).squeeze(0)


def _pixels(x: torch.Tensor) -> Any:
    place = F.affine_grid(torch.tensor([[[1.0, 0, 0], [0, 1, 0.1]]]), list(x.shape), align_corners=False)
    return (
        F.interpolate(x, size=(9, 9), mode="bicubic"), F.interpolate(x, size=(9, 9), mode="bilinear"),
        F.interpolate(x, size=(9, 9), mode="bilinear", antialias=True), F.grid_sample(x, place, align_corners=False),
        F.pad(x, (1, 1, 1, 1), mode="reflect"), F.pad(x, (1, 1, 1, 1), mode="circular"),
        F.pad(x, (1, 1, 1, 1), mode="replicate"), F.unfold(x, 3), F.fold(F.unfold(x, 2, stride=2), 16, 2, stride=2),
        F.pixel_unshuffle(x, 2), x.flip(1), x.roll(1, 1), x.unfold(2, 4, 2).contiguous(), x.movedim(1, -1),
        x.split(1, 1)[0], x.chunk(3, 1)[1], x.expand(2, 3, 16, 16)[1:], x.repeat(1, 2, 1, 1), x[:, [0, 2]],
    )  # fmt: skip


def _reduced(x: torch.Tensor) -> Any:
    return (
        x.sum((2, 3), keepdim=True), x.mean(1), x.amax(1), x.amin(1), x.var((2, 3)), x.std(1), x.prod(1),
        x.logsumexp(1), x.max(1)[0], x.min(1)[0], x.argmax(1).float(), x.cumsum(1), x.cumprod(1), x.norm(dim=1),
        torch.linalg.norm(x, dim=1), F.normalize(x), F.adaptive_max_pool2d(x, 3), F.adaptive_avg_pool2d(x, 3),
        (x > 0).any(1).float(), (x > 0).all(1).float(), x.all().float(),
    )  # fmt: skip


def _chosen(x: torch.Tensor) -> Any:
    best, at = x.topk(3, 1)
    return (
        best, at.to(torch.int32), x.sort(1)[0], x.argsort(1).float(), torch.where(x > 0, x, -x),
        x.masked_fill(x > 0, 0.0), x.gather(1, at), x.index_select(1, at[0]), F.one_hot(at, 16).float(),
        x.scatter(1, at, 0.0), torch.stack([x, x]), x.tril(), x.triu(), x.clamp(-1, 1), x.clamp_min(0), x.bool().float(),
        torch.arange(16).float() + x, torch.zeros_like(x) + torch.ones_like(x), torch.full((1, 16), 2.0) * x,
    )  # fmt: skip


def _elementwise(x: torch.Tensor) -> Any:
    y, z = x.abs() + 0.5, torch.tanh(x) * 0.9
    return (
        y.log(), y.log1p(), y.log2(), y.sqrt(), y.rsqrt(), y.reciprocal(), x.exp(), z.expm1(), x.sin(), x.cos(), z.tan(),
        z.asin(), z.acos(), x.atan(), torch.atan2(x, y), x.erf(), x.floor(), x.ceil(), x.trunc(), x.round(), x.sign(),
        x.square(), x.pow(2), y.pow(1.5), 2**x, x / y, x // y, x % y, x.fmod(2), torch.maximum(x, y), torch.minimum(x, y),
        torch.lerp(x, y, 0.3), torch.addcmul(x, y, z), (x == y).float(), (x != y).float(), (x <= y).float(),
        ((x > 0) & (z < 0.5)).float(), ((x > 0) | ~(z < 0.5)).float(), x.logical_not().float(), x.isnan().float(),
        1 - x, x - y, x.to(torch.int32) * 2, x.sinh(), F.glu(x, -1), x.neg(),
    )  # fmt: skip


def _products(x: torch.Tensor) -> Any:
    other = x.transpose(1, 2)
    return (
        x @ other, torch.bmm(x, other), x[0] @ other[0], x[0, 0] @ other[0], torch.einsum("bij,bkj->bik", x, x),
        torch.baddbmm(x @ other, x, other), torch.addmm(x[0] @ other[0], x[0], other[0]), torch.outer(x[0, 0], x[0, 1]),
        torch.dot(x[0, 0], x[0, 1]), torch.cdist(x, x), F.cosine_similarity(x, x + 1, -1), torch.diagonal(x @ other, 0, 1, 2),
    )  # fmt: skip


def _spectrum(x: torch.Tensor) -> Any:
    spectrum = torch.stft(x, 16, 8, window=torch.hann_window(16), return_complex=True)
    return spectrum.abs(), spectrum.real, torch.fft.rfft(x).imag, x.unfold(1, 8, 4).contiguous()
