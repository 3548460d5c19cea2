"""A recurrent network that tells speakers apart, with the weights that prepare.py trained, as `edgepack.toml` names it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).parent / "data" / "speaker.pth"


class Speaker(nn.Module):
    """Cepstra (N, 25, 12) of an uttered vowel to scores (N, 9), one for each speaker."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(12, 128, num_layers=2, batch_first=True, dropout=0.2)
        self.scores = nn.Linear(128, 9)

    def forward(self, cepstra: torch.Tensor) -> dict[str, torch.Tensor]:
        states, _ = self.cells(cepstra)
        return {"scores": self.scores(states[:, -1])}


def build() -> nn.Module:
    model = Speaker()
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return model.eval()
