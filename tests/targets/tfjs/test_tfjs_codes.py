"""Zeros and codes, counted in the shards: storage in 8 bits changes none of them, and what is computed stays the same."""

import json

import keras
import numpy as np
import pytest
import small_keras

from edgepack.compress import closed_form
from edgepack.compress.closed_form import Amount
from edgepack.compress.sizes import zipped
from edgepack.events import Step
from edgepack.spec import Precision
from edgepack.target import Plan
from edgepack.targets.tfjs import codes
from edgepack.targets.tfjs.lower import lower
from edgepack.targets.tfjs.runner import NodeRunner
from edgepack.targets.tfjs.weights import read

L = keras.layers


@pytest.fixture
def shrunk(bench, draw, tmp_path):
    """The smaller model, its samples and its artifact."""

    def run(amount, activation, precision=Precision.INT8):
        made, samples = bench.adopt(small_keras.wide(48, activation)), draw(24, image=(12, 12, 3))
        student = made.student()
        closed_form.shrink(student, dict.fromkeys(student.layers[1:], amount), samples, Step("compress"))
        smaller = student.model()
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        return smaller, samples, lower(smaller.form("tf")).emit(Plan(precision), out)

    return run


def stored(artifact):
    """The integers in the shards, of the two layers that were shrunk."""
    manifest = json.loads(artifact.main.read_text())["weightsManifest"]
    wide, head = (3, 3, 8, 48), (8 * 8 * 48, 10)
    found = [each for each in read(manifest, artifact.folder).values() if each.values.shape in (wide, head)]
    assert len(found) == 2
    return [np.rint(each.values.astype(int) + each.least / each.scale).astype(int) for each in found]


@pytest.mark.parametrize("amount", [Amount(0.6), Amount(0.5, 16)])
def test_zeros_stay_zero(shrunk, amount):
    _, _, artifact = shrunk(amount, L.ReLU())
    for weight in stored(artifact):
        assert (weight == 0).sum() >= round(amount.ratio * weight.size)


@pytest.mark.parametrize("activation", [L.ReLU(), L.ReLU(6.0), L.LeakyReLU(), L.Activation("sigmoid")])
def test_codebooks_survive(shrunk, activation):
    """A negative normalisation turns codes around, so a layer has theirs and those with the other sign."""
    smaller, samples, artifact = shrunk(Amount(0, 16), activation)
    for weight in stored(artifact):
        assert len(np.unique(np.abs(weight))) <= 16
        assert np.abs(weight).max() == 127
    runner = NodeRunner(artifact, "wasm")
    for sample in samples[:2]:
        (answer,), (expected,) = runner(sample).values(), smaller(sample).values()
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)


def test_few_codes_are_a_smaller_download(shrunk):
    sizes = [zipped(shrunk(Amount(0, count), L.ReLU())[2]) for count in (0, 64, 16)]
    assert sizes[2] < 0.7 * sizes[0]
    assert sizes[2] < sizes[1] < sizes[0]


@pytest.mark.parametrize(("width", "count"), [(32, 64), (32, 128), (64, 128), (64, 32)])
def test_scales_that_cost_more_than_codes_save_are_left_where_they_are(bench, draw, tmp_path, width, count):
    keras.utils.set_random_seed(3)
    layers = [L.Dense(width, activation="tanh") for _ in range(6)]
    made, samples = (
        bench.adopt(keras.Sequential([keras.Input((width,), name="x"), *layers])),
        draw(24, x=(width,)),
    )
    student = made.student()
    closed_form.shrink(student, dict.fromkeys(student.layers, Amount(0, count)), samples, Step("compress"))
    sizes = []
    for number, most in enumerate((codes.MOST, 0)):
        (out := tmp_path / f"out{number}").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(codes, "MOST", most)
            sizes.append(zipped(lower(student.model().form("tf")).emit(Plan(Precision.INT8), out)))
    assert sizes[0] <= sizes[1]
    assert (sizes[0] < sizes[1]) == ((width, count) == (64, 32))


def test_the_codes_of_a_cell_survive_the_way_into_its_loop(bench, draw, tmp_path):
    keras.utils.set_random_seed(3)
    series = keras.Input((9, 96), name="series")
    made = bench.adopt(keras.Model(series, L.Dense(3, name="value")(L.GRU(64, name="cell")(series))))
    samples, student = draw(24, series=(9, 96)), made.student()
    chosen = [layer for layer in student.layers if "cell" in layer.name]
    closed_form.shrink(student, dict.fromkeys(chosen, Amount(0, 16)), samples, Step("compress"))
    smaller = student.model()
    artifact = lower(smaller.form("tf")).emit(Plan(Precision.INT8), tmp_path)
    weights = read(json.loads(artifact.main.read_text())["weightsManifest"], tmp_path).values()
    cells = [each.values for each in weights if each.values.shape in ((96, 192), (64, 192))]
    assert [len(np.unique(each)) <= 16 for each in cells] == [True, True]
    runner = NodeRunner(artifact, "wasm")
    for sample in samples[:2]:
        (answer,), (expected,) = runner(sample).values(), smaller(sample).values()
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)
