"""Products with constant matrices are linear layers, however a source writes them."""

import pytest
import torch
from torch.nn import functional as F
from torchscript_graphs import Does, convolve, graph_of, kinds, only

PRODUCTS = {
    "matmul": ((2, 6), lambda m, x: x @ m.w),
    "matmul_of_a_sequence": ((2, 5, 6), lambda m, x: torch.matmul(x, m.w)),
    "mm": ((2, 6), lambda m, x: torch.mm(x, m.w)),
    "addmm": ((2, 6), lambda m, x: torch.addmm(m.b, x, m.w)),
    "with_bias": ((2, 5, 6), lambda m, x: x @ m.w + m.b),
    "einsum": ((2, 5, 6), lambda m, x: torch.einsum("abc,cd->abd", x, m.w)),
    "einsum_of_a_turned_matrix": (
        (2, 5, 6),
        lambda m, x: torch.einsum("...c, dc -> ...d".replace("...", "ab"), x, m.w.t()),
    ),
}


@pytest.fixture
def made(bench):
    def make(function, shape, **tensors):
        own = {"w": torch.randn(6, 4), "b": torch.randn(4), "cube": torch.randn(6, 3, 4)}
        return graph_of(bench(Does(function, **own | tensors), x=shape))

    return make


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_with_a_matrix_is_a_linear_layer(name, made):
    shape, function = PRODUCTS[name]
    assert kinds(made(function, shape)) == ["linear"]


def test_an_einsum_into_heads_is_a_linear_layer_and_a_reshape(made):
    module = made(lambda m, x: torch.einsum("abc,cde->abde", x, m.cube), (2, 5, 6))
    assert kinds(module) == ["linear", "reshape"]


def test_an_einsum_out_of_heads_is_a_reshape_and_a_linear_layer(made):
    module = made(lambda m, x: torch.einsum("abcd,cde->abe", x, m.cube), (2, 5, 6, 3))
    assert kinds(module) == ["reshape", "linear"]


def test_an_einsum_sums_its_labels_in_the_order_of_the_input(made):
    module = made(lambda m, x: torch.einsum("abcd,dec->abe", x, m.cube), (2, 5, 4, 6))
    assert kinds(module) == ["reshape", "linear"]


EINSUMS = {
    "labels_that_stay_on_both_sides": ("abc,bcd->abd", (2, 3, 6), (3, 6, 4)),
    "sums_not_at_the_end": ("acb,cd->abd", (2, 6, 5), (6, 4)),
    "answers_in_another_order": ("abc,cd->adb", (2, 5, 6), (6, 4)),
    "a_sum_of_the_input_alone": ("abc,cd->ad", (2, 5, 6), (6, 4)),
    "a_sum_of_the_matrix_alone": ("abc,cde->abd", (2, 5, 6), (6, 4, 3)),
    "no_sum": ("ab,cd->abcd", (2, 5), (6, 4)),
    "no_arrow": ("cb,ba", (2, 6), (6, 4)),
    "an_ellipsis": ("...c,cd->...d", (2, 5, 6), (6, 4)),
    "a_diagonal": ("abb,bc->ac", (2, 6, 6), (6, 4)),
    "a_diagonal_of_the_matrix": ("ab,bcc->ac", (2, 6), (6, 4, 4)),
}


@pytest.mark.parametrize("name", EINSUMS)
def test_other_einsums_stay(name, made):
    equation, shape, matrix = EINSUMS[name]
    module = made(lambda m, x: torch.einsum(equation, x, m.matrix), shape, matrix=torch.randn(matrix))
    assert kinds(module) == ["einsum"]


OTHERS = {
    "two_values": ((2, 4, 4), lambda m, x: x @ x.exp()),
    "several_matrices": ((3, 5, 6), lambda m, x: x @ m.stack),
    "the_matrix_first": ((6, 5), lambda m, x: m.w.t() @ x),
    "a_vector": ((6,), lambda m, x: (x @ m.w).reshape(1, 4)),
    "scaled": ((2, 6), lambda m, x: torch.addmm(m.b, x, m.w, beta=2)),
    "scaled_product": ((2, 6), lambda m, x: torch.addmm(m.b, x, m.w, alpha=2)),
    "a_bias_of_rows": ((2, 6), lambda m, x: torch.addmm(m.rows, x, m.w)),
    "a_bias_that_is_computed": ((2, 6), lambda m, x: torch.addmm(x[:, :4].exp(), x, m.w)),
    "one_bias_for_all": ((2, 6), lambda m, x: torch.addmm(m.b[:1], x, m.w)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_products_stay(name, made):
    shape, function = OTHERS[name]
    assert "linear" not in kinds(made(function, shape, stack=torch.randn(3, 6, 4), rows=torch.randn(2, 4)))


def test_a_permutation_before_all_is_flattened_is_in_the_weights(bench):
    function = Does(
        lambda m, x: F.relu(convolve(x, m.kernel)).flatten(1) @ m.dense,
        kernel=torch.randn(3, 3, 3, 4),
        dense=torch.randn(6 * 4 * 4, 5),
    )
    module = graph_of(bench(function, image=(1, 8, 6, 3)))
    assert kinds(module) == ["permute", "conv2d", "relu", "reshape", "linear"]


FLATTENED = {
    "others_read_what_is_flattened": lambda m, x: (x.flatten(1) @ m.dense, x.flatten(1).cos()),
    "rows_are_left": lambda m, x: x.flatten(2) @ m.rows,
    "the_batch_moves": lambda m, x: x.transpose(0, 1).flatten(1) @ m.columns,
    "the_batch_is_flattened": lambda m, x: x.reshape(2, 48) @ m.halves,
}


@pytest.mark.parametrize("name", FLATTENED)
def test_a_permutation_that_more_depends_on_stays(name, bench):
    function = Does(
        lambda m, x: FLATTENED[name](m, convolve(x, m.kernel).cos()),
        kernel=torch.randn(3, 3, 3, 4),
        dense=torch.randn(96, 5),
        rows=torch.randn(16, 5),
        columns=torch.randn(16, 5),
        halves=torch.randn(48, 5),
    )
    assert kinds(graph_of(bench(function, image=(1, 8, 6, 3)))).count("permute") == 2


def test_a_matrix_of_two_products_is_turned_for_the_one_that_needs_it(bench):
    function = Does(
        lambda m, x: (convolve(x, m.kernel).flatten(1) @ m.dense) + (x.exp().flatten(1) @ m.dense),
        kernel=torch.randn(1, 1, 3, 3),
        dense=torch.randn(8 * 6 * 3, 5),
    )
    assert kinds(graph_of(bench(function, image=(1, 8, 6, 3)))).count("linear") == 2


def test_weights_are_those_of_a_linear_layer(made):
    module = made(lambda m, x: x @ m.w, (2, 6))
    assert tuple(module.get_buffer(only(module, "linear").args[1].target).shape) == (4, 6)
