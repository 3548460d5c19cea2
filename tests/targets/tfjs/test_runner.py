"""The runner: TensorFlow.js on Node answers as TensorFlow does, leaks nothing, and says what it cannot do."""

import json
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack.errors import ModelError
from edgepack.model import LoadRequest
from edgepack.spec import Precision
from edgepack.target import Artifact, Plan
from edgepack.targets._tf import framework
from edgepack.targets.tfjs.lower import lower
from edgepack.targets.tfjs.runner import NodeRunner

BACKENDS = ["wasm", "cpu"]


@pytest.fixture
def emit(tmp_path):
    """A Keras model or tf.Module as (Model, artifact)."""

    def make(made):
        model = framework.adopt(made, LoadRequest("model"))
        out = tmp_path / "artifact"
        out.mkdir()
        return model, lower(model.form("tf")).emit(Plan(Precision.FLOAT32), out)

    return make


class Several(tf.Module):
    """Ids and features to scores, a number and a flag."""

    def __init__(self):
        super().__init__()
        random = np.random.default_rng(1)
        self.table = tf.Variable(random.normal(size=(50, 6)), dtype=tf.float32)
        self.dense = tf.Variable(random.normal(size=(6, 3)), dtype=tf.float32)

    @tf.function(
        input_signature=[
            tf.TensorSpec((1, 5), tf.int32, "ids"),
            tf.TensorSpec((1, 6), tf.float32, "features"),
        ]
    )
    def __call__(self, ids, features):
        scores = (tf.reduce_mean(tf.gather(self.table, ids), 1) + features) @ self.dense
        return {"scores": scores, "best": tf.argmax(scores, 1, tf.int32), "above": scores > 0}


