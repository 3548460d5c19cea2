"""What cannot be converted is named with its module and its line, and with a way round."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edgepack.errors import ModelError
from edgepack.spec import Signature, TensorSpec
from edgepack.targets._torch.model import Program
from edgepack.targets.tflite.torch_convert import convert
from edgepack.targets.tflite.torch_errors import not_lowered


class Inner(nn.Module):
    """Computes what it is made with."""

    def __init__(self, compute):
        super().__init__()
        self.compute = compute

    def forward(self, x):
        return self.compute(x)


class Network(nn.Module):
    def __init__(self, compute):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.inner = Inner(compute)

    def forward(self, x):
        return (self.inner(self.conv(x)),)


def refusal(compute):
    """The error for a network with this in its module ``inner``."""
    root = nn.Module()
    root.network = Network(compute)
    graph = torch.fx.Graph()
    graph.output(graph.call_module("network", (graph.placeholder("x"),)))
    module = torch.fx.GraphModule(root, graph).eval().requires_grad_(False)
    signature = Signature((TensorSpec("x", (1, 3, 4, 4), "float32"),), (TensorSpec("y", (1,), "float32"),))
    with pytest.raises(ModelError) as caught:
        convert(Program(module, signature, (torch.rand(1, 3, 4, 4),)))
    assert caught.value.hint
    return caught.value.message


def test_an_op_that_tflite_lacks():
    message = refusal(lambda x: torch.linalg.eigh(x[0, 0])[0])
    assert message.startswith(
        "TensorFlow Lite has no op for aten._linalg_eigh, used in 'inner' at test_torch_errors.py:"
    )


def test_a_spectrum():
    message = refusal(lambda x: torch.fft.fft2(x).abs())
    assert message.startswith(
        "TensorFlow Lite has no ops on complex numbers: aten.fft_fft2 gives complex64 in 'inner' at test_torch_errors.py:"
    )


def test_control_flow_on_values():
    def branch(x):
        if x.sum() > 0:
            return x
        return -x

    message = refusal(branch)
    assert "decides by the values of a tensor" in message
    assert "in the module 'inner' (Inner), test_torch_errors.py line" in message
    assert message.endswith("if x.sum() > 0:.")


def test_a_size_that_depends_on_values():
    message = refusal(lambda x: x[x > 0])
    assert "aten.index" in message
    assert "'inner'" in message


def test_leaving_pytorch_on_the_way():
    message = refusal(lambda x: torch.from_numpy(x.numpy() * 2))
    assert message.startswith("torch.export refused the model: .numpy() is not supported")
    assert "in the module 'inner' (Inner), test_torch_errors.py line" in message


def test_an_op_of_ones_own():
    @torch.library.custom_op("edgepack_tests::own", mutates_args=())
    def own(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    own.register_fake(torch.empty_like)
    assert "edgepack_tests.own, used in 'inner'" in refusal(own)


@pytest.mark.parametrize("file", [__file__, torch.nn.__file__])
def test_what_only_the_converters_passes_refuse(file):
    said = f"{file}:1:0: error: failed to legalize operation 'mhlo.convolution': %160 = many pages"
    message = not_lowered(RuntimeError(f"Failed to run converter passes: {said}")).message
    where = f" at {Path(file).name}:1" if file == __file__ else ""  # a line of PyTorch's own is no place
    assert message.startswith(f"The converter refused the model{where}")
    assert "failed to legalize operation 'mhlo.convolution'" in message
    assert "pages" not in message
    assert "__init__.py" not in message


def test_complex_weights():
    weight = torch.ones(3, 1, 1, dtype=torch.complex64)
    message = refusal(lambda x: (x * weight).abs())
    assert "0x" not in message  # no address
    assert "complex64" in message


def test_torchscript_inside_of_a_module():
    message = refusal(torch.jit.script(nn.Conv2d(3, 3, 1)))
    assert "'inner.compute' is TorchScript inside of a PyTorch module" in message
