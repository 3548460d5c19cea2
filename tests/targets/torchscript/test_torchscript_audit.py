"""What is in a .ptl is read from its bytecode as data, whoever wrote it; a damaged or hostile file is refused."""

import contextlib
import io
import pickle
import zipfile

import pytest
import torch
from torch import nn
from torch.jit.mobile import _export_operator_list, _get_model_bytecode_version, _load_for_lite_interpreter

from edgepack.errors import ModelError, UsageError
from edgepack.spec import Precision
from edgepack.target import Artifact
from edgepack.targets.torchscript import audit
from edgepack.targets.torchscript.target import target


@pytest.fixture
def convolutional(bench):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4), nn.Softmax(1))
    return bench(network, image=(1, 3, 8, 8))


def saved(module, *inputs):
    """A file as PyTorch's own tools make it."""
    traced = torch.jit.freeze(torch.jit.trace(module.eval(), inputs))
    return traced._save_to_buffer_for_lite_interpreter()


def repacked(data, change):
    """The zip with records changed: ``change(name, content)`` gives the new content, or None to leave it out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = change(name.partition("/")[2], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def test_bytes_are_counted_by_what_is_stored(convolutional):
    float32, int8 = (
        target.audit(convolutional.emit(precision)) for precision in (Precision.FLOAT32, Precision.INT8)
    )
    weights = 8 * 3 * 9 + 288 * 4
    assert float32.bytes_by_dtype == {"float32": 4 * (weights + 12)}
    assert int8.bytes_by_dtype["int8"] == weights
    assert int8.bytes_by_dtype["float32"] == 4 * 12
    assert {op.name: op.bytes for op in int8.ops}["3"] >= 288 * 4


class Turned(nn.Module):
    """Its weights are complex."""

    def __init__(self):
        super().__init__()
        self.turn = nn.Parameter(torch.tensor([1j, 2 - 1j, 0.5], dtype=torch.complex64))

    def forward(self, image):
        return (image.mean((2, 3)) * self.turn).abs()


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.INT8])
def test_complex_weights_are_read_and_run(bench, precision):
    made = bench(Turned(), image=(1, 3, 8, 8))
    artifact = made.emit(precision)
    assert target.audit(artifact).bytes_by_dtype == {"complex64": 24}
    assert made.worst_db(artifact) > 100


def test_ops_and_conversions_are_those_of_the_file(convolutional):
    found = target.audit(convolutional.emit(Precision.INT8))
    assert found.ops_by_precision == {"convert": 2, "float32": 1, "int8": 3}
    assert [op.kind for op in found.ops] == [
        "aten::quantize_per_tensor",
        "quantized::conv2d",
        "aten::reshape",
        "quantized::linear",
        "aten::dequantize",
        "aten::softmax",
    ]
    assert [op.name for op in found.float_islands] == ["4"]
    assert not found.full_int8


def test_anothers_file_is_read_too():
    data = saved(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), torch.zeros(1, 3, 4, 4))
    found = audit.audit(data)
    assert found.ops_by_precision == {"float32": 2}
    assert found.bytes_by_dtype == {"float32": 64}
    assert len(found.signature.inputs) == 1


def test_anothers_dynamic_file_shows_its_int8():
    layers = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 8)), {nn.Linear})
    assert audit.audit(saved(layers, torch.zeros(1, 8))).ops_by_precision == {
        "float32": 1,  # aten::to, of the output
        "int8_dynamic": 1,
    }


def test_the_operators_beside_it_are_what_pytorch_lists(convolutional):
    artifact = convolutional.emit(Precision.INT8)
    head, *lines = (artifact.folder / "operators.yaml").read_text().splitlines()
    module = _load_for_lite_interpreter(str(artifact.main))
    assert {line.removeprefix("- ") for line in lines} == set(_export_operator_list(module))
    assert f"bytecode version {_get_model_bytecode_version(str(artifact.main))};" in head


def test_layers_are_what_the_file_computes(convolutional):
    artifact = convolutional.emit(Precision.INT8)
    runner, sample = target.open(artifact), convolutional.held_back[0]
    layers = runner.layers(sample)
    assert set(layers) == {"0", "2", "3", "4"}
    assert (layers["4"] == runner(sample)["output_0"]).all()


class Attack:
    def __reduce__(self):
        return print, ("attacked",)


def test_nothing_in_a_pickle_runs(convolutional, capfd):
    data = convolutional.emit(Precision.FLOAT32).main.read_bytes()
    for record in ("bytecode.pkl", "data.pkl"):
        hostile = repacked(
            data,
            lambda name, content, record=record: pickle.dumps(Attack(), 2) if name == record else content,
        )
        with contextlib.suppress(UsageError):
            audit.audit(hostile)
        assert "attacked" not in capfd.readouterr().out


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 3000])
def test_a_truncated_file_is_refused(size, convolutional):
    with pytest.raises(UsageError):
        audit.audit(convolutional.emit(Precision.INT8).main.read_bytes()[:size])


def test_a_file_for_the_full_interpreter_is_refused_with_the_way_round(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "full.ptl")
    with pytest.raises(UsageError, match="no bytecode") as caught:
        audit.audit((tmp_path / "full.ptl").read_bytes())
    assert "_save_for_lite_interpreter" in caught.value.hint


def rewritten(data, old, new):
    """The file with strings, or single instructions, of its bytecode changed."""

    def change(name, content):
        if name != "bytecode.pkl":
            return content
        assert old in content
        return content.replace(old, new)

    return repacked(data, change)


@pytest.fixture
def opened(tmp_path):
    def opened(data):
        (tmp_path / "model.ptl").write_bytes(data)
        return target.open(Artifact(tmp_path, ("model.ptl",)))

    return opened


def text(name):
    """A short string as a pickle has it."""
    return b"X" + len(name).to_bytes(4, "little") + name


def test_an_operator_that_reaches_outside_is_refused(convolutional, opened):
    data = convolutional.emit(Precision.FLOAT32).main.read_bytes()
    with pytest.raises(ModelError, match="reach outside"):
        opened(rewritten(data, text(b"aten::conv2d"), text(b"aten::save")))


@pytest.mark.parametrize("place", [0, 99])
def test_a_register_that_is_not_there_is_refused_before_it_runs(place, convolutional, opened):
    data = convolutional.emit(Precision.FLOAT32).main.read_bytes()
    storing = text(b"STOREN") + b"q\x02K"
    with pytest.raises(ModelError, match="damaged"):
        opened(rewritten(data, storing + b"\x01", storing + bytes([place])))


def test_values_that_nobody_gave_are_refused_before_it_runs(convolutional, opened):
    data = convolutional.emit(Precision.FLOAT32).main.read_bytes()
    with pytest.raises(ModelError, match="damaged"):
        opened(rewritten(data, text(b"LOADC"), text(b"DROP")))


def test_an_input_of_another_shape_is_refused(convolutional):
    runner = target.open(convolutional.emit(Precision.FLOAT32))
    with pytest.raises(ModelError, match="image"):
        runner({"image": convolutional.held_back[0]["image"][:, :, :4]})
