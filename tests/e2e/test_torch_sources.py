"""PyTorch sources from the command line: what builds, and what is refused with its place."""

from pathlib import Path

import numpy as np
import pytest
import torch

ZOO = Path(__file__).with_name("zoo_torch.py")
TARGETS = ["tflite", "torchscript"]


def of_zoo(name):
    return f"{ZOO}:{name}"


@pytest.fixture
def torch_build(build):
    """Build one of the PyTorch zoo's models with samples of it."""

    def run(source, data="tensors", *flags, target="tflite", precision="float32"):
        source = of_zoo(source) if str(source).isidentifier() else source
        return build(source, of_zoo(data), "--target", target, "--precision", precision, *flags)

    return run


@pytest.fixture
def fails(torch_build):
    """A build that must end with exit code 3; all that it said, in one line."""

    def run(*arguments):
        ended = torch_build(*arguments)
        assert ended.code == 3, ended.err
        assert ended.error["hint"]
        return f"{ended.said} {ended.error['message']} {ended.error['hint']}"

    return run


@pytest.mark.parametrize("target", TARGETS)
def test_a_module_fresh_from_its_constructor(torch_build, target):
    ended = torch_build("classifier", target=target)
    assert ended.code == 0, ended.err
    assert ended.outputs["classes"]["sqnr_db"] >= 100
    assert "switched to eval, which changes 'net.1' (BatchNorm2d), 'net.5' (Dropout)" in ended.said


@pytest.mark.parametrize("target", TARGETS)
def test_photographs_for_a_module_that_takes_channels_first(torch_build, target):
    wrap = (
        "--input",
        "image:kind=image,layout=NCHW,scale=0.00392156862745098",
        "--output",
        "classes:activation=softmax",
    )
    ended = torch_build("classifier", "photos", *wrap, target=target)
    assert ended.code == 0, ended.err
    assert ended.outputs["classes"]["sqnr_db"] >= 100


@pytest.mark.parametrize("target", TARGETS)
def test_two_inputs_of_ids_and_a_dataclass_of_outputs(torch_build, target):
    ended = torch_build("encoder", "ids", target=target)
    assert ended.code == 0, ended.err
    assert set(ended.outputs) == {"intent", "slots"}
    assert "'ids' is int64 in the original and int32 here" in ended.said


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("way", ["script", "trace", "export"])
def test_a_file(torch_build, tmp_path, way, target):
    made = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten()).eval()
    image = torch.rand(1, 3, 32, 32)
    if way == "export":
        torch.export.save(torch.export.export(made, (image,)), tmp_path / "model.pt2")
    else:
        module = torch.jit.script(made) if way == "script" else torch.jit.trace(made, image)
        torch.jit.save(module, tmp_path / "model.pt")
    ended = torch_build("model.pt2" if way == "export" else "model.pt", target=target)
    assert ended.code == 0, ended.err
    assert min(each["sqnr_db"] for each in ended.outputs.values()) >= 100


def test_a_class_that_needs_no_arguments_is_its_own_factory_but_its_name_is_not_returned(torch_build, fails):
    assert "the class Classifier, not an instance of it" in fails("a_class")
    assert "The output 'loss' is None" in fails("NoTensor")


def test_a_state_dict_from_a_factory(fails):
    said = fails("state_dict")
    assert "returned a collections.OrderedDict" in said
    assert "torch.nn.Module" in said


def test_control_flow_on_data_is_named_with_module_and_line(fails):
    said = fails("branching")
    assert (
        "decides by the values of a tensor: bool() in the module '1' (Branching), zoo_torch.py line" in said
    )
    assert "if image.mean() > 0.5:" in said


def test_torchscript_keeps_a_branch_that_no_other_target_can(torch_build, fails):
    ended = torch_build("scripted_branch", target="torchscript")
    assert ended.code == 0, ended.err
    assert ended.outputs["output"]["sqnr_db"] >= 100
    assert "the target torchscript takes it as it is" in fails("scripted_branch")


def test_an_operator_of_ones_own_is_named_with_module_and_line(fails):
    said = fails("custom")
    assert "an operator of its own that no edge runtime has: edgepack_zoo.twice" in said
    assert "in the module '1' (Custom), zoo_torch.py line" in said


def test_double_precision_is_cast_and_said(torch_build):
    ended = torch_build("double", target="torchscript")
    assert ended.code == 0, ended.err
    assert ended.outputs["classes"]["sqnr_db"] >= 100
    assert "Weights that are float64 are cast to float32: 'net.0.weight'" in ended.said


def test_complex_weights_are_cast_and_said_and_packed_where_the_runtime_has_them(torch_build, fails):
    ended = torch_build("Turned", target="torchscript")
    assert ended.code == 0, ended.err
    assert ended.outputs["output"]["sqnr_db"] >= 100
    assert "Weights that are complex128 are cast to complex64: 'turn'" in ended.said
    assert "complex64" in fails("Turned")


def test_photographs_without_a_declaration(fails):
    said = fails("classifier", "photos")
    assert "channels last (1x32x32x3)" in said
    assert 'layout = "NCHW"' in said


def test_a_factory_that_moves_to_the_gpu(fails):
    said = fails("on_the_gpu")
    assert "zoo_torch.py" in said
    assert "return Classifier().cuda()" in said
    assert "Models are built on the CPU" in said


def test_a_factory_whose_weights_do_not_fit(fails):
    said = fails("wrong_weights")
    assert "Missing key(s) in state_dict" in said
    assert "made.load_state_dict" in said


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("weights", "no model"),
        ("module", "unpickling runs code"),
        ("noise", "no PyTorch file, or it is damaged"),
    ],
)
def test_a_file_that_is_no_model(fails, tmp_path, content, what):
    made = torch.nn.Linear(3, 3)
    if content == "noise":
        (tmp_path / "model.pt").write_bytes(b"something")
    else:
        torch.save(made.state_dict() if content == "weights" else made, tmp_path / "model.pt")
    assert what in fails("model.pt")


def test_samples_channels_last_for_a_shape_channels_first(build, tmp_path):
    np.savez(tmp_path / "rows.npz", image=np.random.default_rng(0).random((24, 32, 24, 3), np.float32))
    ended = build(of_zoo("classifier"), "rows.npz", "--shape", "image=1x3x32x24")
    assert ended.code == 2
    assert "the other layout" in ended.error["message"]
    assert 'layout = "NCHW"' in ended.error["hint"]
