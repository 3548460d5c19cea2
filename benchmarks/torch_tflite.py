"""edgepack against litert-torch and ai-edge-quantizer by hand, side by side: a MobileNetV2 of PyTorch to int8 TFLite.

Both run in fresh processes, taking turns. Prints one JSON document: wall times, file sizes, latency on one thread, and
how close edgepack's files are to the original. The stock file takes its image channels first, edgepack's as the build
makes it.

The weights are random, so nothing here says what int8 costs in accuracy; samples/imagenet measures that.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

WEIGHTS = "EDGEPACK_BENCHMARK_WEIGHTS"
STOCK = Path(__file__).with_name("stock_litert_torch.py")
SEED = 7
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repetitions and stride of every stage (table 2 of Sandler et al., 2018)."""


def convolution(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU6())


class Block(nn.Module):
    """An inverted residual."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * before
        expand = [convolution(before, wide, 1)] if expansion > 1 else []
        project = nn.Conv2d(wide, after, 1, bias=False)
        self.body = nn.Sequential(
            *expand, convolution(wide, wide, 3, stride, wide), project, nn.BatchNorm2d(after)
        )
        self.is_residual = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.is_residual else self.body(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers, before = [convolution(3, 32, 3, 2)], 32
        for expansion, after, count, stride in STAGES:
            for number in range(count):
                layers.append(Block(before, after, stride if number == 0 else 1, expansion))
                before = after
        self.features = nn.Sequential(*layers, convolution(before, 1280, 1))
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.classifier(self.features(image).mean((2, 3))), -1)


def build() -> nn.Module:
    """The model, with the weights that ``write_weights`` wrote."""
    model = MobileNetV2()
    model.load_state_dict(torch.load(os.environ[WEIGHTS], weights_only=True))
    return model.eval()


def write_weights(path: Path, images: torch.Tensor) -> None:
    """Random ones, and batch statistics of real activations, without which all fade to zero."""
    torch.manual_seed(SEED)
    model = MobileNetV2()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(images)
    torch.save(model.state_dict(), path)


def main() -> None:
    options = parse_options(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = folder / "samples.npz"
        pictures = np.ascontiguousarray(make_samples(options.samples).transpose(0, 3, 1, 2), np.float32)
        np.savez(samples, image=pictures)
        os.environ[WEIGHTS] = str(folder / "weights.pt")
        write_weights(folder / "weights.pt", torch.from_numpy(pictures[:32]))
        print(json.dumps(race(STOCK, f"{Path(__file__)}:build", samples, folder, options), indent=2))


if __name__ == "__main__":
    from side_by_side import (
        make_samples,
        parse_options,
        race,
    )  # not for the build, which imports this file too

    main()
