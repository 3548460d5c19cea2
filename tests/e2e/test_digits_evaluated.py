"""A labelled set in a build of the digits sample: its figures are those that anybody gets by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from edgepack import registry
from edgepack.bundle import reader

DIGITS = Path(__file__).parents[2] / "samples" / "digits"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def build(out: Path, *options: str) -> dict:
    command = [
        sys.executable,
        "-m",
        "edgepack",
        "build",
        "--target",
        "tflite",
        "--out",
        str(out),
        "--json",
        *options,
    ]
    done = subprocess.run(command, cwd=DIGITS, capture_output=True, text=True, timeout=600)
    (bundle,) = json.loads(done.stdout)["bundles"]
    assert bundle["error"] is None, done.stderr
    return bundle


@pytest.fixture(scope="module")
def labelled() -> tuple[np.ndarray, np.ndarray]:
    with np.load(DIGITS / "data" / "labelled.npz") as data:
        return data["image"], data["label"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> dict:
    """The sample's, held to its labelled digits."""
    return build(tmp_path_factory.mktemp("digits"), "--gate", "top1_drop<=0.5, top1>=97, cosine>=0.98")


@pytest.fixture(scope="module")
def right(bundle, labelled) -> tuple[np.ndarray, np.ndarray]:
    """Whether Keras, and the interpreter that loads the bundle, get each digit right: asked by hand."""
    images, labels = labelled
    model = keras.saving.load_model(DIGITS / "data" / "digits.keras")
    by_keras = model.predict(images / np.float32(255), verbose=0).argmax(1)
    artifact = reader.read(Path(bundle["path"])).artifact
    runner = registry.load_target(registry.target("tflite")).open(artifact)
    pixels = images.astype(np.float32)
    by_runner = np.array([runner({"image": image[None]})["probabilities"].argmax() for image in pixels])
    return by_keras == labels, by_runner == labels


def test_top1_is_what_keras_and_the_interpreter_get_by_hand(bundle, right) -> None:
    score, (original, artifact) = bundle["metrics"]["top1"], right
    assert score["original"] == pytest.approx(100 * original.mean())
    assert score["artifact"] == pytest.approx(100 * artifact.mean())
    assert (score["samples"], score["against"], score["passed"]) == (1500, "labels", True)


def test_folders_of_pictures_tell_the_same(tmp_path: Path, labelled, right) -> None:
    for number, (image, label) in enumerate(zip(*(each[:200] for each in labelled), strict=True)):
        (tmp_path / "set" / WORDS[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(tmp_path / "set" / WORDS[label] / f"{number}.png")
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    found = build(tmp_path, "--evaluation", str(tmp_path / "set"), "--labels", str(tmp_path / "words.txt"))
    score, (original, artifact) = found["metrics"]["top1"], right
    assert score["samples"] == 200
    assert (score["original"], score["artifact"]) == (
        100 * original[:200].mean(),
        100 * artifact[:200].mean(),
    )
