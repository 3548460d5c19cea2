"""Before anything is quantized, a graph becomes smaller without answering otherwise."""

from torch import nn
from torch.nn import functional as F
from torchscript_graphs import graph_of, kinds, normalised

from edgepack.targets.torchscript.graph import calls


class SamePadded(nn.Conv2d):
    """A convolution that pads by itself, so that its output is as large as its input over the stride."""

    def __init__(self, *args, pad, **options):
        super().__init__(*args, **options)
        self.pad = nn.ZeroPad2d(pad)

    def forward(self, x):
        return F.conv2d(
            self.pad(x), self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


def test_batch_normalisation_goes_into_a_subclassed_convolution_and_even_padding_with_it(bench):
    network = nn.Sequential(SamePadded(3, 8, 3, pad=1, bias=False), normalised(8), nn.ReLU6())
    module = graph_of(bench(network, image=(1, 3, 8, 8)))
    assert kinds(module) == ["conv2d", "hardtanh"]


def test_uneven_padding_stays_an_op(bench):
    network = nn.Sequential(SamePadded(3, 8, 3, stride=2, pad=(0, 1, 0, 1)), normalised(8))
    module = graph_of(bench(network, image=(1, 3, 8, 8)))
    assert kinds(module) == ["constant_pad_nd", "conv2d"]


def test_padding_same_becomes_numbers(bench):
    module = graph_of(bench(nn.Conv2d(3, 8, 5, padding="same", dilation=2), image=(1, 3, 12, 12)))
    (node,) = calls(module)
    assert node.args[4] == [4, 4]


def test_batch_normalisation_goes_into_a_linear_layer(bench):
    network = nn.Sequential(nn.Linear(6, 8), normalised(8, nn.BatchNorm1d), nn.ReLU())
    assert kinds(graph_of(bench(network, x=(1, 6)))) == ["linear", "relu"]


def test_batch_normalisation_that_follows_no_layer_is_one_product_and_one_sum(bench):
    network = nn.Sequential(normalised(3), nn.ReLU(), nn.Conv2d(3, 4, 1))
    assert kinds(graph_of(bench(network, image=(1, 3, 8, 8)))) == ["mul", "add", "relu", "conv2d"]


def test_a_convolution_that_others_read_keeps_its_output(bench):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), normalised(4)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y), y

    assert kinds(graph_of(bench(Twice(), image=(1, 3, 4, 4)))) == ["conv2d", "conv2d"]


def test_what_only_training_needs_is_dropped(bench):
    network = nn.Sequential(nn.Dropout(0.5), nn.Identity(), nn.Linear(4, 4), nn.AlphaDropout(0.5))
    assert kinds(graph_of(bench(network, x=(1, 4)))) == ["linear"]


def test_copies_go_even_where_a_view_needed_them(bench):
    class Turned(nn.Module):
        def forward(self, x):
            return x.transpose(1, 2).contiguous().view(1, -1)

    assert kinds(graph_of(bench(Turned(), x=(1, 3, 4)))) == ["transpose", "reshape"]


def test_silu_is_a_gate_and_a_product(bench):
    assert kinds(graph_of(bench(nn.SiLU(), x=(1, 4)))) == ["sigmoid", "mul"]


def test_ops_have_the_names_of_the_source_modules(bench):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return F.relu(self.first(x)) + x

    module = graph_of(bench(nn.Sequential(Block(), Block()), image=(1, 3, 4, 4)))
    names = [node.meta["name"] for node in calls(module)]
    assert names == ["0.first", "0.relu", "0.add", "1.first", "1.relu", "1.add"]
