"""A source whose channels are last permutes around every convolution: what is left of that is at inputs and outputs."""

import pytest
import torch
from torch.nn import functional as F
from torchscript_graphs import Does, convolve, graph_of, kinds, only

IMAGE = (1, 8, 6, 3)
KERNELS = {"a": (3, 3, 3, 4), "b": (3, 3, 4, 4)}


@pytest.fixture
def made(bench):
    """``made(function)``: the graph of a function of the module, which has kernels ``a`` and ``b``, and an image."""

    def make(function, image=IMAGE, **tensors):
        kernels = {name: torch.randn(shape) for name, shape in KERNELS.items()}
        return graph_of(bench(Does(function, **kernels, **tensors), image=image))

    return make


POINTWISE = {
    "relu": torch.relu,
    "gelu": F.gelu,
    "hardswish": F.hardswish,
    "number": lambda x: x.exp() + 3,
    "itself": lambda x: x * x,
    "rounding": lambda x: torch.div(x, 0.3, rounding_mode="floor"),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_between_two_convolutions_nothing_is_permuted(name, made):
    module = made(lambda m, x: convolve(POINTWISE[name](convolve(x, m.a)), m.b))
    assert kinds(module)[:2] == ["permute", "conv2d"]
    assert kinds(module)[-2:] == ["conv2d", "permute"]
    assert kinds(module).count("permute") == 2


def test_kernels_are_turned_once_and_for_all(made):
    module = made(lambda m, x: convolve(x, m.a))
    assert kinds(module) == ["permute", "conv2d", "permute"]
    assert tuple(module.get_buffer(only(module, "conv2d").args[1].target).shape) == (4, 3, 3, 3)


def test_a_value_that_several_ops_read_is_permuted_for_none_of_them(made):
    def residual(m, x):
        y = convolve(x, m.a)
        return convolve(y + torch.relu(convolve(y, m.b, padding=1)), m.b)

    assert kinds(made(residual)) == ["permute", "conv2d", "conv2d", "relu", "add", "conv2d", "permute"]


def test_an_output_is_permuted_though_others_read_its_value(made):
    def both(m, x):
        y = convolve(x, m.a)
        return y, convolve(y, m.b)

    assert kinds(made(both)) == ["permute", "conv2d", "permute", "conv2d", "permute"]


def test_concatenated_channels_are_along_the_second_dimension(made):
    def joined(m, x):
        y = convolve(x, m.a)
        return convolve(torch.cat([y, torch.relu(y)], -1)[..., 2:6], m.b)

    module = made(joined)
    assert kinds(module) == ["permute", "conv2d", "relu", "cat", "slice", "conv2d", "permute"]
    assert (only(module, "cat").args[1], only(module, "slice").args[1]) == (1, 1)


def test_a_constant_is_concatenated_in_the_order_of_the_others(made):
    table = torch.randn(1, 6, 4, 2)
    module = made(lambda m, x: torch.cat([convolve(x, m.a), m.table], -1), table=table)
    assert kinds(module) == ["permute", "conv2d", "cat", "permute"]


def test_padding_follows_its_dimensions(made):
    module = made(lambda m, x: convolve(F.pad(convolve(x, m.a), (0, 0, 0, 1, 2, 0)), m.b))
    assert kinds(module) == ["permute", "conv2d", "constant_pad_nd", "conv2d", "permute"]
    assert list(only(module, "constant_pad_nd").args[1]) == [0, 1, 2, 0]


def test_padding_of_channels_stays_with_them(made):
    module = made(lambda m, x: F.pad(convolve(x, m.a), (3, 1)))
    assert list(only(module, "constant_pad_nd").args[1]) == [0, 0, 0, 0, 3, 1]


REDUCED = {
    "mean": lambda x: x.mean((1, 2)),
    "sum_of_rows": lambda x: x.sum(1),
    "amax_of_channels": lambda x: x.amax(-1),
    "argmax_of_channels": lambda x: x.argmax(-1).float(),
    "mean_of_rows_and_channels": lambda x: x.mean((1, 3)),
}


@pytest.mark.parametrize("name", REDUCED)
def test_what_is_left_of_a_reduction_is_in_its_order(name, made):
    found = kinds(made(lambda m, x: REDUCED[name](convolve(x, m.a))))
    expected = ["permute"] if name == "sum_of_rows" else []  # channels are before columns
    assert [each for each in found[2:] if each == "permute"] == expected


def test_a_mean_of_all_is_one_of_each_dimension_in_any_order(made):
    assert kinds(made(lambda m, x: convolve(x, m.a).mean().reshape(1, 1)))[-2:] == ["mean", "reshape"]


def test_a_gate_of_channels_needs_no_permutation(made):
    def gated(m, x):
        y = convolve(x, m.a)
        gate = torch.sigmoid(convolve(y.mean((1, 2), keepdim=True), m.squeeze))
        return convolve(y * gate, m.b)

    module = made(gated, squeeze=torch.randn(1, 1, 4, 4))
    assert kinds(module) == ["permute", "conv2d", "mean", "conv2d", "sigmoid", "mul", "conv2d", "permute"]


def test_a_gate_from_a_linear_layer_is_a_reshape(made):
    def gated(m, x):
        y = convolve(x, m.a)
        return convolve(y * torch.sigmoid(y.mean((1, 2)) @ m.dense).reshape(1, 1, 1, 4), m.b)

    module = made(gated, dense=torch.randn(4, 4))
    assert kinds(module).count("permute") == 2


@pytest.mark.parametrize("op", [torch.softmax, torch.log_softmax, torch.cumsum])
def test_along_the_channels_is_along_the_second_dimension(op, made):
    module = made(lambda m, x: op(convolve(x, m.a), -1))
    assert kinds(module) == ["permute", "conv2d", op.__name__, "permute"]
    assert only(module, op.__name__).args[1] == 1


@pytest.mark.parametrize("shape", [(4,), (1, 4), (6, 4, 1), (6, 4, 4), (4, 1), (1, 1, 4, 1), ()])
def test_constants_of_any_shape_meet_what_they_met(shape, made):
    module = made(lambda m, x: torch.atan2(convolve(x, m.a), m.table), table=torch.randn(shape))
    assert kinds(module) == ["permute", "conv2d", "atan2", "permute"]


def upsampled(x, dim, times):
    """Each row or column several times."""
    return x.unsqueeze(dim + 1).expand(*x.shape[: dim + 1], times, *x.shape[dim + 1 :]).flatten(dim, dim + 1)


def tiled(x, dim, times):
    """All rows or columns several times."""
    return x.unsqueeze(dim).expand(*x.shape[:dim], times, *x.shape[dim:]).flatten(dim, dim + 1)


def test_repeated_rows_and_columns_are_an_upsampling(made):
    module = made(lambda m, x: convolve(upsampled(upsampled(convolve(x, m.a), 1, 2), 2, 3), m.b))
    assert kinds(module) == ["permute", "conv2d", "upsample_nearest2d", "conv2d", "permute"]
    assert list(only(module, "upsample_nearest2d").args[1]) == [12, 12]


def test_repeated_channels_are_none(made):
    assert "upsample_nearest2d" not in kinds(made(lambda m, x: upsampled(convolve(x, m.a), 3, 2)))


def test_an_image_beside_itself_is_none_even_where_its_shapes_are_those_of_one(made):
    module = made(lambda m, x: tiled(convolve(x, m.a), 1, 2), image=(1, 4, 4, 3))
    assert "upsample_nearest2d" not in kinds(module)


def test_upsampling_to_no_multiple_stays_a_step_of_its_own(made):
    def twice(m, x):
        y = F.interpolate(x.permute(0, 3, 1, 2), size=(11, 10)).permute(0, 2, 3, 1)
        return convolve(upsampled(y, 1, 2), m.a)

    assert kinds(made(twice)).count("upsample_nearest2d") == 2


def test_a_permutation_of_an_input_stays_where_it_is(made):
    assert kinds(made(lambda m, x: torch.relu(x.permute(0, 3, 1, 2)))) == ["permute", "relu"]


def test_two_permutations_are_one_and_inverse_ones_none(made):
    module = made(lambda m, x: x.exp().permute(0, 3, 1, 2).transpose(0, 1).permute(1, 2, 3, 0).cos())
    assert kinds(module) == ["exp", "cos"]
    module = made(lambda m, x: x.exp().transpose(1, 2).transpose(2, 3))
    assert kinds(module) == ["exp", "permute"]


def test_different_permutations_do_not_become_one(made):
    def mixed(m, x):
        y = convolve(x, m.a)
        return y.transpose(1, 2) + torch.roll(y, 1, -1).permute(0, 2, 1, 3) * 2, y.permute(
            0, 3, 1, 2
        ) + y.exp()[:, :4, :, 0:1]

    made(mixed, image=(1, 6, 6, 3))


def test_a_value_in_the_order_of_the_source_is_not_permuted_to_save_one_permutation(made):
    module = made(lambda m, x: convolve(x, m.same, padding=1) + x.cos(), same=torch.randn(3, 3, 3, 3))
    assert kinds(module) == ["permute", "conv2d", "permute", "cos", "add"]


def test_operands_of_fewer_dimensions_keep_their_side(made):
    assert kinds(made(lambda m, x: convolve(x, m.a) * x[0, :6, :4, :1].cos()))[-1] == "mul"


def test_what_mixes_dimensions_ends_a_permutation(made):
    assert kinds(made(lambda m, x: convolve(x, m.a).reshape(1, 24, 4))) == [
        "permute",
        "conv2d",
        "permute",
        "reshape",
    ]


def test_a_permutation_of_dimensions_of_one_is_a_reshape(made):
    module = made(lambda m, x: x.exp().mean((1, 2), keepdim=True).permute(0, 3, 1, 2))
    assert kinds(module) == ["exp", "mean", "reshape"]


def test_of_reshapes_the_last_one_counts_and_none_to_what_there_was(made):
    module = made(lambda m, x: x.exp().reshape(8, 18).reshape(16, 9).cos().reshape(3, 48).reshape(16, 9))
    assert kinds(module) == ["exp", "reshape", "cos"]


def test_the_same_permutation_is_made_once(made):
    module = made(lambda m, x: (x.permute(0, 3, 1, 2).exp(), x.permute(0, 3, 1, 2).cos()))
    assert sorted(kinds(module)) == ["cos", "exp", "permute"]
