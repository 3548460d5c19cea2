"""The samples, from published weights to bundles that keep what the originals answer on data they never saw."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[3] / "samples"


def build(sample, out, precision):
    """The one bundle of a build of ``samples/NAME`` for torchscript, as its JSON says it."""
    folder = SAMPLES / sample
    subprocess.run([sys.executable, "prepare.py"], cwd=folder, check=True, capture_output=True)
    command = ["-m", "edgepack", "build", "--target", "torchscript", "--precision", precision, "--json"]
    done = subprocess.run(
        [sys.executable, *command, "--out", str(out)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (bundle,) = json.loads(done.stdout)["bundles"]
    return bundle, bundle["parity"]["host"]["outputs"]["probabilities"]


@pytest.mark.slow
def test_imagenet_in_int8_keeps_19_of_20_answers_on_crops_that_calibration_never_saw(tmp_path):
    bundle, metrics = build("imagenet", tmp_path, "int8")
    assert metrics["argmax_agreement"] >= 0.95
    assert (Path(bundle["path"]) / "model.ptl").stat().st_size < 5_300_000


@pytest.mark.slow
def test_imagenet_in_float_is_exact(tmp_path):
    assert build("imagenet", tmp_path, "float32")[1]["sqnr_db"] >= 100


def test_mnist_in_int8_gets_as_many_digits_right(tmp_path):
    bundle, _ = build("mnist-torch", tmp_path, "int8")
    counted = subprocess.run(
        [sys.executable, "top1.py", bundle["path"]],
        cwd=SAMPLES / "mnist-torch",
        capture_output=True,
        text=True,
        check=True,
    )
    digits, original, found = json.loads(counted.stdout).values()
    assert digits == 2000
    assert original > 0.99
    assert found >= original - 0.003
