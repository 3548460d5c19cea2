"""Static int8 in qnnpack: each kernel against a float simulation of the same scheme, and the choices around them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgepack.spec import Precision
from edgepack.targets.torchscript import lowering as lowering_module
from edgepack.targets.torchscript.kernels import FIXED
from edgepack.targets.torchscript.lowering import lower
from edgepack.targets.torchscript.ranges import quantization
from edgepack.targets.torchscript.target import target


class After(nn.Module):
    """An op on what a convolution gives, twice where it takes two inputs."""

    def __init__(self, op, two=False):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)
        self.op, self.two = op, two

    def forward(self, x):
        return self.op(self.conv(x), self.other(x)) if self.two else self.op(self.conv(x))


UNARY = {
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "elu": F.elu,
    "silu": F.silu,
    "max_pool": lambda x: F.max_pool2d(x, 3, 2, 1),
    "uneven_pad": lambda x: F.pad(x, (0, 1, 0, 1)),
    "upsample": lambda x: F.interpolate(x, scale_factor=2.0),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "flatten_of_permute": lambda x: x.permute(0, 2, 3, 1).flatten(1),
    "slice": lambda x: x[:, 2:5],
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "relu": F.relu,
    "relu6": F.relu6,
    "clamp": lambda x: x.clamp(-0.2, 0.3),
}
BINARY = {
    "add": torch.add,
    "mul": torch.mul,
    "cat": lambda x, y: torch.cat([x, y], 1),
    "add_relu6": lambda x, y: F.relu6(x + y),
    "mul_broadcast": lambda x, y: x * y[:, :, :1, :1],
}


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_a_kernel_answers_what_the_scheme_says(name, bench):
    """Not further from its float self than rounding its inputs and its output to 8 bit takes it, and all of it int8."""
    two = name in BINARY
    made = bench(After(BINARY[name] if two else UNARY[name], two), image=(1, 3, 8, 8))
    artifact = made.emit(Precision.INT8)
    assert target.audit(artifact).ops_by_precision.keys() == {"convert", "int8"}
    assert made.worst_db(artifact) > 30


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Conv2d(8, 16, 3, padding=1), (1, 8, 10, 10)),
        (nn.Conv2d(8, 16, 3, stride=2, dilation=2, bias=False), (1, 8, 12, 12)),
        (nn.Conv2d(8, 8, 5, padding=2, groups=8), (1, 8, 10, 10)),
        (nn.Conv2d(8, 16, 1, groups=4), (1, 8, 10, 10)),
        (nn.Conv1d(8, 16, 5, padding=2), (1, 8, 30)),
        (nn.Linear(20, 16), (1, 20)),
        (nn.Linear(20, 16), (1, 5, 20)),
    ],
)
def test_layers_with_weights_stay_within_a_step_of_the_simulation(network, shape, bench):
    made = bench(network, x=shape)
    artifact = made.emit(Precision.INT8)
    answers = torch.cat([torch.from_numpy(made.original(s)["output_0"]).flatten() for s in made.calibration])
    scale = quantization((float(answers.min()), float(answers.max()))).scale
    inputs = torch.cat([torch.from_numpy(sample["x"]).flatten() for sample in made.calibration])
    own = quantization((float(inputs.min()), float(inputs.max())))
    peaks = network.weight.abs().flatten(1).amax(1).reshape(-1, *[1] * (network.weight.dim() - 1))
    with torch.no_grad():
        network.weight.copy_((network.weight / (peaks / 127)).round() * (peaks / 127))
    runner = target.open(artifact)
    for sample in made.held_back:
        x = torch.fake_quantize_per_tensor_affine(
            torch.from_numpy(sample["x"]), own.scale, own.zero_point, 0, 255
        )
        expected = network(x).clamp(float(answers.min()), float(answers.max()))
        found = torch.from_numpy(runner(sample)["output_0"])
        assert float((found - expected).abs().max()) < 1.1 * scale


def test_relu6_is_the_range_of_the_layer_before_it(bench):
    """qnnpack's own answers wrong values: it is not in the file."""
    network = nn.Sequential(nn.Conv2d(3, 16, 1), nn.Dropout(), nn.Identity(), nn.ReLU6())
    network[0].weight.data *= 8
    made = bench(network, image=(1, 3, 8, 8))
    artifact = made.emit(Precision.INT8)
    assert [op.kind for op in target.audit(artifact).ops if op.precision == "int8"] == ["quantized::conv2d"]
    assert made.worst_db(artifact) > 30


