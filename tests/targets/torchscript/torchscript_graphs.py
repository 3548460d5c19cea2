"""Networks written as Keras writes them on PyTorch, channels last, and the graphs that become of them."""

import torch
from torch import nn
from torch.nn import functional as F

from edgepack.targets.torchscript.canonical import canonicalise
from edgepack.targets.torchscript.graph import calls, capture, kind

LEAST_DB = 100


class Does(nn.Module):
    """A function of the module, whose tensors are its own, and the inputs."""

    def __init__(self, function, **tensors):
        super().__init__()
        self._function = function
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, *inputs):
        return self._function(self, *inputs)


def normalised(channels, norm=nn.BatchNorm2d):
    """Batch normalisation with statistics, as after training."""
    layer = norm(channels)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    nn.init.uniform_(layer.weight, 0.5, 2)
    nn.init.normal_(layer.bias)
    return layer


def convolve(x, kernel, stride=1, padding=0):
    """A convolution of N, H, W, C with a kernel of H, W, I, O."""
    x, kernel = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
    return F.conv2d(x, kernel, stride=stride, padding=padding).permute(0, 2, 3, 1)


def graph_of(made):
    """The canonical graph, which answers what the network answers."""
    module = capture(made.program)
    canonicalise(module)
    module.recompile()  # a graph module runs the code of the graph that it was made of until then
    expected, found = made.module(*made.program.example), module(*made.program.example)
    for one, other in zip(expected, found, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        noise = float((one.double() - other.double()).square().sum())
        assert noise == 0 or 10 * torch.log10(one.double().square().sum() / noise) > LEAST_DB
    return module


def kinds(module):
    return [kind(node).removeprefix("aten::") for node in calls(module)]


def only(module, name):
    """The one op of a kind."""
    (found,) = (node for node in calls(module) if kind(node) == f"aten::{name}")
    return found
