"""TensorFlow Lite Micro as a device: the bits of LiteRT's reference kernels, the memory it takes, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from on_device import bundle_of, install, play
from reference_models import EVERY, LAYERS, network

from edgepack import devices
from edgepack.devices.microcontroller import Microcontroller
from edgepack.devices.profiles import profile
from edgepack.errors import ModelError
from edgepack.spec import Precision
from edgepack.target import Artifact
from edgepack.targets.tflite.flatbuffer import with_signature
from edgepack.targets.tflite.target import target as tflite

L = keras.layers
STEP = 2**-8  # of int8 softmax, which the two kernels make up differently


@pytest.fixture(scope="module", autouse=True)
def installed():
    install("microcontroller", "tflite")


def arena_of(count):
    return Microcontroller(profile("microcontroller").model_copy(update={"arena": count}))


@pytest.fixture
def emitted(bench, draw):
    """An artifact of these layers, its runner on the reference kernels, and samples."""

    def make(kinds, precision="int8", **plan):
        samples = draw(8, image=(8, 8, 3))
        artifact = bench.emit(bench.lower(network(*kinds), samples), precision, **plan)
        return artifact, tflite.open(artifact, "reference"), samples

    return make


@pytest.mark.parametrize("kinds", [*((kind,) for kind in LAYERS), EVERY], ids="-".join)
def test_int8_has_the_bits_of_the_reference_kernels(emitted, kinds):
    """But for softmax."""
    artifact, runner, samples = emitted(kinds)
    answers, _ = play("microcontroller", artifact, runner, samples)
    step = STEP if "softmax" in kinds else 0
    for sample, answer in zip(samples, answers, strict=True):
        np.testing.assert_allclose(answer["y"], runner(sample)["y"], rtol=0, atol=step)


@pytest.mark.parametrize("precision", ["float32", "int16x8"])
def test_it_takes_float32_and_int16_activations_too(emitted, precision):
    artifact, runner, samples = emitted(EVERY, precision)
    answers, _ = play("microcontroller", artifact, runner, samples)
    for sample, answer in zip(samples, answers, strict=True):
        np.testing.assert_allclose(answer["y"], runner(sample)["y"], atol=1e-4)


def test_inputs_and_outputs_stay_float_where_the_artifact_has_them_so(emitted):
    artifact, runner, samples = emitted(EVERY, io="float")
    answers, _ = play("microcontroller", artifact, runner, samples)
    np.testing.assert_allclose(answers[0]["y"], runner(samples[0])["y"], rtol=0, atol=STEP)


def test_several_inputs_and_outputs(bench, draw):
    one, other = keras.Input((4,), name="one"), keras.Input((2, 3), name="the other")
    both = L.Concatenate()([L.Dense(3)(one), L.Flatten()(other)])
    model = keras.Model([other, one], {"z": L.Dense(2)(both), "a": L.Dense(5, activation="softmax")(both)})
    samples = draw(one=(4,), **{"the other": (2, 3)})
    artifact = bench.emit(bench.lower(model, samples))
    runner = tflite.open(artifact, "reference")
    answers, _ = play("microcontroller", artifact, runner, samples)
    for sample, answer in zip(samples, answers, strict=True):
        for name, expected in runner(sample).items():
            np.testing.assert_allclose(answer[name], expected, rtol=0, atol=STEP if name == "a" else 0)


def test_it_tells_the_arena_and_the_ops(emitted):
    artifact, runner, samples = emitted(("conv", "mean"))
    _, facts = play("microcontroller", artifact, runner, samples[:1])
    assert facts["ops"] == "CONV_2D, MEAN"
    assert int(facts["arena"].removesuffix(" bytes").replace(",", "")) > 8 * 8 * 3


def test_an_arena_of_so_many_bytes_suffices_and_one_of_fewer_does_not(emitted):
    artifact, runner, samples = emitted(EVERY)
    _, facts = play("microcontroller", artifact, runner, samples[:1])
    needed = int(facts["arena"].removesuffix(" bytes").replace(",", ""))
    play(arena_of(needed), artifact, runner, samples[:1])
    with pytest.raises(ModelError) as caught:
        play(arena_of(needed - 1), artifact, runner, samples[:1])
    assert (
        caught.value.message
        == f"The model needs an arena of {needed:,} bytes of working memory; there are {needed - 1:,}."
    )
    assert "fewer channels" in caught.value.hint


def test_an_op_that_it_lacks_is_named(tmp_path):
    function = tf.function(lambda x: tf.tile(x, (1, 3)), input_signature=[tf.TensorSpec((1, 8), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    artifact = Artifact(tmp_path, ("model.tflite",))
    signature = tflite.open(artifact).signature
    (tmp_path / "model.tflite").write_bytes(with_signature(artifact.main.read_bytes(), signature))
    with pytest.raises(ModelError) as caught:
        play("microcontroller", artifact, tflite.open(artifact), [])
    assert caught.value.message == "TensorFlow Lite Micro has no TILE."
    assert caught.value.hint == "Write the model without that op."


def test_weights_of_int8_with_float_activations_are_refused_in_words(emitted):
    artifact, runner, _ = emitted(("conv",), Precision.INT8_DYNAMIC)
    with pytest.raises(ModelError, match="no kernels for int8 weights with float activations") as caught:
        play("microcontroller", artifact, runner, [])
    assert caught.value.hint == "Build with --precision int8 or float32."


def test_what_is_no_model_is_refused(emitted):
    artifact, runner, _ = emitted(("conv",))
    bundle = bundle_of(artifact, runner.signature, "tflite")
    artifact.main.write_bytes(artifact.main.read_bytes()[:300])
    with pytest.raises(ModelError), devices.find("microcontroller").open(bundle, ""):
        pass
