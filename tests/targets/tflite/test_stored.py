"""How results and weights lie in a .tflite: as the model has them, whatever was equalised; and what each op reads."""

import keras
import numpy as np
import pytest

from edgepack.precision.causes import sqnr_db
from edgepack.targets.tflite.target import target as tflite

L = keras.layers


@pytest.fixture
def loud(bench):
    """(float32 artifact, int8 artifact, a sample): a channel of the first layer is 100 times the others."""
    image = keras.Input((8, 8, 3), name="image")
    x = L.ReLU()(L.Conv2D(8, 3, name="first")(image))
    both = L.Concatenate(name="both")([L.DepthwiseConv2D(3)(x), L.Conv2D(4, 3)(x)])
    model = keras.Model(image, L.Dense(4, name="out")(L.Flatten()(both)))
    weights, bias = model.get_layer("first").get_weights()
    weights[..., 2] *= 100
    model.get_layer("first").set_weights([weights, bias])
    rng = np.random.default_rng(0)
    samples = [{"image": rng.normal(size=(1, 8, 8, 3)).astype(np.float32)} for _ in range(32)]
    lowering = bench.lower(model, samples)
    return bench.emit(lowering, "float32"), bench.emit(lowering, "int8"), samples[0]


def test_grids_and_weights_are_those_of_the_model(loud):
    float32, int8, sample = loud
    exact, runner = tflite.open(float32), tflite.open(int8)
    names = {op.name for op in tflite.audit(int8).ops}
    originals, stored, values = (
        exact.stored(sample, names),
        runner.stored(sample, names),
        exact.layers(sample),
    )
    assert any(each.result.scale.size > 1 for each in stored.values() if each.result is not None)  # equalised
    weighed = [name for name in stored if stored[name].weights is not None]
    assert len(weighed) == 4
    for name in weighed:
        assert sqnr_db(originals[name].weights, stored[name].weights) > 20, name
        assert stored[name].codes.dtype == np.int8
    for name in names & values.keys():
        grid = stored[name].result
        assert sqnr_db(values[name], grid.real(grid.codes(values[name]))) > 30, name
        assert originals[name].result is None


def test_weights_are_read_only_when_asked_for(loud):
    _, int8, sample = loud
    assert all(each.weights is None for each in tflite.open(int8).stored(sample).values())


def test_what_an_op_reads_is_known_past_conversions(loud):
    ops = {op.kind: op for op in tflite.audit(loud[1]).ops}
    read = ops["CONCATENATION"].reads
    assert len(read) == 2
    assert {ops["DEPTHWISE_CONV_2D"].name} < set(read)
    assert ops["RESHAPE"].reads == (ops["CONCATENATION"].name,)
