"""Keras files: of this version and of Keras 2; damaged ones, and files that are something else."""

import json

import h5py
import keras
import numpy as np
import pytest

from edgepack.errors import ModelError, UsageError

X = np.linspace(-1, 1, 192, dtype=np.float32).reshape(1, 8, 8, 3)
SERIES = X.reshape(-1)[:15].reshape(1, 5, 3)


def keras2_h5(path, model, layer_configs):
    """Weights as Keras 3 saves them, under a config as Keras 2 wrote it: layer by layer, ``batch_input_shape``."""
    model.save(path)
    config = {
        "class_name": "Sequential",
        "config": {"name": "sequential", "layers": layer_configs},
    }
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.4.0"
        file["model_weights"].attrs["keras_version"] = "2.4.0"


def keras2_layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, "trainable": True, "dtype": "float32", **config}}


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
def test_a_saved_model_keeps_its_names_and_its_answers(bench, small_cnn, suffix):
    path = bench.folder / f"model{suffix}"
    small_cnn.save(path)
    model = bench.load(path)
    assert [str(spec) for spec in model.signature.inputs] == ["image: float32[1x8x8x3]"]
    assert [str(spec) for spec in model.signature.outputs] == ["classes: float32[1x4]"]
    np.testing.assert_allclose(model({"image": X})["classes"], small_cnn(X).numpy(), atol=1e-6)


def test_an_h5_of_keras_2_with_batch_input_shape_and_the_groups_of_teachable_machine(bench):
    L = keras.layers
    made = keras.Sequential(
        [keras.Input((8, 8, 3)), L.DepthwiseConv2D(3, name="dw", use_bias=False), L.Flatten(name="flat")]
    )
    path = bench.folder / "keras_model.h5"
    depthwise = keras2_layer(
        "DepthwiseConv2D",
        "dw",
        batch_input_shape=[None, 8, 8, 3],
        kernel_size=[3, 3],
        strides=[1, 1],
        padding="valid",
        data_format="channels_last",
        dilation_rate=[1, 1],
        groups=1,
        activation="linear",
        use_bias=False,
        depth_multiplier=1,
        depthwise_initializer={"class_name": "GlorotUniform", "config": {"seed": None}},
    )
    keras2_h5(path, made, [depthwise, keras2_layer("Flatten", "flat", data_format="channels_last")])
    model = bench.load(path)
    (output,) = model({model.signature.inputs[0].name: X}).values()
    np.testing.assert_allclose(output, made(X).numpy(), atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_an_h5_of_keras_2_with_recurrent_layers_that_say_time_major_false(bench, kind):
    made = keras.Sequential([keras.Input((5, 3)), getattr(keras.layers, kind)(4, name="rnn")])
    path = bench.folder / "recurrent.h5"
    config = {"batch_input_shape": [None, 5, 3], "units": 4, "time_major": False, "return_sequences": False}
    keras2_h5(path, made, [keras2_layer(kind, "rnn", **config)])
    model = bench.load(path)
    (output,) = model({model.signature.inputs[0].name: SERIES}).values()
    np.testing.assert_allclose(output, made(SERIES).numpy(), atol=1e-6)


@pytest.mark.parametrize("module", [{}, {"module": "keras.layers", "registered_name": None}])
def test_an_h5_of_keras_2_inside_a_wrapper(bench, module):
    """Keras wrote the module of a wrapped layer from 2.12 on."""
    L = keras.layers
    made = keras.Sequential([keras.Input((5, 3)), L.Bidirectional(L.LSTM(4, name="lstm"), name="both")])
    path = bench.folder / "both.h5"
    zeros = {"class_name": "Zeros", "config": {}}
    inner = {**keras2_layer("LSTM", "lstm", units=4, time_major=False, bias_initializer=zeros), **module}
    both = {"batch_input_shape": [None, 5, 3], "layer": inner, "merge_mode": "concat"}
    keras2_h5(path, made, [keras2_layer("Bidirectional", "both", **both)])
    model = bench.load(path)
    (output,) = model({model.signature.inputs[0].name: SERIES}).values()
    np.testing.assert_allclose(output, made(SERIES).numpy(), atol=1e-6)


KERAS2_CONVOLUTIONS = {
    "SeparableConv2D": {"filters": 4, "kernel_regularizer": None, "kernel_constraint": None},
    "Conv2DTranspose": {"filters": 4},
}


@pytest.mark.parametrize("kind", KERAS2_CONVOLUTIONS)
def test_an_h5_of_keras_2_with_groups_where_keras_3_has_none(bench, kind):
    made = keras.Sequential([keras.Input((8, 8, 3)), getattr(keras.layers, kind)(4, 3, name="conv")])
    path = bench.folder / "conv.h5"
    config = {"batch_input_shape": [None, 8, 8, 3], "kernel_size": [3, 3], "groups": 1}
    keras2_h5(path, made, [keras2_layer(kind, "conv", **config, **KERAS2_CONVOLUTIONS[kind])])
    model = bench.load(path)
    np.testing.assert_allclose(model({"conv_input": X})["conv"], made(X).numpy(), atol=1e-6)


def test_the_hard_sigmoid_of_keras_2_stays_what_it_was(bench):
    """clip(0.2 x + 0.5, 0, 1); Keras 3 computes relu6(x + 3) / 6 under the same name."""
    made = keras.Sequential([keras.Input((4,)), keras.layers.Activation("linear", name="gate")])
    path = bench.folder / "gate.h5"
    activation = keras2_layer("Activation", "gate", batch_input_shape=[None, 4], activation="hard_sigmoid")
    keras2_h5(path, made, [activation])
    x = np.array([[-2, -1, 1, 3]], np.float32)
    (output,) = bench.load(path)({"gate_input": x}).values()
    np.testing.assert_allclose(output, [[0.1, 0.3, 0.7, 1.0]], atol=1e-6)


def test_tensorflow_operations_as_layers_are_named_as_what_keras_3_lacks(bench, small_cnn):
    path = bench.folder / "ops.h5"
    small_cnn.save(path)
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["class_name"] = "TFOpLambda"
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ModelError, match="TensorFlow operations as layers") as caught:
        bench.load(path)
    assert "SavedModel" in caught.value.hint


