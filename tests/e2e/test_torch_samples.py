"""The PyTorch samples, from published weights to bundles for both targets that answer as the originals do."""

import json
from pathlib import Path

import pytest
from sample_commands import SAMPLES, run

TARGETS = ["tflite", "torchscript"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """``built("imagenet", "int8")``: {target: its bundle as the JSON of the one build says it}; built once."""
    known = {}

    def build(sample, precision, *flags):
        if (sample, precision) not in known:
            out = tmp_path_factory.mktemp(f"{sample}-{precision}")
            run(sample, "prepare.py")
            command = ["-m", "edgepack", "build", "--precision", precision, "--json", "--out", out, *flags]
            bundles = json.loads(run(sample, *command))["bundles"]
            known[sample, precision] = {bundle["target"]: bundle for bundle in bundles}
        return known[sample, precision]

    return build


def parity(bundle):
    return bundle["parity"]["host"]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "least"), [("tflite", 0.97), ("torchscript", 0.95)])
def test_imagenet_in_int8_answers_as_the_original_on_crops_that_calibration_never_saw(built, target, least):
    bundle = built("imagenet", "int8")[target]
    assert parity(bundle)["samples"] == 200
    assert parity(bundle)["outputs"]["probabilities"]["argmax_agreement"] >= least


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_imagenet_in_int8_is_a_quarter_of_its_float_weights(built, target):
    folder = Path(built("imagenet", "int8")[target]["path"])
    (model,) = [path for path in folder.iterdir() if path.suffix in (".tflite", ".ptl")]
    weights = (SAMPLES / "imagenet" / "data" / "efficientnet_lite0.pth").stat().st_size
    assert model.stat().st_size < 0.29 * weights


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_imagenet_in_float_is_exact(built, target):
    bundle = built("imagenet", "float32", "--held-back", "24")[target]
    assert parity(bundle)["outputs"]["probabilities"]["sqnr_db"] >= 100


def test_mnist_in_int8_gets_as_many_digits_right_on_both_targets(built):
    folders = [bundle["path"] for bundle in built("mnist-torch", "int8").values()]
    digits, original, *found = json.loads(run("mnist-torch", "top1.py", *folders)).values()
    assert (digits, len(found)) == (2000, 2)
    assert original > 0.99
    assert min(found) >= original - 0.003
