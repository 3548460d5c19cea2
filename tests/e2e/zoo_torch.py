"""PyTorch models as people write them, with the samples that suit them, and what cannot be built; all by factories."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

COUNT = 32


def photos():
    """Channels last, bytes, as a camera gives them."""
    rng = np.random.default_rng(0)
    for _ in range(COUNT):
        blocks = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        yield {"image": blocks.repeat(4, 0).repeat(4, 1)}


def tensors():
    """Channels first and scaled, as a training loop gives them."""
    for sample in photos():
        yield (sample["image"].transpose(2, 0, 1).astype(np.float32) / 255,)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(16, 5)

    def forward(self, image):
        return {"classes": self.head(self.net(image)) * 20}


def classifier():
    """In train mode, as it comes out of its constructor."""
    torch.manual_seed(1)
    return Classifier()


def ids():
    rng = np.random.default_rng(0)
    for _ in range(COUNT):
        length = int(rng.integers(6, 17))
        mask = (np.arange(16) < length).astype(np.int64)
        yield {"ids": rng.integers(1, 100, 16) * mask, "mask": mask}


@dataclass
class Answer:
    intent: torch.Tensor
    slots: torch.Tensor


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(100, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2)
        self.intent, self.slots = nn.Linear(32, 3), nn.Linear(32, 4)

    def forward(self, ids, mask=None):
        x = self.layers(self.tokens(ids), src_key_padding_mask=None if mask is None else mask == 0)
        return Answer(self.intent(x[:, 0]), self.slots(x))


def encoder():
    torch.manual_seed(1)
    return Encoder()


class Branching(nn.Module):
    def forward(self, image):
        if image.mean() > 0.5:
            image = 1 - image
        return image


def branching():
    return nn.Sequential(nn.Identity(), Branching())


def a_class():
    return Classifier


def state_dict():
    return Classifier().state_dict()


def on_the_gpu():
    return Classifier().cuda()


def wrong_weights():
    made = Classifier()
    made.load_state_dict({"head.weight": torch.zeros(5, 16)})
    return made


class NoTensor(Classifier):
    def forward(self, image):
        return {**super().forward(image), "loss": None}


class Custom(nn.Module):
    """Calls an operator that only this file has."""

    def __init__(self):
        super().__init__()

        @torch.library.custom_op("edgepack_zoo::twice", mutates_args=())
        def twice(image: torch.Tensor) -> torch.Tensor:
            return 2 * image

        twice.register_fake(torch.empty_like)

    def forward(self, image):
        return torch.ops.edgepack_zoo.twice(image)


def custom():
    return nn.Sequential(nn.Identity(), Custom())


def double():
    return classifier().double()


class Turned(nn.Module):
    """Its weights are complex."""

    def __init__(self):
        super().__init__()
        self.turn = nn.Parameter(torch.tensor([1j, 2 - 1j, 0.5], dtype=torch.complex128))

    def forward(self, image):
        return (image.mean((2, 3)) * self.turn).abs()


def scripted_branch():
    return torch.jit.script(branching())
