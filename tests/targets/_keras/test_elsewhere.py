"""The layers of a Keras model that a target runs by PyTorch are those that TensorFlow sees, in a process of its own."""

import keras
import numpy as np

from edgepack import pipeline, registry
from edgepack.elsewhere import Elsewhere
from edgepack.project import load


def test_the_layers_of_the_original_are_seen_in_its_own_framework(tmp_path):
    layers = [keras.layers.Dense(8, activation="tanh", name="wide"), keras.layers.Dense(3, name="head")]
    keras.Sequential([keras.Input((6,), name="x"), *layers]).save(tmp_path / "model.keras")
    np.savez(tmp_path / "samples.npz", x=np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32))
    tables = {
        "model": {"source": str(tmp_path / "model.keras")},
        "data": {"representative": str(tmp_path / "samples.npz")},
    }
    project = load(None, tables)
    recorded = pipeline.record(project, tmp_path)
    there = (recorded.samples, recorded.golden, recorded.origin)
    sizes = Elsewhere(project, registry.target("torchscript"), *there, tmp_path).sizes()
    assert [(each.name, each.weights, each.macs) for each in sizes] == [("wide", 48, 48), ("head", 24, 24)]
