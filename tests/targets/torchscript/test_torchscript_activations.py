"""Activations that a source writes as arithmetic are the ops that they are, and nothing else is."""

import math

import pytest
import torch
from torch.nn import functional as F
from torchscript_graphs import Does, graph_of, kinds, only

ZERO, SIX = torch.tensor(0.0), torch.full((1,), 6.0)


@pytest.fixture
def made(bench):
    def make(function, shape=(2, 4, 5)):
        return graph_of(bench(Does(function, zero=ZERO, six=SIX, table=torch.randn(5)), x=shape))

    return make


RELUS = {
    "maximum": lambda m, x: torch.maximum(x, m.zero),
    "maximum_of_a_constant_and_it": lambda m, x: torch.maximum(m.zero, x),
    "clamp": lambda m, x: x.clamp(min=0),
    "clamp_min": lambda m, x: torch.clamp_min(x, 0.0),
    "clamp_by_a_tensor": lambda m, x: torch.clamp(x, min=m.zero),
    "twice": lambda m, x: torch.relu(torch.relu(x)),
    "of_a_lower_limit": lambda m, x: torch.relu(x.clamp(min=-1)),
}


@pytest.mark.parametrize("name", RELUS)
def test_a_limit_from_zero_up_is_a_relu(name, made):
    assert kinds(made(RELUS[name])) == ["relu"]


CLAMPS = {
    "minimum_of_maximum": (lambda m, x: torch.minimum(torch.maximum(x, m.zero), m.six), 0, 6),
    "minimum_of_relu": (lambda m, x: torch.minimum(m.six, torch.relu(x)), 0, 6),
    "clip": (lambda m, x: torch.clip(x, -0.5, 0.25), -0.5, 0.25),
    "one_in_another": (lambda m, x: x.clamp(-0.5, 0.5).clamp(-0.25, 1), -0.25, 0.5),
    "apart": (lambda m, x: x.clamp(-0.5, -0.25).clamp(0.25, 1), 0.25, 0.25),
    "high_below_low": (lambda m, x: x.clamp(0.5, -0.5) + 0, -0.5, -0.5),
    "relu6_of_a_clamp": (lambda m, x: F.relu6(x.clamp(-1, 0.5)), 0, 0.5),
}


@pytest.mark.parametrize("name", CLAMPS)
def test_limits_one_after_another_are_one_clamp(name, made):
    function, low, high = CLAMPS[name]
    module = made(function)
    assert kinds(module) == ["hardtanh"]
    found = only(module, "hardtanh").args[1:]
    assert tuple(min(max(edge, low), high) for edge in found) == (low, high)
    assert found[1] == high


def test_a_limit_on_one_side_is_a_clamp(made):
    assert only(made(lambda m, x: torch.minimum(x, m.six / 12)), "clamp").args[1:] == (None, 0.5)
    assert only(made(lambda m, x: torch.maximum(x, m.six / 12)), "clamp").args[1:] == (0.5, None)


def test_no_limit_is_nothing(made):
    assert kinds(made(lambda m, x: torch.maximum(x.exp(), m.zero - math.inf).cos())) == ["exp", "cos"]


UNLIMITED = {
    "two_values": (lambda m, x: torch.maximum(x, x.exp() - 2), "maximum"),
    "a_table": (lambda m, x: torch.minimum(x, m.table), "minimum"),
    "a_clamp_by_a_table": (lambda m, x: torch.clamp(x, min=m.table), "clamp"),
    "a_number_that_is_widened": (lambda m, x: torch.maximum(x[..., :1], m.zero.expand(5)), "maximum"),
    "integers": (lambda m, x: (x * 9).int().clamp(0, 3).float(), "clamp"),
}


@pytest.mark.parametrize("name", UNLIMITED)
def test_other_limits_stay(name, made):
    function, op = UNLIMITED[name]
    found = kinds(made(function))
    assert op in found
    assert not {"relu", "hardtanh"} & set(found)


def test_a_limit_that_others_read_stays(made):
    def both(m, x):
        y = torch.relu(x)
        return y.exp(), y.clamp(max=6)

    assert sorted(kinds(made(both))) == ["clamp", "exp", "relu"]


HARD_SIGMOIDS = {
    "quotient": lambda x: F.relu6(x + 3) / 6,
    "product": lambda x: F.relu6(x + 3) * (1 / 6),
    "number_first": lambda x: (1 / 6) * torch.clamp(3 + x, 0, 6),
    "minimum": lambda x: torch.minimum(torch.relu(x + 3), torch.tensor(6.0)) / 6,
}


@pytest.mark.parametrize("name", HARD_SIGMOIDS)
def test_a_hard_sigmoid_in_every_spelling(name, made):
    assert kinds(made(lambda m, x: HARD_SIGMOIDS[name](x * x))) == ["mul", "hardsigmoid"]


HARD_SWISHES = {
    "gated": lambda x: x * (F.relu6(x + 3) / 6),
    "gate_first": lambda x: F.relu6(x + 3) * (1 / 6) * x,
    "product_then_sixth": lambda x: x * F.relu6(x + 3) / 6,
    "by_name": lambda x: x * F.hardsigmoid(x),
}


@pytest.mark.parametrize("name", HARD_SWISHES)
def test_that_times_its_input_is_a_hard_swish(name, made):
    assert kinds(made(lambda m, x: HARD_SWISHES[name](x.exp()))) == ["exp", "hardswish"]


LOOKALIKES = {
    "other_shift": lambda x: F.relu6(x + 2) / 6,
    "other_divisor": lambda x: F.relu6(x + 3) / 5,
    "other_limit": lambda x: F.hardtanh(x + 3, 0, 5) / 6,
    "divided_by_it": lambda x: 6 / (F.relu6(x + 3) + 1),
    "inverse": lambda x: torch.tensor(6.0) / F.relu6(x + 3.5),
    "difference": lambda x: F.relu6(x - 3) / 6,
    "alpha": lambda x: F.relu6(torch.add(x, torch.tensor(3.0), alpha=2)) / 6,
    "alpha_of_it": lambda x: F.relu6(torch.add(torch.tensor(3.0), x, alpha=2)) / 6,
    "rounding": lambda x: torch.div(F.relu6(x * 9 + 3), 6, rounding_mode="floor") + x,
    "other_gate": lambda x: x * F.hardsigmoid(x + 1),
    "quotient_of_two": lambda x: x.exp() / (F.hardsigmoid(x) + 1),
}


@pytest.mark.parametrize("name", LOOKALIKES)
def test_what_only_looks_like_one_stays(name, made):
    found = kinds(made(lambda m, x: LOOKALIKES[name](x)))
    assert "hardswish" not in found
    assert "hardsigmoid" not in found or name in ("other_gate", "quotient_of_two")


def test_a_gate_that_others_read_stays_a_gate(made):
    def both(m, x):
        gate = F.relu6(x + 3) / 6
        return x * gate, gate

    assert kinds(made(both)) == ["hardsigmoid", "mul"]


def test_a_sum_that_others_read_stays_a_sum(made):
    def both(m, x):
        y = x + 3
        return F.relu6(y) / 6, y

    assert "hardsigmoid" not in kinds(made(both))
