"""The audit, from the files alone: what edgepack writes, what others wrote, and what was made to do harm."""

import contextlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tfjs_models import cnn, recurrent, transformer

from edgepack.errors import UsageError
from edgepack.spec import Precision
from edgepack.targets.tfjs.audit import audit

L = keras.layers
MODES = {"float32": "float32", "float16": "float16_weights", "int16": "int16_weights", "int8": "int8_weights"}


@pytest.mark.parametrize("precision", MODES)
def test_the_precision_of_weights_is_told_and_never_int8_arithmetic(bench, lowered, precision):
    lowering = lowered(transformer())
    artifact = bench.emit(lowering, precision)
    found = audit(artifact.main)
    assert not found.full_int8
    assert found.float_islands == ()
    assert not {"int8", "int16x8", "int8_dynamic"} & set(found.ops_by_precision)
    if precision != "float32":
        told = {op.name for op in found.ops if op.precision == MODES[precision]}
        assert told == {op.name for op in lowering.ops if Precision(precision) in op.precisions}
    shards = sum((artifact.folder / name).stat().st_size for name in artifact.files[1:])
    assert sum(found.bytes_by_dtype.values()) == shards
    assert sum(op.bytes for op in found.ops) == shards


def test_ops_are_those_of_the_lowering(bench, lowered):
    lowering = lowered(recurrent(L.LSTM(16)))
    found = audit(bench.emit(lowering, "float32").main)
    assert [(op.name, op.kind) for op in found.ops] == [(op.name, op.kind) for op in lowering.ops]
    assert {op.name: op.bytes for op in found.ops} == {op.name: op.weight_bytes for op in lowering.ops}


def test_the_signature_has_an_open_batch(bench, lowered):
    signature = audit(bench.emit(lowered(cnn()), "int8").main).signature
    assert str(signature.inputs[0]) == "image: float32[?x12x12x3]"
    assert str(signature.outputs[0]) == "classes: float32[?x4]"


def test_a_raised_weight_is_told(bench, lowered):
    lowering = lowered(transformer())
    large = next(op for op in lowering.ops if Precision.INT8 in op.precisions)
    found = audit(bench.emit(lowering, "int8", ops={large.name: Precision.FLOAT16}).main)
    assert {op.name: op.precision for op in found.ops}[large.name] == "float16_weights"


def test_a_model_of_the_official_converter(lowered, official, tmp_path):
    made = recurrent(L.LSTM(16))
    made.export(tmp_path / "saved", verbose=False)
    official(tmp_path / "saved", tmp_path / "out")
    found = audit(tmp_path / "out" / "model.json")
    assert found.bytes_by_dtype["float32"] >= made.count_params() * 4
    assert [spec.shape for spec in found.signature.inputs] == [(None, 6, 3)]


def test_a_model_without_a_signature(bench, lowered):
    artifact = bench.emit(lowered(cnn()), "float32")
    model = json.loads(artifact.main.read_text())
    del model["signature"]
    artifact.main.write_text(json.dumps(model))
    signature = audit(artifact.main).signature
    assert [spec.name for spec in signature.inputs] == ["image"]
    assert [spec.name for spec in signature.outputs] == ["classes"]


@pytest.fixture
def model(bench, lowered):
    """A small artifact, and its parsed model.json."""
    x = keras.Input((4,), name="x")
    artifact = bench.emit(lowered(keras.Model(x, L.Dense(2, name="y")(x))), "float32")
    return artifact, json.loads(artifact.main.read_text())


def refused(artifact, model, match):
    artifact.main.write_text(model if isinstance(model, str) else json.dumps(model))
    with pytest.raises(UsageError, match=match) as caught:
        audit(artifact.main)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "[" * 100_000, '{"modelTopology": []}'])
def test_what_is_no_model(model, text):
    refused(model[0], text, "no JSON|no TF.js model")


def test_a_layers_model(model):
    refused(model[0], {"format": "layers-model", "modelTopology": {}}, "layers model")


@pytest.mark.parametrize(
    "path", ["../secret.bin", "/etc/passwd", "https://example.org/w.bin", "a/../../b.bin"]
)
def test_weights_outside_of_the_folder(model, path):
    artifact, parsed = model
    parsed["weightsManifest"][0]["paths"] = [path]
    refused(artifact, parsed, "outside|There is no")


def test_a_shard_that_is_missing_or_cut(model):
    artifact, parsed = model
    shard = artifact.folder / artifact.files[1]
    data = shard.read_bytes()
    shard.write_bytes(data[:-1])
    refused(artifact, parsed, "damaged")
    shard.unlink()
    refused(artifact, parsed, "There is no group1-shard1of1.bin")


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "w", "shape": [2**60, 2**60], "dtype": "float32"},
        {"name": "w", "shape": [-1], "dtype": "float32"},
        {"name": "w", "shape": [2] * 1000, "dtype": "float32"},
        {"name": "w", "shape": "3", "dtype": "float32"},
        {"name": "w", "shape": [1], "dtype": "int4"},
        {"name": [], "shape": [1], "dtype": "int32"},
        {"shape": [1], "dtype": "int32"},
        {"name": "w", "shape": [1], "dtype": "float32", "quantization": []},
        None,
    ],
)
def test_an_entry_that_makes_no_sense(model, entry):
    artifact, parsed = model
    parsed["weightsManifest"][0]["weights"] = [entry]
    refused(artifact, parsed, "damaged")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4)
PLACES = ("modelTopology", "weightsManifest", "signature")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_anything_in_any_place_is_an_audit_or_a_usage_error(model, data):
    artifact, parsed = model
    broken = json.loads(json.dumps(parsed))
    at, key = broken, data.draw(st.sampled_from(PLACES))
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    at[key] = data.draw(JSON)
    artifact.main.write_text(json.dumps(broken))
    with contextlib.suppress(UsageError):
        audit(artifact.main)


def test_a_weight_that_two_ops_share_counts_once(bench, lowered):
    table = tf.Variable(np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32))

    class Tied(tf.Module):
        def __init__(self):
            super().__init__()
            self.table = table

        @tf.function(input_signature=[tf.TensorSpec([1, 32], tf.float32, name="x")])
        def predict(self, x):
            return {"y": tf.matmul(tf.nn.relu(tf.matmul(x, self.table)), self.table)}

    lowering = lowered(Tied())
    both = [op for op in lowering.ops if Precision.INT8 in op.precisions]
    assert [op.weight_bytes for op in both] == [4096, 0]
    raised = audit(bench.emit(lowering, "int8", ops={both[1].name: Precision.FLOAT32}).main)
    assert raised.bytes_by_dtype == {"float32": 4096}