def test_an_average_computes_in_float_with_a_scale_of_its_own(bench):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    made = bench(network, image=(1, 3, 16, 16))
    artifact = made.emit(Precision.INT8)
    assert {op.name: op.precision for op in target.audit(artifact).ops if "quantize" not in op.name} == {
        "0": "int8",
        "1": "float32",
        "2": "float32",
        "3": "int8",
    }
    assert made.worst_db(artifact) > 30


def test_the_normalisation_of_the_input_stays_float(bench):
    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, x):
            return self.conv((x.permute(0, 3, 1, 2) - 0.45) / 0.22)

    made = bench(Normalised(), image=(1, 8, 8, 3))
    ops = {op.name: op.precision for op in target.audit(made.emit(Precision.INT8)).ops}
    assert {name for name, precision in ops.items() if precision == "float32"} == {"permute", "sub", "div"}


def test_scales_are_taken_after_the_activation(bench):
    """Before it, one in a thousand values is large and negative, and would take nearly all 256 steps."""
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU())
    network[0].weight.data.fill_(-1.0)
    network[0].bias.data.fill_(0.2)
    made = bench(network, image=(1, 1, 8, 8))
    for sample in made.calibration:
        sample["image"].clip(-0.5, 0.5, out=sample["image"])
        sample["image"][0, 0, 0, 0] = 40.0
    for sample in made.held_back:
        sample["image"].clip(-0.5, 0.5, out=sample["image"])
    lowering = made.lower()
    ranges = lowering._ranges
    clamped = next(range_ for name, range_ in ranges.items() if name.startswith("relu"))
    assert clamped == pytest.approx((0.0, 0.7), abs=1e-3)


def test_the_precision_of_every_op_is_as_planned(bench):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 4)
    )
    made = bench(network, image=(1, 3, 8, 8))
    ops = {"2": Precision.FLOAT32, "4": Precision.INT8_DYNAMIC, "3": Precision.FLOAT32}
    artifact = made.emit(Precision.INT8, ops=ops)
    found = {op.name: op.precision for op in target.audit(artifact).ops if "quantize" not in op.name}
    assert found == {"0": "int8", "2": "float32", "3": "float32", "4": "int8_dynamic"}
    assert made.worst_db(artifact) > 30


def test_two_lowerings_give_the_same_bytes(bench):
    made = bench(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), image=(1, 3, 8, 8))
    one, other = (made.emit(Precision.INT8, made.lower()).main.read_bytes() for _ in range(2))
    assert one == other


def test_it_calibrates_once_and_only_for_static_plans(bench, monkeypatch):
    made = bench(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 4)), image=(1, 3, 8, 8))
    seen = []
    calibrate = lowering_module.calibrate
    monkeypatch.setattr(lowering_module, "calibrate", lambda *args: seen.append(1) or calibrate(*args))
    lowering = lower(made.program, made.calibration)
    made.emit(Precision.FLOAT32, lowering)
    made.emit(Precision.INT8_DYNAMIC, lowering)
    assert seen == []
    made.emit(Precision.INT8, lowering)
    made.emit(Precision.INT8, lowering)
    assert seen == [1]


def test_kernels_with_a_scale_of_their_own_write_it(bench):
    for op, name in ((torch.sigmoid, "aten::sigmoid"), (torch.tanh, "aten::tanh")):
        x = torch.quantize_per_tensor(torch.linspace(-4, 4, 20), 0.05, 100, torch.quint8)
        made = op(x)
        assert (made.q_scale(), made.q_zero_point()) == (FIXED[name].scale, FIXED[name].zero_point)
