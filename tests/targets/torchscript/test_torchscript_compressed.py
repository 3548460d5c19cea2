"""Zeros and codes, counted in the .ptl: int8 changes none of them. Weights there have a scale a channel, and zero is 0."""

import zipfile

import numpy as np
import pytest
import small_torch

from edgepack.compress import closed_form
from edgepack.compress.closed_form import Amount
from edgepack.compress.sizes import zipped
from edgepack.events import Step
from edgepack.precision.plan import uniform_plan
from edgepack.spec import Precision
from edgepack.targets.torchscript import archive
from edgepack.targets.torchscript.target import target


def stored(artifact):
    """The int8 weights in the file, [out, in] by size."""
    made = archive.read(artifact.main.read_bytes())
    with zipfile.ZipFile(artifact.main) as packed:
        records = {name.partition("/")[2]: name for name in packed.namelist()}
        found = {
            tensor.shape: np.frombuffer(packed.read(records[f"data/{tensor.storage}"]), np.int8)
            for tensor in archive.tensors(made.attributes)
            if tensor.quantized
        }
    return {values.size: values.reshape(shape[0], -1) for shape, values in found.items()}


@pytest.fixture
def shrunk(tmp_path):
    """The artifact of amounts for the layers behind the first, and those layers."""

    def run(amount):
        model = small_torch.wide()
        rng = np.random.default_rng(0)
        shape = model.signature.inputs[0].static_shape
        samples = [{"image": rng.uniform(-1, 1, shape).astype(np.float32)} for _ in range(24)]
        student = model.student()
        chosen = student.layers[1:]
        closed_form.shrink(student, dict.fromkeys(chosen, amount), samples, Step("compress"))
        lowering = target.lower(student.model(), samples, tmp_path)
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        return lowering.emit(uniform_plan(lowering, Precision.INT8, "auto"), out), chosen

    return run


def weights(artifact, layers):
    by_size = stored(artifact)
    return [by_size[layer.shape[0] * layer.shape[1]] for layer in layers]


def test_zeros_stay_zero(shrunk):
    for weight in weights(*shrunk(Amount(0.6))):
        assert (weight == 0).sum() >= round(0.6 * weight.size)


@pytest.mark.parametrize("amount", [Amount(0, 16), Amount(0.5, 16)])
def test_codebooks_survive(shrunk, amount):
    """A negative normalisation turns codes around, so a layer has theirs and those with the other sign."""
    for weight in weights(*shrunk(amount)):
        assert max(len(np.unique(row)) for row in weight) <= 16
        assert len(np.unique(np.abs(weight))) <= 16
        assert (weight == 0).sum() >= round(amount.ratio * weight.size)


def test_few_codes_are_a_smaller_download(shrunk):
    plain, few = (zipped(shrunk(Amount(0, codes))[0]) for codes in (0, 16))
    assert few < 0.75 * plain
