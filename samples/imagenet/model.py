"""EfficientNet-Lite0 with its ImageNet weights, as `edgepack.toml` names it."""

from __future__ import annotations

from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet

WEIGHTS = Path(__file__).parent / "data" / "efficientnet_lite0.pth"


class Classifier(torch.nn.Module):
    """Scaled pixels (1, 3, 224, 224) to the probabilities of the 1,000 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(torch.load(WEIGHTS, weights_only=True))

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"probabilities": torch.softmax(self.network(image), dim=1)}


def build() -> torch.nn.Module:
    return Classifier().eval()
