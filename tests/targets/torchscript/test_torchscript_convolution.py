"""Padding is inside of convolutions and maxima where that is the same."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchscript_graphs import Does, graph_of, kinds, only


def repeated(low, high, **pool):
    """A maximum of windows over an image whose edges are repeated before and behind."""
    return lambda m, x: F.max_pool2d(F.pad(x, (low, high, low, high), mode="replicate"), **pool)


@pytest.mark.parametrize(
    ("low", "high", "pool"),
    [
        (0, 1, {"kernel_size": 3, "stride": 2}),
        (1, 1, {"kernel_size": 3, "stride": 2}),
        (1, 2, {"kernel_size": 4, "stride": 3}),
    ],
)
def test_repeated_edges_change_no_maximum(low, high, pool, bench):
    module = graph_of(bench(Does(repeated(low, high, **pool)), image=(1, 3, 8, 8)))
    assert kinds(module) == ["max_pool2d"]


@pytest.mark.parametrize(
    ("low", "high", "pool"),
    [
        (2, 2, {"kernel_size": 3, "stride": 2}),
        (1, 0, {"kernel_size": 3, "stride": 2}),
        (0, 2, {"kernel_size": 3, "stride": 2}),
        (1, 1, {"kernel_size": 3, "stride": 2, "padding": 1}),
        (1, 1, {"kernel_size": 3, "stride": 1, "dilation": 2}),
        (0, 1, {"kernel_size": 3, "stride": 4}),
    ],
)
def test_edges_that_the_pool_cannot_have_itself_stay(low, high, pool, bench):
    module = graph_of(bench(Does(repeated(low, high, **pool)), image=(1, 3, 9, 9)))
    assert len(kinds(module)) == 2


@pytest.mark.parametrize(
    "function", [lambda m, x: torch.constant_pad_nd(x, [1, 1]), lambda m, x: F.pad(x, (1, 1))]
)
def test_zeros_on_both_sides_are_the_convolution_s_own(function, bench):
    network = nn.Sequential(Does(function), nn.Conv2d(3, 4, 3))
    module = graph_of(bench(network, image=(1, 3, 8, 8)))
    assert list(only(module, "conv2d").args[4]) == [0, 1]


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.pad(x, (1, 1), value=0.5),
        lambda m, x: F.pad(x, (1, 2)),
        lambda m, x: F.pad(x, (-1, -1)),
        lambda m, x: F.pad(x, (0, 0, 0, 0, 1, 1))[:, 1:4],
    ],
)
def test_other_padding_stays(function, bench):
    network = nn.Sequential(Does(function), nn.Conv2d(3, 4, 3))
    assert "constant_pad_nd" in kinds(graph_of(bench(network, image=(1, 3, 8, 8))))


def test_a_maximum_of_single_values_takes_every_so_many_of_them(bench):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(1, (2, 3)))
    made = bench(network, image=(1, 3, 9, 9))
    assert kinds(graph_of(made)) == ["conv2d", "slice", "slice"]
    assert made.db("int8") > 30


def test_a_pool_of_one_row_is_a_pool(bench):
    assert kinds(graph_of(bench(nn.MaxPool2d((1, 2)), image=(1, 3, 8, 8)))) == ["max_pool2d"]
