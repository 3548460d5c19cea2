"""Ranges over the calibration samples: the least and the greatest of all, collected once."""

import keras
import numpy as np
import pytest
import torch
from ai_edge_quantizer import calibrator, recipe, recipe_manager
from ai_edge_quantizer.utils import qsv_utils
from torch import nn

from edgepack.events import Step
from edgepack.model import LoadRequest
from edgepack.targets._tf import framework
from edgepack.targets._torch import framework as torch_framework
from edgepack.targets.tflite.calibrate import calibrate
from edgepack.targets.tflite.convert import convert
from edgepack.targets.tflite.target import target as tflite
from edgepack.wrap import InputWrap, Wrap

L = keras.layers


class Counted:
    """Samples that count how often they are read."""

    def __init__(self, samples):
        self.samples, self.read = samples, 0

    def __len__(self):
        return len(self.samples)

    def __iter__(self):
        self.read += 1
        return iter(self.samples)


def lowered(made, wrap=None):
    model = framework.adopt(made, LoadRequest("model", wrap=wrap or Wrap()))
    return convert(model.form("tf")), model.signature


def test_the_ranges_are_those_of_the_quantizers_own_calibrator_that_reads_every_tensor(draw, small_cnn):
    samples = draw(8, image=(8, 8, 3))
    data, signature = lowered(small_cnn)
    found = calibrate(data, signature, samples, Step("calibrate"))

    slow = calibrator.Calibrator(
        data,
        num_threads=1,
        mode=calibrator.CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS,
        qsv_update_func=qsv_utils.min_max_update,
    )
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe.static_wi8_ai8())
    slow.calibrate({"serving_default": samples}, manager)
    wanted = slow.get_model_qsvs()

    activations = {name for name in wanted if name in found}
    assert {"image", "classes"} <= activations
    assert {"image", "classes"} <= set(found)
    for name in activations:
        for edge in ("min", "max"):
            np.testing.assert_allclose(
                np.ravel(found[name][edge]), np.ravel(wanted[name][edge]), rtol=1e-5, atol=1e-6
            )


def test_an_extreme_of_the_first_sample_is_not_forgotten(draw, small_cnn):
    samples = draw(20, image=(8, 8, 3))
    samples[0] = {"image": samples[0]["image"] * 50}
    data, signature = lowered(small_cnn)
    ranges = calibrate(data, signature, samples, Step("calibrate"))
    assert float(ranges["image"]["max"].max()) == pytest.approx(float(samples[0]["image"].max()))


def test_an_image_has_the_range_of_pixels_whatever_the_samples_hold(draw, small_cnn):
    wrap = Wrap((("image", InputWrap(kind="image", scale=(1 / 255,))),))
    data, signature = lowered(small_cnn, wrap)
    samples = [{"image": np.full((1, 8, 8, 3), value, np.float32)} for value in (30, 90, 120)]
    ranges = calibrate(data, signature, samples, Step("calibrate"))
    assert (float(ranges["image"]["min"].min()), float(ranges["image"]["max"].max())) == (0, 255)


def test_several_emits_calibrate_once_and_float_ones_not_at_all(bench, draw, small_cnn):
    samples = Counted(draw(image=(8, 8, 3)))
    lowering = bench.lower(small_cnn, samples)
    bench.emit(lowering, "float32")
    bench.emit(lowering, "int8_dynamic")
    bench.emit(lowering, "float16")
    assert samples.read == 0
    bench.emit(lowering, "int8")
    bench.emit(lowering, "int16x8")
    once = samples.read
    bench.emit(lowering, "int8", io="float")
    bench.emit(lowering, "int16x8", io="float")
    assert samples.read == once


class Embedding(nn.Module):
    """Its last steps have constants beside what is computed: a class token, the least length."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        joined = torch.cat([self.token, torch.relu(self.layer(x))], 1)
        return nn.functional.normalize(joined.mean(1))


def test_a_constant_that_takes_its_scale_from_a_result(bench):
    torch.manual_seed(0)
    model = torch_framework.adopt(
        Embedding().eval(), LoadRequest("model", shapes={"x": ((1, 5, 8), "float32")})
    )
    random = np.random.default_rng(0)
    samples = [{"x": random.normal(size=(1, 5, 8)).astype(np.float32)} for _ in range(24)]
    runner = tflite.open(bench.emit(bench.lower(model, samples), "int8"))
    assert bench.worst_db(model, runner, samples) >= 25
