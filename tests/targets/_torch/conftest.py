"""PyTorch sources as models, and what every target does with a program first: trace it, export it."""

import pytest
import torch

from edgepack.model import LoadRequest
from edgepack.spec import TensorSpec
from edgepack.targets._torch import framework


class TorchBench:
    """Sources as Models; ``name=array shape`` or ``name=(shape, dtype)`` tells what the first sample has."""

    def adopt(self, made, *, wrap=None, shapes=None, **samples):
        """The Model in what a factory returned."""
        return framework.adopt(made, self._request(None, wrap, shapes, samples))

    def load(self, path, *, wrap=None, shapes=None, **samples):
        """The Model in a file."""
        return framework.load(self._request(path, wrap, shapes, samples))

    @staticmethod
    def _request(path, wrap, shapes, samples):
        specs = tuple(
            TensorSpec(name, *(told if isinstance(told[-1], str) else (told, "float32")))
            for name, told in samples.items()
        )
        given = {"wrap": wrap} if wrap else {}
        return LoadRequest("model", path, sample_specs=specs, shapes=shapes or {}, **given)

    @staticmethod
    def ways(model):
        """What its program answers to its example: as it is, traced, exported, and traced by FX where that can."""
        program = model.form("torch")

        def fed():
            return tuple(each.clone() for each in program.example)

        with torch.no_grad():
            yield program.module(*fed())
            yield torch.jit.trace(program.module, fed())(*fed())
            yield torch.export.export(program.module, fed()).module()(*fed())


@pytest.fixture
def bench():
    torch.manual_seed(7)
    return TorchBench()
