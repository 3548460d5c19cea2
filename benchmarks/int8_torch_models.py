"""Small PyTorch networks of several families for int8_quality.py, with random weights and batch statistics of real activations."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

Made = tuple[nn.Module, dict[str, np.ndarray]]
"""A model, and samples for each of its inputs."""


def smooth(count: int, channels: int, *sizes: int) -> np.ndarray:
    """Samples whose neighbours are alike, as in pictures and sounds, and that differ in loudness: (count, channels, *sizes)."""
    random = np.random.default_rng(11)
    made = random.normal(size=(count, channels, *[max(size // 8, 1) for size in sizes]))
    for axis in range(len(sizes)):
        made = made.repeat(8, axis + 2)
    loudness = random.uniform(0.3, 1, size=(count, *[1] * (len(sizes) + 1)))
    return ((made + 0.2 * random.normal(size=made.shape)) * loudness).astype(np.float32)


def settled(model: nn.Module, samples: np.ndarray) -> Made:
    """With batch statistics of the first samples, and gains of many sizes."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 1.0
            layer.weight.data = torch.exp(0.5 * torch.randn_like(layer.weight))
    with torch.no_grad():
        model.train()(torch.from_numpy(samples[:32]))
    (name,) = inspect.signature(model.forward).parameters
    return model.eval(), {name: samples}


def block(inner: nn.Module, channels: int, activation: nn.Module) -> nn.Sequential:
    norm = nn.BatchNorm1d if isinstance(inner, nn.Conv1d) else nn.BatchNorm2d
    return nn.Sequential(inner, norm(channels), activation)


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


def inverted(wide: int, activation: Callable[[], nn.Module], gated: bool = False) -> nn.Module:
    inner = [
        block(nn.Conv2d(wide, 4 * wide, 1, bias=False), 4 * wide, activation()),
        block(nn.Conv2d(4 * wide, 4 * wide, 3, padding=1, groups=4 * wide), 4 * wide, activation()),
        Gate(4 * wide) if gated else nn.Identity(),
        block(nn.Conv2d(4 * wide, wide, 1, bias=False), wide, nn.Identity()),
    ]
    return Residual(nn.Sequential(*inner))


def mobile(count: int, activation: Callable[[], nn.Module] = nn.ReLU6, gated: bool = False) -> Made:
    """Inverted residuals with depthwise layers."""
    steps: list[nn.Module] = []
    before = 3
    for wide in (16, 24, 32):
        steps += [block(nn.Conv2d(before, wide, 3, 2, 1), wide, activation())]
        steps += [inverted(wide, activation, gated) for _ in range(2)]
        before = wide
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10), nn.Softmax(1)]
    return settled(nn.Sequential(*steps, *head), smooth(count, 3, 64, 64))


def gated(count: int) -> Made:
    return mobile(count, nn.Hardswish, gated=True)


def residual(count: int) -> Made:
    """3x3 convolutions with ReLU, as in a ResNet."""

    def inner(wide: int) -> nn.Module:
        return nn.Sequential(
            block(nn.Conv2d(wide, wide, 3, padding=1), wide, nn.ReLU()),
            block(nn.Conv2d(wide, wide, 3, padding=1), wide, nn.Identity()),
        )

    steps: list[nn.Module] = []
    for before, wide in ((3, 16), (16, 32), (32, 64)):
        steps += [block(nn.Conv2d(before, wide, 3, 2, 1), wide, nn.ReLU()), Residual(inner(wide)), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return settled(nn.Sequential(*steps, *head), smooth(count, 3, 64, 64))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = (8, 16, 32)
        self.down = nn.ModuleList(self._twice(a, b) for a, b in zip((3, *widths), widths, strict=False))
        self.up = nn.ModuleList(self._twice(48 if b == 16 else b * 3, b) for b in (16, 8))
        self.mask = nn.Conv2d(8, 2, 1)

    @staticmethod
    def _twice(before: int, wide: int) -> nn.Module:
        return nn.Sequential(
            block(nn.Conv2d(before, wide, 3, padding=1), wide, nn.ReLU()),
            block(nn.Conv2d(wide, wide, 3, padding=1), wide, nn.ReLU()),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for step in self.down:
            x = step(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = skips.pop()
        for step in self.up:
            x = step(torch.cat([F.interpolate(x, scale_factor=2.0), skips.pop()], 1))
        found: torch.Tensor = self.mask(x)
        return found


def unet(count: int) -> Made:
    return settled(UNet(), smooth(count, 3, 64, 64))


def sound(count: int) -> Made:
    """Convolutions over samples of sound itself, some by channel."""
    sizes = ((1, 8, 4, 1), (8, 16, 4, 1), (16, 16, 1, 16), (16, 32, 2, 1), (32, 32, 2, 1))
    steps = [
        block(nn.Conv1d(before, wide, 9, stride, 4, groups=groups), wide, nn.ReLU())
        for before, wide, stride, groups in sizes
    ]
    head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 6)]
    return settled(nn.Sequential(*steps, *head), smooth(count, 1, 1024))


MODELS: dict[str, Callable[[int], Made]] = {
    "torch_mobile": mobile,
    "torch_gated": gated,
    "torch_residual": residual,
    "torch_unet": unet,
    "torch_sound": sound,
}
