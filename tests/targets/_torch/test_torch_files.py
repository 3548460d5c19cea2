"""TorchScript and torch.export files load; pickles never do, and nothing that is pickled in any file runs."""

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from edgepack.errors import ModelError, UsageError
from edgepack.targets._torch.files import load


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout(), nn.Linear(4, 2)

    def forward(self, image, scale: float = 1.0):
        x = torch.relu(self.norm(self.conv(image / 255))).mean((2, 3))
        return {"scores": self.head(self.drop(x)) * scale}


class Branches(nn.Module):
    def forward(self, x: torch.Tensor):
        if bool(x.sum() > 0):
            return x
        return -x


class Evil:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


IMAGE = torch.rand(1, 3, 8, 8)


def saved(path, made, way):
    made = made.eval()
    if way == "pt2":
        torch.export.save(torch.export.export(made, (IMAGE,)), path)
    else:
        scripted = torch.jit.script(made) if way == "script" else torch.jit.trace(made, IMAGE, strict=False)
        torch.jit.save(scripted, path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".torchscript", ".pt2"])
@pytest.mark.parametrize("way", ["script", "trace", "pt2"])
def test_a_file_is_told_by_what_is_in_it(bench, tmp_path, way, suffix):
    made = Net()
    model = bench.load(saved(tmp_path / f"model{suffix}", made, way), image=(3, 8, 8))
    assert [(spec.name, spec.shape) for spec in model.signature.inputs] == [("image", (1, 3, 8, 8))]
    assert [spec.name for spec in model.signature.outputs] == ["scores"]
    with torch.no_grad():
        wanted = made(IMAGE)["scores"].numpy()
    np.testing.assert_allclose(model({"image": IMAGE.numpy()})["scores"], wanted, atol=1e-6)
    assert model.scalings["image"].scale == pytest.approx((1 / 255,), rel=1e-5)
    for values in bench.ways(model):
        assert values[0].shape == (1, 2)


def test_an_exported_program_needs_no_samples_to_know_its_inputs(bench, tmp_path):
    path = saved(tmp_path / "model.pt2", Net(), "pt2")
    assert bench.load(path).signature.input("image").shape == (1, 3, 8, 8)


def test_an_unknown_batch_of_an_exported_program_is_one_and_other_sizes_are_asked_for(bench, tmp_path):
    dynamic = {"image": {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=4)}, "scale": None}
    program = torch.export.export(Net().eval(), (torch.rand(2, 3, 9, 8), 1.0), dynamic_shapes=dynamic)
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(UsageError, match=r"unknown dimensions: 1x3x\?x8") as caught:
        bench.load(tmp_path / "model.pt2")
    assert "--shape image=1x3x224x8" in caught.value.hint
    model = bench.load(tmp_path / "model.pt2", shapes={"image": ((1, 3, 16, 8), None)})
    assert model.signature.input("image").shape == (1, 3, 16, 8)
    with pytest.raises(UsageError, match="does not fit the model, which has"):
        bench.load(tmp_path / "model.pt2", shapes={"image": ((1, 4, 16, 8), None)})


def test_structured_arguments_of_an_exported_program_are_inputs_each(bench):
    class Structured(nn.Module):
        def forward(self, batch, *, times):
            return batch["a"] - batch["b"][0] * times

    one = torch.ones(1, 3)
    program = torch.export.export(Structured(), ({"a": one, "b": [one * 2]},), {"times": one * 3})
    model = bench.adopt(program)
    assert [spec.name for spec in model.signature.inputs] == ["batch_a", "batch_b_0", "times"]
    fed = {"batch_a": 9, "batch_b_0": 2, "times": 3}
    answer = model({name: np.full((1, 3), value, np.float32) for name, value in fed.items()})
    assert answer["output"].tolist() == [[3, 3, 3]]


