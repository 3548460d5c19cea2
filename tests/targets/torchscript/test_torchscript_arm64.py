"""A .ptl in PyTorch's lite interpreter, through the driver: on this machine's own PyTorch, and on an emulated board's."""

import sys

import numpy as np
import pytest
import torch
from on_device import bundle_of, install, play

from edgepack import registry
from edgepack.devices.child import Command
from edgepack.devices.wire import driven, python_environment
from edgepack.errors import ModelError
from edgepack.spec import Precision
from edgepack.targets.torchscript.target import target

DRIVER = registry.target("torchscript").drivers["arm64"].program


class Two(torch.nn.Module):
    """Two inputs; a float output and one of int64."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3)
        self.second = torch.nn.Conv2d(8, 8, 3, groups=8, padding=1)
        self.last = torch.nn.Linear(8 + 4, 5)

    def forward(self, image, extra):
        x = torch.relu(self.first(image))
        x = torch.nn.functional.relu6(self.second(x)) + x
        y = self.last(torch.cat([x.mean((2, 3)), extra], 1))
        return torch.softmax(y, 1), y.argmax(1)


@pytest.fixture
def two(bench):
    return bench(Two(), image=(1, 3, 12, 12), extra=(1, 4))


def here(artifact, signature):
    """The driver on this machine's Python and PyTorch."""
    packages = [path for path in sys.path if path]  # where PyTorch lies, whatever the environment
    command = Command((sys.executable, str(DRIVER), str(artifact.main)), python_environment(*packages))
    return driven(command, bundle_of(artifact, signature, "torchscript").manifest)


def agree(answers, runner, samples, **within):
    for sample, answer in zip(samples, answers, strict=True):
        expected = runner(sample)
        assert list(answer) == list(expected)
        for name, array in expected.items():
            assert answer[name].dtype == array.dtype
            np.testing.assert_allclose(answer[name], array, **within)


@pytest.mark.parametrize("precision", registry.target("torchscript").precisions)
def test_the_driver_answers_as_pytorch_here_does(two, precision):
    artifact = two.emit(precision)
    runner = target.open(artifact)
    with here(artifact, runner.signature) as driver:
        answers = [driver(sample) for sample in two.held_back]
        assert driver.facts["runtime"].startswith("PyTorch ")
    agree(answers, runner, two.held_back, rtol=0, atol=1e-6)


def test_a_file_that_does_not_say_what_its_inputs_are_is_refused(two, tmp_path):
    artifact = two.emit(Precision.FLOAT32)
    signature = target.open(artifact).signature
    scripted = torch.jit.script(torch.nn.Identity())
    scripted._save_for_lite_interpreter(str(artifact.main))
    with pytest.raises(ModelError) as caught, here(artifact, signature):
        pass
    assert "does not say what its inputs are" in caught.value.message
    assert caught.value.hint == "Build the bundle again with edgepack."


def test_what_is_no_ptl_is_refused(two):
    artifact = two.emit(Precision.FLOAT32)
    signature = target.open(artifact).signature
    artifact.main.write_bytes(artifact.main.read_bytes()[:-2000])
    with pytest.raises(ModelError), here(artifact, signature):
        pass


def test_a_raspberry_pi_answers_as_this_machine_does(two):
    install("raspberry-pi-4", "torchscript")
    artifact = two.emit(Precision.INT8)
    runner = target.open(artifact)
    answers, facts = play("raspberry-pi-4", artifact, runner, two.held_back, "torchscript")
    assert facts == {"runtime": "PyTorch 2.9.1"}
    agree(answers, runner, two.held_back, rtol=0, atol=1e-6)
