"""Declared pre- and post-processing: baked into the graph as declared, and never twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack.errors import UsageError
from edgepack.wrap import InputWrap, OutputWrap, Wrap

L = keras.layers
PIXELS = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3)).astype(np.float32)


def network(*before, shape=(4, 6, 3), after=()):
    """A network whose answer shows every value it was fed: its input, flattened, after the layers given."""
    x = keras.Input(shape, name="image")
    y = x
    for layer in before:
        y = layer(y)
    y = L.Flatten(name="seen")(y)
    for layer in after:
        y = layer(y)
    return keras.Model(x, y)


def wrapped(bench, made, image=None, **outputs):
    inputs = (("image", InputWrap(kind="image", **image)),) if image is not None else ()
    wrap = Wrap(inputs, tuple((name, OutputWrap(activation)) for name, activation in outputs.items()))
    return bench.adopt(made, wrap=wrap)


def seen(model, fed=PIXELS):
    (output,) = model({"image": fed}).values()
    return output


def test_scale_and_offset(bench):
    model = wrapped(bench, network(), {"scale": (1 / 127.5,), "offset": (-1.0,)})
    np.testing.assert_allclose(seen(model), (PIXELS / 127.5 - 1).reshape(1, -1), atol=1e-6)
    assert [(name, where) for name, _, where in model.processing] == [("image", "baked")]


def test_mean_and_std_per_channel(bench):
    mean, std = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)
    model = wrapped(bench, network(), {"mean": mean, "std": std})
    np.testing.assert_allclose(seen(model), ((PIXELS - mean) / std).reshape(1, -1), atol=1e-5)


def test_scale_before_mean_and_std_as_torchvision_declares_it(bench):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    model = wrapped(bench, network(), {"scale": (1 / 255,), "mean": mean, "std": std})
    np.testing.assert_allclose(seen(model), ((PIXELS / 255 - mean) / std).reshape(1, -1), atol=1e-5)


def test_bgr_networks_are_fed_rgb_and_their_means_are_in_their_own_order(bench):
    """Caffe's VGG: blue, green, red, the mean of each subtracted."""
    mean = (103.939, 116.779, 123.68)
    model = wrapped(bench, network(), {"channels": "bgr", "mean": mean})
    np.testing.assert_allclose(seen(model), (PIXELS[..., ::-1] - mean).reshape(1, -1), atol=1e-4)


def test_channels_first_networks_are_fed_channels_last(bench):
    model = wrapped(bench, network(shape=(3, 4, 6)), {"layout": "NCHW", "mean": (1.0, 2.0, 3.0)})
    assert model.signature.input("image").shape == (1, 4, 6, 3)
    np.testing.assert_allclose(
        seen(model), (PIXELS - [1, 2, 3]).transpose(0, 3, 1, 2).reshape(1, -1), atol=1e-6
    )


def test_an_image_has_the_range_of_pixels(bench):
    model = wrapped(bench, network(), {})
    assert model.signature.input("image").range == (0.0, 255.0)
    assert bench.adopt(network()).signature.input("image").range is None


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_an_activation_is_baked_in(bench, activation):
    model = wrapped(bench, network(), {"scale": (1 / 255,)}, seen=activation)
    logits = PIXELS.reshape(1, -1).astype(np.float64) / 255
    wanted = np.exp(logits) / np.exp(logits).sum() if activation == "softmax" else 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(seen(model), wanted, rtol=1e-4)
    assert ("seen", activation, "baked") in model.processing


SCALES_ITSELF = {
    "a Rescaling layer": lambda: network(L.Rescaling(1 / 127.5, offset=-1)),
    "operators": lambda: network(lambda x: x / 127.5 - 1.0),
    "operators in another order": lambda: network(lambda x: (x - 127.5) / 127.5),
    "a Normalization layer": lambda: network(L.Normalization(mean=[127.5] * 3, variance=[127.5**2] * 3)),
}


@pytest.mark.parametrize("way", SCALES_ITSELF)
def test_a_source_that_scales_by_itself_is_not_scaled_twice(bench, way):
    made = SCALES_ITSELF[way]()
    model = wrapped(bench, made, {"scale": (1 / 127.5,), "offset": (-1.0,)})
    np.testing.assert_allclose(seen(model), (PIXELS / 127.5 - 1).reshape(1, -1), atol=1e-5)
    assert any("not added twice" in note for note in model.notes)
    assert [where for _, _, where in model.processing] == ["source"]


def test_a_module_that_divides_by_255_is_not_scaled_twice(bench):
    @tf.function(input_signature=[tf.TensorSpec([None, 4, 6, 3], tf.float32, name="image")])
    def predict(image):
        return {"seen": tf.nn.softmax(tf.reshape(image / 255.0, [-1, 72]))}

    model = wrapped(bench, predict, {"scale": (1 / 255,)}, seen="softmax")
    np.testing.assert_allclose(seen(model), predict(PIXELS)["seen"], rtol=1e-5)
    assert sum("not added twice" in note for note in model.notes) == 2


def test_another_scaling_than_the_sources_is_added_before_it_and_said(bench):
    model = wrapped(bench, network(L.Rescaling(2.0)), {"scale": (1 / 255,)})
    np.testing.assert_allclose(seen(model), (PIXELS / 255 * 2).reshape(1, -1), atol=1e-6)
    assert any("comes before it" in note for note in model.notes)


def test_a_softmax_at_the_end_is_not_added_twice(bench):
    made = network(after=[L.Dense(4, activation="softmax", name="classes")])
    model = wrapped(bench, made, classes="softmax")
    np.testing.assert_allclose(seen(model), made(PIXELS).numpy(), atol=1e-6)
    assert any("already ends with softmax" in note for note in model.notes)
    assert ("classes", "softmax", "source") in model.processing


def test_wrong_names_are_answered_with_the_nearest(bench):
    with pytest.raises(UsageError, match="no input 'imago'. Did you mean 'image'"):
        bench.adopt(network(), wrap=Wrap((("imago", InputWrap(kind="image")),)))
    with pytest.raises(UsageError, match="no output 'sean'. Did you mean 'seen'"):
        wrapped(bench, network(), sean="softmax")


def test_as_many_values_as_channels(bench):
    with pytest.raises(UsageError, match="3 channels; 2 values"):
        wrapped(bench, network(), {"mean": (1.0, 2.0)})


def test_an_image_that_is_none(bench):
    with pytest.raises(UsageError, match="is to be an image"):
        wrapped(bench, network(shape=(5,)), {})
    with pytest.raises(UsageError, match="is to be an image") as caught:
        wrapped(bench, network(shape=(3, 4, 6)), {})
    assert 'layout = "NCHW"' in caught.value.hint


def test_a_scaling_that_differs_from_place_to_place_is_not_taken_for_a_normalisation(bench):
    bias = tf.constant(np.arange(72, dtype=np.float32).reshape(4, 6, 3))
    assert bench.adopt(network(lambda x: x + bias)).scalings == {}


def test_the_difference_of_two_inputs_is_no_scaling(bench):
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    assert bench.adopt(keras.Model([a, b], L.Subtract()([a, b]))).scalings == {}
