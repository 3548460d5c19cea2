"""Modules that cannot be built: what is wrong, in which module, at which line of the user's file."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgepack.errors import ModelError

LIBRARY = torch.library.Library("edgepack_test", "DEF")
LIBRARY.define("twice(Tensor x) -> Tensor")
LIBRARY.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")


class Inner(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body
        self.fc = nn.Linear(3, 3)
        self.register_buffer("state", torch.zeros(3))

    def forward(self, x):
        return self.body(self, self.fc(x))


class Outer(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.blocks = nn.Sequential(nn.ReLU(), Inner(body))

    def forward(self, x):
        return self.blocks(x)


def branches(module, x):
    if x.sum() > 0:  # the branch
        return x
    return -x


def loops(module, x):
    for _ in range(int(x.sum().abs()) + 1):  # the loop
        x = x * 2
    return x


def scales(module, x):
    return x * x.max().item()  # the item


def checks(module, x):
    assert torch.all(x > -99), "never"  # the check
    return x


def leaves(module, x):
    return torch.from_numpy(x.detach().numpy() * 2)  # the array


def lists(module, x):
    return torch.tensor(x.tolist())  # the list


def calls(module, x):
    return torch.ops.edgepack_test.twice(x)  # the operator


def conditional(module, x):
    return torch.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, (x,))  # the cond


def drops(module, x):
    return F.dropout(x, training=True)  # the dropout


def noise(module, x):
    return x + torch.randn_like(x)  # the noise


def elsewhere(module, x):
    return x + torch.zeros(3, device="cuda")  # the device


def other_type(module, x):
    return x.double() @ module.fc.weight  # the type


CASES = [
    (branches, "decides by the values of a tensor: bool()", "# the branch"),
    (loops, "decides by the values of a tensor: int()", "# the loop"),
    (scales, "decides by the values of a tensor: .item()", "# the item"),
    (checks, "decides by the values of a tensor: bool()", "# the check"),
    (leaves, "leaves PyTorch in the middle (NumPy, a list): .numpy()", "# the array"),
    (lists, "leaves PyTorch in the middle (NumPy, a list): .tolist()", "# the list"),
    (calls, "an operator of its own that no edge runtime has: edgepack_test.twice", "# the operator"),
    (conditional, "an operator that takes functions, which no edge runtime has: cond", "# the cond"),
    (drops, "The answers differ between two runs on the same input", "# the dropout"),
    (noise, "The answers differ between two runs on the same input", "# the noise"),
    (elsewhere, "cannot compute with x: float32[1x3]. ", "# the device"),
    (other_type, "cannot compute with x: float32[1x3]. RuntimeError", "# the type"),
]


@pytest.mark.parametrize(("body", "message", "line"), CASES, ids=[case[0].__name__ for case in CASES])
def test_it_is_named_with_its_module_and_its_line(bench, body, message, line):
    with pytest.raises(ModelError) as caught:
        bench.adopt(Outer(body), x=(3,))
    assert message in caught.value.message
    assert "in the module 'blocks.1' (Inner), test_torch_refusals.py line" in caught.value.message
    assert line in caught.value.message
    assert caught.value.hint
    assert "/" not in caught.value.message


def test_an_error_inside_torchs_own_module_names_that_and_the_line_that_calls_it(bench):
    with pytest.raises(ModelError, match=r"mat1 and mat2.*'blocks.1.fc' \(Linear\).*self.fc\(x\)"):
        bench.adopt(Outer(drops), x=(4,))


def test_a_module_made_of_torchs_own_alone_has_no_line_to_name(bench):
    with pytest.raises(ModelError, match=r"This is in the module '1' \(Linear\)\.$"):
        bench.adopt(nn.Sequential(nn.ReLU(), nn.Linear(3, 3)), input=(4,))


def test_conditions_on_what_does_not_depend_on_the_input_are_fine(bench):
    def constant(module, x):
        if module.fc.weight.sum() > 99 or bool(torch.tensor(1.0) > 2) or x.shape[0] > 5:
            return x
        return x * 2

    assert bench.adopt(Outer(constant), x=(3,)).signature.outputs[0].shape == (1, 3)


def test_an_op_that_checks_its_input_by_itself_is_no_condition(bench):
    model = bench.adopt(Outer(lambda module, x: F.one_hot((x > 0).long(), 2).float()), x=(3,))
    assert model.signature.outputs[0].shape == (1, 3, 2)


def test_a_value_written_through_a_view_still_depends_on_the_input(bench):
    def writes(module, x):
        canvas = torch.zeros(2, 3)
        canvas[0] = x[0]
        return x if canvas.sum() > 0 else -x

    with pytest.raises(ModelError, match="decides by the values"):
        bench.adopt(Outer(writes), x=(3,))


@pytest.mark.parametrize("way", ["in place", "anew"])
def test_a_buffer_that_a_call_writes_into_is_state(bench, way):
    def counts(module, x):
        if way == "in place":
            module.state += 1
        else:
            module.state = module.state + 1
        return x

    with pytest.raises(ModelError, match="keeps state between calls, in 'blocks.1.state'"):
        bench.adopt(Outer(counts), x=(3,))


def test_a_buffer_that_the_first_call_fills_is_a_cache(bench):
    class Cached(nn.Module):
        def forward(self, x):
            if not hasattr(self, "positions"):
                self.register_buffer("positions", torch.arange(3.0))
            return x + self.positions

    assert bench.adopt(Cached(), x=(3,)).signature.outputs[0].shape == (1, 3)


def test_state_in_an_attribute_shows_by_its_answers(bench):
    def remembers(module, x):
        module.last = x + getattr(module, "last", 0)
        return module.last

    with pytest.raises(ModelError, match="The answers differ between two runs"):
        bench.adopt(Outer(remembers), x=(3,))


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (lambda: nn.Linear(2, 2, device="meta"), "'weight' has no values yet .on the meta device"),
        (lambda: nn.LazyLinear(2), "'weight' has no values yet .lazy"),
    ],
)
def test_weights_without_values_are_refused(bench, made, what):
    with pytest.raises(ModelError, match=what):
        bench.adopt(made(), input=(2,))


def test_a_quantized_module_is_refused(bench):
    made = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 3)), {nn.Linear})
    with pytest.raises(ModelError, match="The module '0' is quantized already") as caught:
        bench.adopt(made, input=(3,))
    assert "edgepack quantizes it" in caught.value.hint


@pytest.mark.parametrize("made", [nn.ModuleList, nn.Module])
def test_a_module_without_a_forward(bench, made):
    with pytest.raises(ModelError, match="has no forward"):
        bench.adopt(made(), x=(3,))


def test_a_function_is_no_module(bench):
    with pytest.raises(ModelError, match="returned a torch.*ScriptFunction"):
        bench.adopt(torch.jit.script(plain), x=(3,))


def plain(x: torch.Tensor) -> torch.Tensor:
    return x


@pytest.mark.parametrize(
    ("dtype", "word"), [(torch.float64, "float64"), (torch.float16, "float16"), (torch.bfloat16, "bfloat16")]
)
def test_other_floats_become_float32_and_that_is_said(bench, dtype, word):
    model = bench.adopt(nn.Linear(3, 2).to(dtype), input=(3,))
    assert f"Weights that are {word} are cast to float32: 'weight', 'bias'." in model.notes
    assert model.signature.outputs[0].dtype == "float32"


def test_wide_complex_weights_become_complex64_and_that_is_said(bench):
    class Spectral(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, dtype=torch.complex128))

        def forward(self, x):
            return torch.fft.irfft(torch.fft.rfft(x) * self.weight, n=4)

    model = bench.adopt(Spectral(), x=(4,))
    assert "Weights that are complex128 are cast to complex64: 'weight'." in model.notes


def test_train_mode_is_switched_off_and_what_that_changes_is_named(bench):
    class Custom(nn.Module):
        def forward(self, x):
            return x * 2 if self.training else x

    made = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.ReLU(), Custom())
    (note,) = bench.adopt(made, input=(3,)).notes
    assert "'1' (BatchNorm1d), '2' (Dropout), '4' (Custom)" in note
    assert bench.adopt(made.eval(), input=(3,)).notes == ()
    assert bench.adopt(nn.Linear(3, 3), input=(3,)).notes == ()


def test_a_module_that_refuses_eval_is_switched_all_the_same(bench):
    class Stubborn(nn.Dropout):
        def train(self, mode=True):
            return super().train(True)

    network = bench.adopt(nn.Sequential(Stubborn()), input=(3,)).form("torch").module.network
    assert not network[0].training
