"""PyTorch networks that tests of several targets make smaller."""

import torch
from torch import nn

from edgepack.model import LoadRequest
from edgepack.spec import TensorSpec
from edgepack.targets._torch import framework

SIZE = 12


class Wide(nn.Module):
    """Two convolutions, the second one normalised, and a linear layer on all places."""

    def __init__(self):
        super().__init__()
        self.stem, self.wide = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 24, 3, bias=False)
        self.norm, self.head = nn.BatchNorm2d(24), nn.Linear(24 * 64, 10)
        nn.init.normal_(self.norm.weight)

    def forward(self, image):
        x = torch.relu(self.norm(self.wide(torch.relu(self.stem(image)))))
        return self.head(x.flatten(1))


def wide():
    """The Model of one."""
    torch.manual_seed(3)
    specs = (TensorSpec("image", (3, SIZE, SIZE), "float32"),)
    return framework.adopt(Wide().eval(), LoadRequest("model", sample_specs=specs))
