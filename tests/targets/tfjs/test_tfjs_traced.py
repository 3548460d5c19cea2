"""A graph model whose layers are outputs: the same model, to be read in any browser."""

import keras
import numpy as np
import pytest

from edgepack.errors import ModelError
from edgepack.model import LoadRequest
from edgepack.spec import Precision
from edgepack.target import Plan
from edgepack.targets._tf import framework
from edgepack.targets.tfjs.lower import lower
from edgepack.targets.tfjs.target import target as tfjs


@pytest.fixture
def emit(tmp_path):
    def make(made, precision="float32"):
        model = framework.adopt(made, LoadRequest("model"))
        out = tmp_path / "artifact"
        out.mkdir()
        return lower(model.form("tf")).emit(Plan(Precision(precision)), out)

    return make


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_its_outputs_are_its_layers(emit, small_cnn, draw, tmp_path, precision):
    (sample,) = draw(1, image=(8, 8, 3))
    artifact = emit(small_cnn, precision)
    out = tmp_path / "traced"
    out.mkdir()
    traced = tfjs.traced(artifact, out)
    plain, open_ended = tfjs.open(artifact), tfjs.open(traced)
    answers, layers = open_ended(sample), plain.layers(sample)
    np.testing.assert_array_equal(answers["classes"], plain(sample)["classes"])
    others = [name for name in answers if name != "classes"]
    assert len(others) >= 3
    for name in others:
        np.testing.assert_array_equal(answers[name], layers[name])
    assert sorted(path.name for path in out.iterdir()) == sorted(artifact.files)


def test_a_model_with_a_loop_is_not_read_so(emit):
    series = keras.Input((6, 4), name="series")
    artifact = emit(keras.Model(series, keras.layers.LSTM(5, unroll=False, name="value")(series)))
    with pytest.raises(ModelError, match="has loops"):
        tfjs.traced(artifact, artifact.folder)
