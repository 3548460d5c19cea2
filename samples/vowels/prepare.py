"""Train the network and write the data that this sample works on, in a few seconds.

    data/speaker.pth     weights of the LSTM in model.py
    data/samples.npz     `cepstra`: the 270 utterances that it was trained on, 25 steps of 12 LPC cepstrum coefficients
    data/labelled.npz    `cepstra`, `label`: 370 other utterances, and which of the nine speakers it was

The utterances are JapaneseVowels of the UCR/UEA archive, brought to one length, from the PyPI package aeon
(pip install --no-deps --requirement ../requirements.txt): only its files are read. A second run does nothing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from model import Speaker
from torch import nn

DATA = Path(__file__).parent / "data"
FILES = [DATA / "speaker.pth", DATA / "samples.npz", DATA / "labelled.npz"]

SEED = 7
EPOCHS = 40
BATCH = 45


def load(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Cepstra (N, 25, 12) float32 and speakers (N,) int64 of ``TRAIN`` or ``TEST``."""
    spec = importlib.util.find_spec("aeon")  # finds the package without importing it: only its data is needed
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("aeon is missing: pip install --no-deps --requirement ../requirements.txt")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "JapaneseVowels"
    _, _, data = (folder / f"JapaneseVowels_eq_{part}.ts").read_text().lower().partition("@data\n")
    rows = [line.split(":") for line in data.split()]
    series = np.array([[channel.split(",") for channel in row[:-1]] for row in rows], np.float32)
    return series.transpose(0, 2, 1), np.array([int(row[-1]) - 1 for row in rows])


def train(series: np.ndarray, labels: np.ndarray) -> nn.Module:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # the matrices are small: more threads wait for each other
    model, x, y = Speaker(), torch.from_numpy(series), torch.from_numpy(labels)
    steps = EPOCHS * -(-len(x) // BATCH)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(x)).split(BATCH):
            noisy = x[chosen] + 0.05 * torch.randn(len(chosen), *x.shape[1:])
            loss = nn.functional.cross_entropy(model(noisy)["scores"], y[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def main() -> None:
    if all(file.exists() for file in FILES):
        print("data/ is up to date")
        return
    DATA.mkdir(exist_ok=True)
    series, labels = load("TRAIN")
    model = train(series, labels)
    others, speakers = load("TEST")
    with torch.no_grad():
        best = model(torch.from_numpy(others))["scores"].argmax(1).numpy()
    print(f"right on {len(others)} utterances it never heard: {(best == speakers).mean():.2%}")
    torch.save(model.state_dict(), DATA / "speaker.pth")
    np.savez_compressed(DATA / "samples.npz", cepstra=series)
    np.savez_compressed(DATA / "labelled.npz", cepstra=others, label=speakers)


if __name__ == "__main__":
    main()