def test_ids_of_an_exported_program_are_int32_here(bench):
    model = bench.adopt(torch.export.export(nn.Embedding(9, 2), (torch.ones(1, 4, dtype=torch.int64),)))
    assert model.signature.input("input").dtype == "int32"
    assert model({"input": np.ones((1, 4), np.int32)})["output"].shape == (1, 4, 2)


def test_a_program_that_was_exported_in_train_mode_is_refused(bench):
    program = torch.export.export(Net().train(), (IMAGE.repeat(2, 1, 1, 1),))
    with pytest.raises(ModelError, match="keeps state between calls, in 'program.norm") as caught:
        bench.adopt(program)
    assert "model.eval()" in caught.value.hint


def test_a_scripted_module_in_train_mode_is_switched(bench):
    model = bench.adopt(torch.jit.script(Net().train()), image=(3, 8, 8))
    assert "'norm' (BatchNorm2d), 'drop' (Dropout)" in model.notes[0]
    fed = {"image": IMAGE.numpy()}
    np.testing.assert_array_equal(model(fed)["scores"], model(fed)["scores"])


def test_a_module_that_was_traced_in_train_mode_is_refused(bench):
    made = torch.jit.trace(
        nn.Sequential(nn.Linear(9, 9), nn.Dropout()).train(), torch.rand(1, 9), check_trace=False
    )
    with pytest.raises(ModelError, match="The answers differ between two runs"):
        bench.adopt(made, input=(9,))


def test_torchscript_that_branches_stays_torchscript_and_that_is_said(bench):
    model = bench.adopt(torch.jit.script(Branches()), x=(3,))
    assert "only a target that takes TorchScript can build it" in model.notes[0]
    assert isinstance(model.form("torch").module.network, torch.jit.ScriptModule)
    for sign in (1, -1):
        assert model({"x": np.full((1, 3), sign, np.float32)})["output"].tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("transposed", [False, True])
def test_a_traced_convolution_is_the_op_that_targets_know(bench, transposed):
    layer = (nn.ConvTranspose2d if transposed else nn.Conv2d)(3, 4, 3, stride=2, padding=1)
    model = bench.adopt(torch.jit.trace(layer.eval(), IMAGE), input=(3, 8, 8))
    graph = model.form("torch").module.network.graph
    ops = {str(node.target) for node in graph.nodes if node.op == "call_function"}
    assert ops == {"aten.conv_transpose2d.input" if transposed else "aten.conv2d.default"}
    with torch.no_grad():
        wanted = layer(IMAGE).numpy()
    np.testing.assert_allclose(model({"input": IMAGE.numpy()})["output"], wanted, atol=1e-5)


@pytest.mark.parametrize("way", [torch.jit.script, lambda made: torch.jit.trace(made, torch.rand(1, 9, 4))])
def test_a_recurrent_torchscript_module_keeps_its_layer_as_one_op(bench, way):
    model = bench.adopt(way(nn.Sequential(nn.LSTM(4, 3, batch_first=True)).eval()), input=(9, 4))
    graph = model.form("torch").module.network.graph
    assert any(str(node.target) == "aten.lstm.input" for node in graph.nodes)


def test_a_quantized_torchscript_module_is_refused(bench):
    made = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 3)), {nn.Linear})
    with pytest.raises(ModelError, match="quantized already: quantized.linear_dynamic"):
        bench.adopt(torch.jit.script(made), input=(3,))


def test_a_torchscript_module_without_forward_is_refused(bench):
    class Other(nn.Module):
        @torch.jit.export
        def predict(self, x):
            return x

    with pytest.raises(ModelError, match="no forward; its methods: predict"):
        bench.adopt(torch.jit.script(Other()), x=(3,))


def test_an_error_of_torchscript_is_one_line(bench):
    with pytest.raises(
        ModelError, match="cannot compute with input: float32.1x4.. .*mat1 and mat2.*multiplied"
    ) as caught:
        bench.adopt(torch.jit.script(nn.Linear(3, 3)), input=(4,))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_leads_to_a_factory(tmp_path, zipped):
    torch.save(Net().state_dict(), tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="holds 9 weights .a state_dict. and no model") as caught:
        load(tmp_path / "model.pt")
    assert "load_state_dict" in caught.value.hint


