"""What tests against the real frameworks share: sources as files, models as lowerings, artifacts as runners."""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import pytest

from edgepack import parity
from edgepack.model import LoadRequest
from edgepack.spec import Precision
from edgepack.target import Plan
from edgepack.targets._tf import framework
from edgepack.targets.tflite.target import target as tflite


@pytest.fixture(autouse=True)
def seeded():
    """Weights that a test does not seed itself are the same whatever ran before it in this process."""
    keras.utils.set_random_seed(7)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(7)


class Workbench:
    """The steps of a build, one by one, on small models."""

    def __init__(self, folder):
        self.folder = folder
        self._count = 0

    def load(self, path, **request):
        """The Model in a file or folder."""
        return framework.load(LoadRequest("model", path, **request))

    def adopt(self, made, **request):
        """The Model in what a factory returned."""
        return framework.adopt(made, LoadRequest("model", **request))

    def lower(self, made, samples, **request):
        """A Keras model (or a Model) as a TFLite lowering."""
        model = made if hasattr(made, "forms") else self.adopt(made, **request)
        return tflite.lower(model, samples, self.folder)

    def emit(self, lowering, precision=Precision.INT8, **plan):
        self._count += 1
        out = self.folder / f"emitted_{self._count}"
        out.mkdir()
        return lowering.emit(Plan(Precision(precision), **plan), out)

    @staticmethod
    def worst_db(model, runner, samples):
        """The SQNR of the worst output over the samples."""
        metrics = parity.measure(runner, samples, [model(sample) for sample in samples])
        return min(each.sqnr_db for each in metrics.values())


@pytest.fixture
def bench(tmp_path):
    keras.utils.set_random_seed(7)
    return Workbench(tmp_path)


@pytest.fixture
def draw():
    """Samples: ``draw(count, image=(8, 8, 3))`` gives named arrays, batch of one, values -1..1."""

    def draw(count=12, seed=0, **shapes):
        rng = np.random.default_rng(seed)
        return [
            {name: rng.uniform(-1, 1, (1, *shape)).astype(np.float32) for name, shape in shapes.items()}
            for _ in range(count)
        ]

    return draw


@pytest.fixture
def small_cnn():
    """Two convolutions and a softmax over 4 classes; input ``image`` 8x8x3, output ``classes``."""
    keras.utils.set_random_seed(7)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(8, 3, activation="relu", padding="same", name="first")(image)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(4, activation="softmax", name="classes")(x))
