"""tflite-runtime 2.14 on 32-bit Arm: the bits of LiteRT's reference kernels, and ops that are too new for it by name."""

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import keras
import numpy as np
import pytest
from on_device import install, play
from reference_models import EVERY, network

from edgepack.errors import ModelError
from edgepack.targets.tflite.target import target as tflite


@pytest.fixture(scope="module", autouse=True)
def installed():
    install("armv7", "tflite")


@pytest.mark.parametrize(("precision", "step"), [("int8", 2**-8), ("int16x8", 2**-15)])
def test_integers_have_the_bits_of_the_reference_kernels(bench, draw, precision, step):
    """But for softmax, whose table the two make up differently: a step."""
    samples = draw(8, image=(8, 8, 3))
    artifact = bench.emit(bench.lower(network(*EVERY), samples), precision)
    runner = tflite.open(artifact, "reference")
    answers, facts = play("armv7", artifact, runner, samples)
    assert facts == {"runtime": "tflite-runtime 2.14.0"}
    for sample, answer in zip(samples, answers, strict=True):
        np.testing.assert_allclose(answer["y"], runner(sample)["y"], rtol=0, atol=step)


def test_a_kernel_that_computes_wrongly_shows(bench, draw):
    """It takes the scales of a dynamic layer's channels for one scale, and gives its bias alone, without a word."""
    samples = draw(4, image=(8, 8, 3))
    artifact = bench.emit(bench.lower(network("dense"), samples), "int8_dynamic")
    runner = tflite.open(artifact, "reference")
    answers, _ = play("armv7", artifact, runner, samples)
    assert all(np.array_equal(answer["y"], answers[0]["y"]) for answer in answers)
    assert not np.allclose(runner(samples[0])["y"], runner(samples[1])["y"], atol=0.02)


def test_an_op_of_a_later_version_is_named_and_so_is_the_remedy(bench, draw):
    samples = draw(8, image=(8, 8, 3))
    artifact = bench.emit(bench.lower(network("conv", "mean"), samples))
    runner = tflite.open(artifact)
    artifact.main.write_bytes(with_version(artifact.main.read_bytes(), 99))
    with pytest.raises(ModelError) as caught:
        play("armv7", artifact, runner, [])
    assert "tflite-runtime 2.14.0 has no CONV_2D of version 99" in caught.value.message
    assert "Use a newer runtime" in caught.value.hint


def without_bias(data):
    """The file with its one dense layer as others write it."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    (op,) = [op for op in model.subgraphs[0].operators if len(op.inputs) == 3]
    op.inputs = op.inputs[:2]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_crash_of_the_runtime_is_told(bench, draw):
    """A layer of int8 without a bias is too much for this old one, on its fast path; LiteRT runs it."""
    samples = draw(8, image=(4,))
    image = keras.Input((4,), name="image")
    model = keras.Model(image, keras.layers.Dense(5, use_bias=False, name="y")(image))
    artifact = bench.emit(bench.lower(model, samples))
    (fine,), _ = play("armv7", artifact, tflite.open(artifact), samples[:1])
    np.testing.assert_array_equal(fine["y"], tflite.open(artifact, "reference")(samples[0])["y"])
    artifact.main.write_bytes(without_bias(artifact.main.read_bytes()))
    runner = tflite.open(artifact)
    runner(samples[0])
    with pytest.raises(ModelError, match=r"The runtime crashed there \(SIGSEGV\)") as caught:
        play("armv7", artifact, runner, samples)
    assert "report it to the runtime's authors" in caught.value.hint


def with_version(data, version):
    """The file with every op said to be of this version."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for code in model.operatorCodes:
        code.version = version
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
