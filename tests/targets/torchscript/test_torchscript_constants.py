"""What depends on no input is computed once, and every constant is held once."""

import torch
from torch import nn
from torchscript_graphs import Does, graph_of, kinds, only

from edgepack.targets.torchscript.constants import SMALL


def held(module):
    return {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}


def test_what_is_computed_of_constants_alone_is_one(bench):
    function = Does(
        lambda m, x: x.exp() @ (m.left @ m.right).t().cos(), left=torch.randn(5, 3), right=torch.randn(3, 4)
    )
    assert kinds(graph_of(bench(function, x=(2, 4)))) == ["exp", "linear"]


def test_ranges_and_tables_of_no_input_are_constants(bench):
    function = Does(lambda m, x: x.exp() * torch.arange(4).float().sin() + torch.eye(4)[:1])
    assert not {"arange", "eye", "sin", "slice"} & set(kinds(graph_of(bench(function, x=(2, 3, 4)))))


def test_the_places_of_a_grid_are_constants(bench):
    def boxes(m, x):
        rows, columns = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
        low, high = torch.stack([rows, columns], -1).float().chunk(2, -1)
        return x.exp() + low * high

    assert kinds(graph_of(bench(Does(boxes), x=(1, 3, 4, 1)))) == ["exp", "add"]


def test_a_table_that_is_cheaper_computed_than_stored_is_computed(bench):
    rows = SMALL // 4
    function = Does(
        lambda m, x: torch.atan2(x, m.row.cos().expand(rows, 2).exp().flip(0)), row=torch.randn(1, 2)
    )
    module = graph_of(bench(function, x=(rows, 2)))
    assert "exp" in kinds(module)
    assert "cos" not in kinds(module)


def test_random_numbers_are_none(bench):
    class Noise(nn.Module):
        def forward(self, x):
            return torch.zeros_like(torch.rand(3)) * x.exp()[:, :3], torch.rand(2, 3).sign()

    assert "rand" in kinds(graph_of(bench(Noise(), x=(2, 4))))


def test_what_an_input_has_part_in_is_none(bench):
    module = graph_of(
        bench(Does(lambda m, x: torch.cat([m.table, x.exp()]), table=torch.randn(2, 3)), x=(1, 3))
    )
    assert kinds(module) == ["exp", "cat"]


def test_the_same_constant_is_held_once(bench):
    same = torch.randn(4, 4)
    function = Does(lambda m, x: (x @ m.one).exp() @ m.other, one=same, other=same.clone())
    assert len(held(graph_of(bench(function, x=(1, 4))))) == 1


def test_the_same_numbers_in_another_shape_are_another_constant(bench):
    same = torch.randn(2, 8)
    function = Does(lambda m, x: (x.exp() @ m.one) @ m.other, one=same, other=same.clone().reshape(8, 2))
    assert len(held(graph_of(bench(function, x=(1, 2))))) == 2


def test_a_constant_out_of_order_is_held_in_order_and_takes_no_more_than_it_needs(bench):
    table = torch.randn(50, 6)
    module = graph_of(bench(Does(lambda m, x: torch.atan2(x, m.table.t()[:, 3:7]), table=table), x=(6, 4)))
    found = module.get_buffer(only(module, "atan2").args[1].target)
    assert found.is_contiguous()
    assert found.untyped_storage().nbytes() == 4 * found.numel()


def test_views_of_one_tensor_that_are_all_needed_share_it(bench):
    function = Does(
        lambda m, x: torch.atan2(torch.atan2(x, m.table), m.table.t()), table=torch.randn(300, 300)
    )
    module = graph_of(bench(function, x=(300, 300)))
    pointers = {module.get_buffer(name).untyped_storage().data_ptr() for name in held(module)}
    assert len(pointers) == 1
