"""Which PyTorch a file needs: read from its bytecode, by what benchmarks/oldest_torch.py found in old releases."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgepack.spec import Precision
from edgepack.targets.torchscript import releases
from edgepack.targets.torchscript.archive import read
from edgepack.targets.torchscript.machine import find_schema
from edgepack.targets.torchscript.releases import Needs
from edgepack.targets.torchscript.target import target
from edgepack.targets.torchscript.writer import listing


def archive_of(artifact):
    return read(artifact.main.read_bytes())


@pytest.fixture
def calling(bench):
    """``calling(("aten::add", "Tensor", 2))``: a file that calls these operators, with so many arguments."""
    archive = archive_of(bench(nn.Linear(8, 8), x=(1, 8)).emit(Precision.FLOAT32))
    return lambda *operators: replace(archive, methods=(replace(archive.forward, operators=operators),))


ATTENTION = "aten::scaled_dot_product_attention"


@pytest.mark.parametrize(
    ("operator", "release"),
    [
        (("aten::linear", "", 3), "1.13.1"),
        ((ATTENTION, "", 3), "2.0.1"),
        ((ATTENTION, "", 6), "2.0.1"),
        ((ATTENTION, "", 7), "2.1.2"),  # `scale`, at which 2.0 fails
        (("aten::rms_norm", "", 4), "2.4.1"),
    ],
    ids=str,
)
def test_the_oldest_release_is_that_of_the_youngest_operator_with_its_arguments(calling, operator, release):
    assert releases.needs(calling(("aten::relu", "", 1), operator)) == Needs(8, release)


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.INT8, Precision.INT8_DYNAMIC])
def test_int8_needs_nothing_newer_than_float(bench, precision):
    network = nn.Sequential(nn.Conv1d(4, 8, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(48, 4), nn.Sigmoid())
    assert releases.needs(archive_of(bench(network, x=(1, 4, 8)).emit(precision))) == Needs(8, "1.13.1")


class Unusual(nn.Module):
    def forward(self, x):
        return torch.cosh(x) - torch.lgamma(x)


def test_operators_that_were_never_run_there_are_named(bench):
    artifact = bench(Unusual(), x=(1, 8)).emit(Precision.FLOAT32)
    never = ("aten::cosh", "aten::lgamma")
    assert releases.needs(archive_of(artifact)) == Needs(8, "1.13.1", never)
    assert target.audit(artifact).requires == {
        "bytecode version": "8",
        "oldest PyTorch": "1.13.1",
        "operators never tried there": ", ".join(never),
    }
    assert (artifact.folder / "operators.yaml").read_text().splitlines()[:2] == [
        "# bytecode version 8; PyTorch 1.13.1 or newer",
        f"# which lists, but edgepack never ran there: {', '.join(never)}",
    ]


def test_of_what_no_release_is_known_to_read_only_this_one_is_told(calling):
    here = releases.running()
    assert releases.needs(replace(calling(("aten::linear", "", 3)), version=9)) == Needs(9, here)
    assert releases.needs(calling(("mine::linear", "", 2))) == Needs(8, here, ("mine::linear",))
    assert releases.needs(calling((ATTENTION, "", 99))) == Needs(8, here)
    assert f"PyTorch {here} or newer" in listing(calling(("mine::linear", "", 2)))


def test_every_operator_that_was_run_is_one_that_pytorch_has():
    names = releases.table()["operators"]
    assert len(names) > 150
    for name in names:
        kind, _, overload = name.partition(".")
        assert find_schema(kind, overload), name
