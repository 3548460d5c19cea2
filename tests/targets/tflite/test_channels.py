"""Channels scaled together: the float file computes the same, and its layers read the same."""

import keras
import numpy as np
import pytest

from edgepack.targets.tflite.biases import with_biases
from edgepack.targets.tflite.channels import groups
from edgepack.targets.tflite.convert import convert
from edgepack.targets.tflite.equalise import equalised
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.improve import _open as opened
from edgepack.targets.tflite.scaled import scales_in, with_scales

L = keras.layers


def uneven(size):
    """Factors from 1/50 to 1 for the channels of a layer."""
    return np.geomspace(0.02, 1, size).astype(np.float32)


def inverted_bottleneck():
    """As MobileNetV2 has them, with channels of very different loudness."""
    image = x = keras.Input((12, 12, 3), name="image")
    x = L.ReLU(6.0)(L.Conv2D(8, 3, name="stem")(x))
    for number in range(2):
        inner = L.ReLU(6.0)(L.Conv2D(24, 1, name=f"expand{number}")(x))
        inner = L.ReLU(6.0)(L.DepthwiseConv2D(3, padding="same", name=f"depth{number}")(inner))
        x = L.Add()([x, L.Conv2D(8, 1, name=f"project{number}")(inner)])
    x = L.GlobalAveragePooling2D()(x)
    model = keras.Model(image, L.Dense(5, name="scores")(x))
    for layer in model.layers:
        if isinstance(layer, L.Conv2D) and layer.filters > 3:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * uneven(layer.filters), bias])
    return model


def u_net():
    """Where a curve other than ReLU or a concatenation reads them, channels stay."""
    image = keras.Input((8, 8, 3), name="image")
    down = L.Conv2D(6, 3, padding="same", activation="relu")(image)
    deep = L.Conv2D(6, 3, strides=2, padding="same", activation="swish")(down)
    up = L.Concatenate()([down, L.UpSampling2D()(deep)])
    return keras.Model(image, L.Conv2D(2, 1, name="mask")(up))


def gated():
    """A squeeze and excitation gate: what is multiplied is scaled, the gate is not."""
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(6, 3, activation="relu")(image)
    gate = L.Dense(6, activation="sigmoid")(L.Dense(4, activation="relu")(L.GlobalAveragePooling2D()(x)))
    x = L.Multiply()([x, L.Reshape((1, 1, 6))(gate)])
    model = keras.Model(image, L.Conv2D(2, 1, name="mask")(x))
    for layer in model.layers[1:2]:
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * uneven(6), bias])
    return model


@pytest.fixture(params=[inverted_bottleneck, u_net, gated])
def case(request, bench, draw):
    """The float file, and samples."""
    model = bench.adopt(request.param())
    return with_biases(convert(model.form("tf"))), draw(24, image=model.signature.inputs[0].shape[1:])


def test_the_file_computes_the_same(case):
    data, samples = case
    changed, _ = equalised(data, samples)
    for sample in samples[:4]:
        for name, wanted in opened(data)(sample).items():
            np.testing.assert_allclose(opened(changed)(sample)[name], wanted, rtol=1e-4, atol=1e-5)


def test_its_layers_are_read_as_the_model_has_them(case):
    data, samples = case
    changed, scales = equalised(data, samples)
    plain, scaled = opened(data).layers(samples[0]), opened(with_scales(changed, scales)).layers(samples[0])
    assert set(plain) == set(scaled)
    for name, wanted in plain.items():
        np.testing.assert_allclose(scaled[name], wanted, rtol=1e-3, atol=1e-4)


def test_uneven_channels_become_alike(bench, draw):
    model = bench.adopt(inverted_bottleneck())
    data = with_biases(convert(model.form("tf")))
    changed, scales = equalised(data, draw(24, image=(12, 12, 3)))
    assert len(scales) >= 5
    assert all(values.max() > 4 for values in scales.values())
    found = scales_in(ModelView(with_scales(changed, scales)))
    assert {name: values.tolist() for name, values in found.items()} == {
        name: pytest.approx(values) for name, values in scales.items()
    }


def test_inputs_outputs_and_what_a_curve_reads_keep_their_scale(bench):
    view = ModelView(convert(bench.adopt(u_net()).form("tf")))
    free = {index for group in groups(view) for index in group.tensors}
    curves = {"LOGISTIC", "CONCATENATION"}
    kept = {index for op in view.ops if op.kind in curves for index in (*op.inputs, *op.outputs)}
    assert kept
    assert not free & (kept | set(view.inputs(0)) | set(view.outputs(0)))