def test_a_checkpoint_leads_to_a_factory(tmp_path):
    torch.save({"model": Net().state_dict(), "epoch": 3}, tmp_path / "model.pth")
    with pytest.raises(ModelError, match="a checkpoint .model, epoch. and no model"):
        load(tmp_path / "model.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_is_not_loaded(tmp_path, zipped):
    torch.save(Net(), tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ModelError, match=r"is a pickled Python object \(\S+Net\), which is not loaded"
    ) as caught:
        load(tmp_path / "model.pt")
    assert "file.py:factory" in caught.value.hint


@pytest.mark.parametrize("zipped", [True, False, None])
def test_a_pickle_never_runs(tmp_path, zipped):
    path, mark = tmp_path / "model.pt", tmp_path / "RAN"
    if zipped is None:
        path.write_bytes(pickle.dumps(Evil(mark)))
    else:
        torch.save({"model": Evil(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="pickled Python object|damaged"):
        load(path)
    assert not mark.exists()


def rewritten(path, change):
    """The archive again, each member as ``change(name, data)`` has it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, change(name, data))
    return path


@pytest.mark.parametrize("member", ["sample_inputs/model.pt", "weights/weight_0"])
def test_a_pickle_inside_an_exported_program_never_runs(tmp_path, member):
    mark = tmp_path / "RAN"
    torch.save(Evil(mark), tmp_path / "evil.pt")
    evil = (tmp_path / "evil.pt").read_bytes()

    def change(name, data):
        if name.endswith("weights_config.json"):
            return (
                data.replace(
                    b'"weight_0", "is_param": true, "use_pickle": false',
                    b'"weight_0", "is_param": true, "use_pickle": true',
                )
                if "weights/" in member
                else data
            )
        return evil if name.endswith(member) else data

    path = rewritten(saved(tmp_path / "model.pt2", Net(), "pt2"), change)
    with pytest.raises(ModelError):
        load(path)
    assert not mark.exists()


def test_an_expression_inside_an_exported_program_never_runs(tmp_path):
    mark = tmp_path / "RAN"
    program = torch.export.export(
        Net().eval(), (torch.rand(2, 3, 8, 8),), dynamic_shapes={"image": {0: torch.export.Dim("batch")}}
    )
    torch.export.save(program, tmp_path / "model.pt2")
    assert load(tmp_path / "model.pt2")
    evil = f"__import__('os').mkdir({str(mark)!r}) or "

    def change(name, data):
        return data.replace(b'"expr_str": "', b'"expr_str": "' + evil.encode())

    path = rewritten(tmp_path / "model.pt2", change)
    assert evil.encode() in path.read_bytes()
    with pytest.raises(ModelError, match="is damaged"):
        load(path)
    assert not mark.exists()


def test_compiled_machine_code_is_not_run(tmp_path):
    path = saved(tmp_path / "model.pt2", Net(), "pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/data/aotinductor/model/x.so", b"")
    with pytest.raises(ModelError, match="machine code of AOTInductor, which is not run"):
        load(path)


@pytest.mark.parametrize("way", ["script", "pt2"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_file_that_was_cut_off(tmp_path, way, keep):
    path = saved(tmp_path / "model.pt", Net(), way)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ModelError, match="damaged"):
        load(path)


@pytest.mark.parametrize("data", [b"", b"something", b"\x80\x02", b"PK\x03\x04" + bytes(60)])
def test_a_file_of_something_else(tmp_path, data):
    (tmp_path / "model.pt").write_bytes(data)
    with pytest.raises(ModelError, match="no PyTorch file, or it is damaged"):
        load(tmp_path / "model.pt")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UsageError, match="is not a file"):
        load(tmp_path)
