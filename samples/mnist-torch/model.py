"""The MNIST classifier of digit-recognizer-py with its weights, as `edgepack.toml` names it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).parent / "data" / "digits.pth"


class Classifier(nn.Module):
    """Scaled pixels (1, 1, 28, 28) to the probabilities of the ten digits."""

    def __init__(self) -> None:
        super().__init__()
        steps = [
            layer
            for channels, filters in ((1, 32), (32, 64), (64, 128))
            for layer in (nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        ]
        self.conv_layers = nn.Sequential(*steps)
        self.fc_layers = nn.Sequential(nn.Linear(128 * 3 * 3, 256), nn.ReLU(), nn.Linear(256, 10))

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.fc_layers(self.conv_layers(image).flatten(1))
        return {"probabilities": torch.softmax(scores, dim=1)}


def build() -> nn.Module:
    model = Classifier()
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return model.eval()
