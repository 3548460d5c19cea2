"""Normalisation written as arithmetic: into the layer before it, or at most one product and one sum."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchscript_graphs import Does, convolve, graph_of, kinds, normalised, only

from edgepack.targets.torchscript.graph import calls, kind

IMAGE = (1, 8, 6, 3)
MARGIN = 1e-3


@pytest.fixture
def made(bench):
    """``made(function)``: the graph of a function of the module, which has a kernel, and statistics of 4 channels."""

    def make(function, image=IMAGE, **tensors):
        own = {
            "kernel": torch.randn(3, 3, 3, 4),
            "mean": torch.randn(4),
            "variance": torch.rand(4) + 0.5,
            "gamma": torch.rand(4) + 0.5,
            "beta": torch.randn(4),
        }
        return graph_of(bench(Does(function, **own | tensors), image=image))

    return make


def normalise(m, x):
    """Batch normalisation of the last dimension, as Keras computes it."""
    factor = torch.rsqrt(m.variance + MARGIN) * m.gamma
    return x * factor.reshape(1, 1, 1, -1) + (m.beta - m.mean * factor).reshape(1, 1, 1, -1)


def test_arithmetic_after_a_convolution_goes_into_it(made):
    module = made(lambda m, x: torch.relu(normalise(m, convolve(x, m.kernel))))
    assert kinds(module) == ["permute", "conv2d", "relu", "permute"]


SPELLINGS = {
    "sum": lambda m, x: m.beta + x,
    "sum_times_alpha": lambda m, x: torch.add(x, m.beta, alpha=3),
    "sum_of_alpha_times_it": lambda m, x: torch.add(m.beta, x, alpha=3),
    "difference": lambda m, x: x - m.beta,
    "difference_times_alpha": lambda m, x: torch.sub(x, m.beta, alpha=2),
    "difference_from": lambda m, x: m.beta - x,
    "difference_of_alpha_times_it": lambda m, x: torch.sub(m.beta, x, alpha=2),
    "reversed_difference": lambda m, x: torch.rsub(x, m.beta, alpha=2),
    "number_less_it": lambda m, x: 3 - x,
    "product": lambda m, x: m.gamma * x,
    "quotient": lambda m, x: x / m.gamma,
    "negative": lambda m, x: -x,
    "long_chain": lambda m, x: -((x - m.mean) / m.variance * m.gamma + m.beta) * 2 - 1,
    "bias": lambda m, x: x + m.beta.reshape(1, 1, 1, 4),
    "one_number": lambda m, x: x * m.beta[:1],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_of_a_sum_or_product_goes_into_the_convolution(name, made):
    module = made(lambda m, x: SPELLINGS[name](m, convolve(x, m.kernel)))
    assert kinds(module) == ["permute", "conv2d", "permute"]


LAYERS = {
    "linear": (lambda m, x: x @ m.matrix, {"matrix": torch.randn(3, 4)}),
    "transposed": (
        lambda m, x: F.conv_transpose2d(x.permute(0, 3, 1, 2), m.kernel, stride=2).permute(0, 2, 3, 1),
        {"kernel": torch.randn(3, 4, 2, 2)},
    ),
    "grouped": (
        lambda m, x: F.conv2d(x.permute(0, 3, 1, 2), m.kernel[:, :, :2], groups=1).permute(0, 2, 3, 1),
        {"kernel": torch.randn(4, 3, 3, 3)},
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_other_layers_take_it_too(name, made):
    layer, tensors = LAYERS[name]
    found = kinds(made(lambda m, x: normalise(m, layer(m, x)), **tensors))
    assert not {"add", "mul"} & set(found)


def test_a_layer_that_others_read_is_left_as_it_is(made):
    def both(m, x):
        y = convolve(x, m.kernel)
        return normalise(m, y) * y.exp()

    assert kinds(made(both)).count("conv2d") == 2  # the layer, and one of each channel on its own


def test_a_step_that_others_read_is_computed_on_its_own(made):
    def both(m, x):
        y = convolve(x, m.kernel) * m.gamma
        return y + m.beta, y.exp()

    assert kinds(made(both)).count("conv2d") == 2


NOT_OF_CHANNELS = {
    "rows": (lambda m, x: x * m.table, torch.randn(6, 1, 1)),
    "columns": (lambda m, x: x + m.table, torch.randn(4, 1)),
    "all": (lambda m, x: x * m.table, torch.randn(6, 4, 4)),
    "rounded": (lambda m, x: torch.div(x, m.table, rounding_mode="floor"), torch.rand(4) + 1),
    "inverse": (lambda m, x: m.table / (x.exp() + 1), torch.randn(4)),
    "infinite": (lambda m, x: x / m.table, torch.tensor([1.0, 0.0, 2.0, 3.0])),
}


@pytest.mark.parametrize("name", NOT_OF_CHANNELS)
def test_what_is_no_product_or_sum_of_channels_stays(name, made):
    function, table = NOT_OF_CHANNELS[name]
    found = kinds(made(lambda m, x: torch.nan_to_num(function(m, convolve(x, m.kernel))), table=table))
    assert {"add", "mul", "div"} & set(found)


def test_a_product_that_widens_stays(made):
    module = made(lambda m, x: convolve(x, m.one) * m.gamma, one=torch.randn(3, 3, 3, 1))
    assert kinds(module) == ["permute", "conv2d", "mul", "permute"]


def test_a_grouped_transposed_convolution_takes_none(bench):
    network = nn.Sequential(nn.ConvTranspose2d(4, 8, 2, groups=2), normalised(8))
    assert kinds(graph_of(bench(network, image=(1, 4, 5, 5)))) == ["conv_transpose2d", "conv2d"]


def test_a_normalisation_of_rows_after_a_linear_layer_stays(bench):
    network = nn.Sequential(nn.Linear(6, 5), normalised(5, nn.BatchNorm1d))
    assert kinds(graph_of(bench(network, x=(1, 5, 6)))) == ["linear", "conv1d"]


def test_normalisation_after_a_crop_goes_into_the_layer_before_it(bench):
    class Cropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.ConvTranspose2d(3, 4, 3, stride=2), normalised(4)

        def forward(self, x):
            return self.norm(self.conv(x)[:, :, 1:, :-1])

    assert kinds(graph_of(bench(Cropped(), image=(1, 3, 5, 5)))) == ["conv_transpose2d", "slice", "slice"]


def test_normalisation_of_some_of_the_channels_stays(bench):
    class Chosen(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 6, 3), normalised(4)

        def forward(self, x):
            return self.norm(self.conv(x)[:, 1:5])

    assert kinds(graph_of(bench(Chosen(), image=(1, 3, 5, 5)))) == ["conv2d", "slice", "conv2d"]


def test_normalisation_of_what_is_computed_is_a_convolution_of_each_channel_on_its_own(made):
    module = made(
        lambda m, x: convolve(normalise(m, torch.relu(convolve(x, m.kernel))), m.other),
        other=torch.randn(1, 1, 4, 2),
    )
    assert kinds(module) == ["permute", "conv2d", "relu", "conv2d", "conv2d", "permute"]
    assert [
        node.args[6] for node in calls(module) if kind(node) == "aten::conv2d" and len(node.args) > 6
    ] == [4]


def test_scaling_of_an_input_is_one_product_and_one_sum(made):
    module = made(
        lambda m, x: torch.relu(((x / 127.5 - 1) - m.means) / m.deviations),
        means=torch.randn(3),
        deviations=torch.rand(3) + 0.5,
    )
    assert kinds(module) == ["mul", "add", "relu"]


def test_one_sum_or_product_stays_what_it_was(made):
    assert kinds(made(lambda m, x: torch.relu(x / 255))) == ["div", "relu"]
    assert kinds(made(lambda m, x: torch.relu(x * 2 / 2))) == ["relu"]


def test_pixels_as_integers_become_floats_by_their_scaling(bench):
    made = bench(Does(lambda m, x: (x / 127.5 - 1) * 2), image=((1, 4, 4, 3), "int32"))
    assert kinds(graph_of(made)) == ["mul", "add"]


def test_a_convolution_without_a_batch_is_not_mistaken_for_one_with(made):
    def single(m, x):
        return F.conv2d(x[0].permute(2, 0, 1), m.turned) * 2 + m.table

    module = made(single, turned=torch.randn(4, 3, 3, 3), table=torch.randn(6, 1))
    assert only(module, "conv2d").meta["val"].dim() == 3


def test_a_norm_without_weights_goes_too(bench):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False))
    assert kinds(graph_of(bench(network, image=(1, 3, 6, 6)))) == ["conv2d"]