def test_a_functional_h5_of_keras_2(bench):
    """As tf.keras 2 wrote it: inbound_nodes as nested lists, InputLayer with batch_input_shape."""
    image = keras.Input((8, 8, 3), name="image")
    made = keras.Model(image, keras.layers.Conv2D(2, 3, name="conv")(image))
    path = bench.folder / "functional.h5"
    made.save(path)
    layers = [
        keras2_layer("InputLayer", "image", batch_input_shape=[None, 8, 8, 3], sparse=False, ragged=False),
        keras2_layer("Conv2D", "conv", filters=2, kernel_size=[3, 3], groups=1),
    ]
    layers[0] |= {"name": "image", "inbound_nodes": []}
    layers[1] |= {"name": "conv", "inbound_nodes": [[["image", 0, 0, {}]]]}
    config = {
        "name": "model",
        "layers": layers,
        "input_layers": [["image", 0, 0]],
        "output_layers": [["conv", 0, 0]],
    }
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
    model = bench.load(path)
    assert [spec.name for spec in model.signature.inputs] == ["image"]
    np.testing.assert_allclose(model({"image": X})["conv"], made(X).numpy(), atol=1e-6)


def test_a_corrupt_keras_file_is_called_damaged(bench):
    path = bench.folder / "model.keras"
    path.write_bytes(b"no zip at all")
    with pytest.raises(ModelError, match="not a Keras file, or it is damaged"):
        bench.load(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("keep", [0, 0.3, 0.9])
def test_a_truncated_file_is_an_error_of_the_model(bench, small_cnn, suffix, keep):
    path = bench.folder / f"model{suffix}"
    small_cnn.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ModelError, match="damaged"):
        bench.load(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_flipped_bytes_are_an_error_or_no_matter_but_never_a_crash(bench, small_cnn, suffix):
    path = bench.folder / f"model{suffix}"
    small_cnn.save(path)
    data = path.read_bytes()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 20):
            broken[at] ^= 0xFF
        path.write_bytes(broken)
        try:
            bench.load(path)
        except (ModelError, UsageError) as error:
            assert error.hint  # noqa: PT017


def test_a_file_of_weights_says_that_it_is_one(bench, small_cnn):
    path = bench.folder / "model.weights.h5"
    small_cnn.save_weights(path)
    with pytest.raises(ModelError, match="weights only") as caught:
        bench.load(path)
    assert "load_weights" in caught.value.hint


def test_an_h5_under_the_name_keras_is_refused(bench, small_cnn):
    small_cnn.save(bench.folder / "model.h5")
    path = (bench.folder / "model.h5").rename(bench.folder / "model.keras")
    with pytest.raises(ModelError, match="not a Keras file") as caught:
        bench.load(path)
    assert ".h5" in caught.value.hint


def test_a_zip_that_is_no_keras_file(bench):
    path = bench.folder / "model.keras"
    np.savez(bench.folder / "arrays.npz", a=X)
    (bench.folder / "arrays.npz").rename(path)
    with pytest.raises(ModelError, match=r"model\.keras"):
        bench.load(path)
