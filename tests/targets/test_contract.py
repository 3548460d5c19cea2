"""What every target owes the pipeline, held against each one that the registry finds, with one small model."""

from dataclasses import replace

import pytest
import torch

from edgepack import parity, registry
from edgepack.model import LoadRequest
from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision, TensorSpec
from edgepack.target import Plan
from edgepack.targets._torch import framework as torch_framework

TARGETS = [name for name, info in registry.targets().items() if info.module.startswith("edgepack.targets.")]
CASES = [(name, precision) for name in TARGETS for precision in registry.target(name).precisions]


@pytest.fixture
def samples(draw):
    return draw(16, image=(8, 8, 3))


class Network(torch.nn.Module):
    """As small_cnn, but with a channel order of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.second = torch.nn.Conv2d(8, 8, 3, stride=2)
        self.classes = torch.nn.Linear(72, 4)

    def forward(self, image):
        x = torch.relu(self.first(image.permute(0, 3, 1, 2)))
        x = torch.relu(self.second(x)).flatten(1)
        return {"classes": torch.softmax(4 * self.classes(x), -1)}


@pytest.fixture
def model(bench, small_cnn, name):
    """In a form that the target takes."""
    if "tf" in registry.target(name).forms:
        return bench.adopt(small_cnn)
    specs = (TensorSpec("image", (1, 8, 8, 3), "float32"),)
    return torch_framework.adopt(Network(), LoadRequest("model", sample_specs=specs))


def closed(spec: TensorSpec) -> TensorSpec:
    """A target may keep the batch open; a runner then answers one sample at a time."""
    return replace(spec, shape=tuple(size or 1 for size in spec.shape))


@pytest.mark.parametrize("name", TARGETS)
def test_it_says_what_it_is_without_a_framework_and_is_it(name):
    info = registry.target(name)
    target = registry.load_target(info)
    assert target.name == name
    assert info.summary
    for tool in target.tools():
        assert tool.name


@pytest.mark.parametrize("name", TARGETS)
def test_ops_have_unique_names_and_reasons_for_what_they_cannot(name, model, samples, tmp_path):
    lowering = registry.load_target(registry.target(name)).lower(model, samples, tmp_path)
    names = [op.name for op in lowering.ops]
    assert names
    assert len(set(names)) == len(names)
    for op in lowering.ops:
        assert Precision.FLOAT32 in op.precisions
        offered = set(registry.target(name).precisions)
        assert set(op.limits) & offered == offered - op.precisions
        assert all(op.limits.values())
        assert op.weight_bytes >= 0


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_from_the_model_to_a_runner_that_meets_the_gate(name, precision, model, samples, tmp_path):
    target = registry.load_target(registry.target(name))
    lowering = target.lower(model, samples, tmp_path)
    plan = uniform_plan(lowering, precision, "auto")
    artifacts = []
    for folder in ("once", "again"):
        (tmp_path / folder).mkdir()
        artifacts.append(lowering.emit(plan, tmp_path / folder))
    first, again = artifacts
    assert first.main.is_file()
    assert [(first.folder / f).read_bytes() for f in first.files] == [
        (again.folder / f).read_bytes() for f in again.files
    ]

    runner = target.open(first)
    for ours, theirs in (
        (model.signature.inputs, runner.signature.inputs),
        (model.signature.outputs, runner.signature.outputs),
    ):
        assert [(spec.name, spec.shape) for spec in ours] == [(spec.name, spec.shape) for spec in theirs]
    outputs = parity.measure(runner, samples, [model(sample) for sample in samples])
    assert parity.default_gate(precision).failures(outputs) == []

    audit = target.audit(first)
    for one, other in (
        (audit.signature.inputs, runner.signature.inputs),
        (audit.signature.outputs, runner.signature.outputs),
    ):
        assert [closed(spec) for spec in one] == [closed(spec) for spec in other]
    assert audit.full_int8 == (name == "tflite" and precision == Precision.INT8)
    assert {precision.value, f"{precision}_weights"} & set(audit.ops_by_precision)
    assert {op.name for op in lowering.ops} <= {op.name for op in audit.ops}
    assert set(runner.layers(samples[0])) & {op.name for op in lowering.ops}


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_two_lowerings_of_one_model_give_the_same_bytes(name, precision, model, samples, tmp_path):
    target = registry.load_target(registry.target(name))
    contents = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        artifact = target.lower(model, samples, tmp_path).emit(Plan(precision), folder)
        contents.append([(folder / file).read_bytes() for file in artifact.files])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", TARGETS)
def test_float_inputs_and_outputs_on_request(name, model, samples, tmp_path):
    target = registry.load_target(registry.target(name))
    lowering = target.lower(model, samples, tmp_path)
    (tmp_path / "out").mkdir()
    signature = target.open(lowering.emit(Plan(Precision.INT8, io="float"), tmp_path / "out")).signature
    assert {spec.dtype for spec in (*signature.inputs, *signature.outputs)} == {"float32"}


@pytest.mark.parametrize("name", TARGETS)
def test_its_meter_times_every_call_and_says_what_the_artifact_took(name, model, samples, tmp_path):
    target = registry.load_target(registry.target(name))
    artifact = target.lower(model, samples, tmp_path).emit(Plan(Precision.INT8), _made(tmp_path / "out"))
    meter = target.meter(artifact, target.host_backends[0] if target.host_backends else "", threads=1)
    seconds = meter.time(samples[0], 3)
    assert len(seconds) == 3
    assert min(seconds) > 0
    assert meter.load_seconds > 0
    assert meter.memory.bytes >= 0
    assert meter.threads == 1
    assert meter.runtime


def _made(folder):
    folder.mkdir()
    return folder