def edited(artifact, edit):
    graph = json.loads(artifact.main.read_text())
    edit(graph)
    artifact.main.write_text(json.dumps(graph))
    return artifact


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cnn_answers_as_tensorflow_does(emit, draw, bench, small_cnn, backend):
    model, artifact = emit(small_cnn)
    runner = NodeRunner(artifact, backend)
    assert runner.signature.inputs[0].shape == (1, 8, 8, 3)
    assert bench.worst_db(model, runner, draw(image=(8, 8, 3))) > 110


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_inputs_and_outputs_of_every_type(emit, backend):
    model, artifact = emit(Several())
    runner = NodeRunner(artifact, backend)
    random = np.random.default_rng(0)
    for _ in range(3):
        inputs = {
            "ids": random.integers(0, 50, (1, 5)).astype(np.int32),
            "features": random.normal(size=(1, 6)).astype(np.float32),
        }
        expected, found = model(inputs), runner(inputs)
        assert {name: array.dtype.name for name, array in found.items()} == {
            "scores": "float32", "best": "int32", "above": "bool",
        }  # fmt: skip
        np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found["best"], expected["best"])
        np.testing.assert_array_equal(found["above"], expected["above"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_lstm_loops(emit, draw, bench, backend):
    keras.utils.set_random_seed(3)
    steps = keras.Input((12, 4), name="steps")
    made = keras.Model(steps, keras.layers.Dense(3, name="out")(keras.layers.LSTM(8)(steps)))
    model, artifact = emit(made)
    runner = NodeRunner(artifact, backend)
    samples = draw(4, steps=(12, 4))
    assert bench.worst_db(model, runner, samples) > 90
    before = runner.tensors
    for _ in range(20):
        runner(samples[0])
    assert runner.tensors == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thousand_predictions_leak_no_tensor(emit, draw, small_cnn, backend):
    _, artifact = emit(small_cnn)
    runner = NodeRunner(artifact, backend)
    (sample,) = draw(1, image=(8, 8, 3))
    before, first = runner.tensors, runner(sample)
    for _ in range(999):
        last = runner(sample)
    runner.layers(sample)
    assert runner.tensors == before
    np.testing.assert_array_equal(first["classes"], last["classes"])


def test_layers_are_the_float_outputs_of_the_graphs_ops(emit, draw, small_cnn):
    model, artifact = emit(small_cnn)
    (sample,) = draw(1, image=(8, 8, 3))
    layers = NodeRunner(artifact).layers(sample)
    nodes = [node["name"] for node in json.loads(artifact.main.read_text())["modelTopology"]["node"]]
    assert set(layers) <= set(nodes)
    assert {array.dtype.name for array in layers.values()} == {"float32"}
    expected = model(sample)["classes"]
    assert any(np.allclose(a, expected, atol=1e-5) for a in layers.values() if a.shape == expected.shape)


def test_an_op_that_cannot_run_is_named(emit, draw, small_cnn):
    _, artifact = emit(small_cnn)

    def unknown(graph):
        node = next(node for node in graph["modelTopology"]["node"] if "Softmax" in node["op"])
        node["op"] = "NoSuchOp"
        unknown.name = node["name"]

    runner = NodeRunner(edited(artifact, unknown))
    before = runner.tensors
    with pytest.raises(ModelError, match="NoSuchOp") as raised:
        runner(draw(1, image=(8, 8, 3))[0])
    assert f"'{unknown.name}'" in raised.value.message
    assert runner.tensors == before


def test_a_wrong_shape_is_refused_and_the_next_is_answered(emit, draw, small_cnn):
    _, artifact = emit(small_cnn)
    runner = NodeRunner(artifact)
    with pytest.raises(ModelError, match="shape"):
        runner({"image": np.zeros((1, 9, 9, 3), np.float32)})
    assert runner(draw(1, image=(8, 8, 3))[0])["classes"].shape == (1, 4)


def test_an_integer_beyond_32_bits_is_refused(emit):
    _, artifact = emit(Several())
    with pytest.raises(ModelError, match="'ids' holds an integer beyond 32 bits"):
        NodeRunner(artifact)({"ids": np.full((1, 5), 2**40), "features": np.zeros((1, 6), np.float32)})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"signature": {"inputs": {"a": {}}, "outputs": {}}}'])
def test_what_is_no_graph_model_is_refused(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ModelError, match="cannot be read|no readable signature"):
        NodeRunner(Artifact(tmp_path, ("model.json",)))


@pytest.mark.parametrize("path", ["../secret.bin", "/dev/zero", "other.bin", ["a"]])
def test_weights_that_are_no_part_of_the_artifact_are_not_opened(emit, small_cnn, path):
    _, artifact = emit(small_cnn)
    model = json.loads(artifact.main.read_bytes())
    model["weightsManifest"][0]["paths"].append(path)
    artifact.main.write_text(json.dumps(model))
    with pytest.raises(ModelError, match="weights that are no part of the artifact"):
        NodeRunner(artifact)


def test_a_missing_shard_is_named(emit, small_cnn):
    _, artifact = emit(small_cnn)
    (artifact.folder / artifact.files[1]).unlink()
    with pytest.raises(ModelError, match=artifact.files[1]):
        NodeRunner(artifact)


def test_a_node_that_dies_is_an_error_with_its_words(emit, draw, small_cnn):
    _, artifact = emit(small_cnn)
    runner = NodeRunner(artifact)
    runner._process.kill()
    runner._process.wait()
    with pytest.raises(ModelError, match=r"Node ended .*-9"):
        runner(draw(1, image=(8, 8, 3))[0])


def test_node_ends_with_its_runner_and_with_its_parent(emit, small_cnn):
    _, artifact = emit(small_cnn)
    runner = NodeRunner(artifact)
    process = runner._process
    del runner
    assert process.returncode is not None
    script = (
        "import os, sys; from pathlib import Path; from edgepack.target import Artifact\n"
        "from edgepack.targets.tfjs.runner import NodeRunner\n"
        "runner = NodeRunner(Artifact(Path(sys.argv[1]), tuple(sys.argv[2:])))\n"
        "print(runner._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(artifact.folder), *artifact.files],
        capture_output=True,
        text=True,
        timeout=600,
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 60
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Spectrum(tf.Module):
    """The size of a Fourier transform."""

    @tf.function(input_signature=[tf.TensorSpec((1, 64), tf.float32, "x")])
    def __call__(self, x):
        return {"y": tf.abs(tf.signal.rfft(x))}


def test_backends_that_lack_a_kernel_are_told_with_its_name(emit, draw, small_cnn):
    model, artifact = emit(small_cnn)
    (sample,) = draw(1, image=(8, 8, 3))
    assert NodeRunner(artifact).backends(sample) == {"wasm": "", "webgl": "", "webgpu": "", "cpu": ""}


def test_what_runs_in_plain_javascript_may_lack_kernels_elsewhere(emit, draw):
    _, artifact = emit(Spectrum())
    (sample,) = draw(1, x=(64,))
    with pytest.raises(ModelError, match="wasm"):
        NodeRunner(artifact, "wasm")(sample)
    found = NodeRunner(artifact, "cpu").backends(sample)
    assert "FFT" in found["wasm"]
    assert (found["webgl"], found["cpu"]) == ("", "")


def test_layers_within_a_loop_are_left_out(emit, draw):
    series = keras.Input((5, 3), name="series")
    model, artifact = emit(
        keras.Model(series, keras.layers.Dense(2, name="last")(keras.layers.LSTM(4)(series)))
    )
    (sample,) = draw(1, series=(5, 3))
    layers = NodeRunner(artifact).layers(sample)
    assert [name for name in layers if "while/body" in name] == []
    np.testing.assert_allclose([*layers.values()][-1], model(sample)["last"], atol=1e-5)


class Casts(tf.Module):
    """Numbers of one type from numbers of another."""

    @tf.function(input_signature=[tf.TensorSpec((1, 5), tf.float32, "x")])
    def __call__(self, x):
        whole = tf.cast(x, tf.int32)
        return {
            "whole": whole,
            "real": tf.cast(whole, tf.float32),
            "flag": tf.cast(tf.cast(x > 0, tf.float32), tf.bool),
            "count": tf.cast(x > 0, tf.float32),
        }


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_cast_arrives_as_the_type_that_it_is(emit, backend):
    model, artifact = emit(Casts())
    sample = {"x": np.float32([[-1.5, -0.2, 0, 0.7, 300.9]])}
    found = NodeRunner(artifact, backend)(sample)
    for name, wanted in model(sample).items():
        assert found[name].dtype == wanted.dtype
        np.testing.assert_array_equal(found[name], wanted)
