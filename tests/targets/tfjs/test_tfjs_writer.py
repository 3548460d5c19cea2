"""The graph that is written: every family converts, nothing of TensorFlow's machinery is left, names survive."""

import json
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfjs_models import FAMILIES, Branches, cnn, recurrent, several, transformer

from edgepack.targets.tfjs.lower import lower
from edgepack.targets.tfjs.runner import NodeRunner
from edgepack.targets.tfjs.weights import dequantize, read

L = keras.layers


def kinds(lowering):
    return Counter(node.op for node in lowering.graph.topology.node)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_converts(bench, lowered, family):
    artifact = bench.emit(lowered(FAMILIES[family]()), "float32")
    model = json.loads(artifact.main.read_text())
    assert model["format"] == "graph-model"
    assert model["convertedBy"].startswith("edgepack ")
    assert model["modelTopology"]["versions"]["producer"]
    assert "library" not in model["modelTopology"]
    names = {node["name"] for node in model["modelTopology"]["node"]}
    read_by = {
        t.removeprefix("^").split(":")[0] for n in model["modelTopology"]["node"] for t in n.get("input", [])
    }
    assert read_by <= names


def test_a_batch_normalisation_is_gone_and_every_layer_is_one_op(lowered):
    found = kinds(lowered(cnn()))
    assert found["_FusedConv2D"] == 3
    assert found["FusedDepthwiseConv2dNative"] == 1
    assert found["_FusedMatMul"] == 2
    assert not {"Mul", "FusedBatchNormV3", "AddN", "Relu", "Relu6", "Prelu", "Elu"} & set(found)


@pytest.mark.parametrize("backend", ["cpu", "wasm"])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_computes_the_same(bench, family, backend):
    """In the runtime; folded, fused, in loops and branches."""
    model = bench.adopt(FAMILIES[family]())
    runner = NodeRunner(bench.emit(lower(model.form("tf")), "float32"), backend)
    assert bench.worst_db(model, runner, [drawn(model, seed) for seed in range(3)]) >= 100


def drawn(model, seed):
    rng = np.random.default_rng(seed)
    return {
        spec.name: rng.integers(0, 12, spec.shape).astype(spec.dtype)
        if spec.dtype == "int32"
        else rng.uniform(-1, 1, spec.shape).astype(np.float32)
        for spec in model.signature.inputs
    }


def test_a_batch_of_several(bench, lowered):
    made = cnn()
    runner = NodeRunner(bench.emit(lowered(made), "float32"), "cpu")
    images = np.random.default_rng(0).normal(size=(3, 12, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(runner({"image": images})["classes"], made(images), atol=1e-5)


def test_attention_is_matrix_products(lowered):
    """TF.js's einsum is slow, and its wasm backend has none; it has no erfc, which gelu is made of."""
    found = kinds(lowered(transformer()))
    assert not {"Einsum", "Erfc"} & set(found)
    assert found["BatchMatMulV2"] >= 2


def test_loops_are_made_of_switches(lowered):
    found = kinds(lowered(recurrent(L.LSTM(4))))
    assert {"Enter", "Merge", "Switch", "Exit"} <= set(found)
    assert "While" not in found


def test_two_loops_do_not_write_into_one_list(lowered):
    """TF.js's lists are written in place; equal empty lists must not become one."""
    nodes = lowered(recurrent(L.Bidirectional(L.LSTM(4)))).graph.topology.node
    made = {node.name for node in nodes if node.op == "TensorListReserve"}
    readers = Counter(tensor for node in nodes for tensor in node.input if tensor in made)
    assert len(made) == 2
    assert set(readers.values()) == {1}


def test_a_constant_result_of_a_branch_lives_only_with_it(lowered):
    nodes = {node.name: node for node in lowered(Branches()).graph.topology.node}
    merges = [node for node in nodes.values() if node.op == "Merge"]
    assert merges
    for merge in merges:
        assert "Const" not in {nodes[tensor.split(":")[0]].op for tensor in merge.input}


def test_names_and_their_order_survive(bench, lowered):
    lowering = lowered(several())
    signature = json.loads(bench.emit(lowering, "float32").main.read_text())["signature"]
    assert list(signature["inputs"]) == ["zebra", "ant"]
    assert list(signature["outputs"]) == ["z", "a", "same", "double", "again"]
    assert signature["inputs"]["zebra"] == {
        "name": "zebra:0",
        "dtype": "DT_FLOAT",
        "tensorShape": {"dim": [{"size": "-1"}, {"size": "4"}]},
    }


def test_an_input_and_an_output_of_one_name(lowered):
    x = keras.Input((4,), name="x")
    graph = lowered(keras.Model(x, {"x": L.Rescaling(2.0)(x)})).graph
    assert graph.inputs["x"] != graph.outputs["x"]


def test_an_output_that_is_a_constant_is_no_weight(lowered):
    class Constant(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 2], tf.float32, name="x")])
        def predict(self, x):
            return {"y": x + 1, "version": tf.constant([3.0])}

    graph = lowered(Constant()).graph
    assert graph.outputs["version"] not in graph.weights


def test_the_batch_stays_open_unless_it_is_given(lowered, small_cnn):
    assert lowered(small_cnn).graph.signature.inputs[0].shape == (None, 8, 8, 3)
    assert lowered(small_cnn).graph.signature.outputs[0].shape == (None, 4)
    given = lowered(small_cnn, shapes={"image": ((2, 8, 8, 3), None)})
    assert given.graph.signature.inputs[0].shape == (2, 8, 8, 3)


def test_a_model_that_needs_its_batch_keeps_it(lowered, events):
    class Fixed(L.Layer):
        def call(self, x):
            if x.shape[0] is None:
                raise ValueError("how many?")
            return x * 2

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    x = keras.Input((4,), name="x")
    graph = lowered(keras.Model(x, Fixed(name="y")(x))).graph
    assert graph.signature.inputs[0].shape == (1, 4)
    assert "one sample at a time" in str(events)


def test_the_same_model_gives_the_same_bytes(bench, lowered):
    made = cnn()
    first, second = (bench.emit(lowered(made), "int8") for _ in range(2))
    assert first.files == second.files
    for name in first.files:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


ORACLE = ("cnn", "unet", "lstm", "gru", "conv1d", "several", "normalised")


@pytest.mark.parametrize("family", ORACLE)
def test_no_larger_than_what_the_official_converter_writes(bench, lowered, official, tmp_path, family):
    made = FAMILIES[family]()
    saved, out = tmp_path / "saved", tmp_path / "official"
    if isinstance(made, keras.Model):
        made.export(saved, verbose=False)
    else:
        tf.saved_model.save(made, str(saved))
    official(saved, out)
    theirs = json.loads((out / "model.json").read_text())
    artifact = bench.emit(lowered(made), "float32")
    ours = json.loads(artifact.main.read_text())
    assert len(ours["modelTopology"]["node"]) <= len(theirs["modelTopology"]["node"])
    mine = [dequantize(w) for w in read(ours["weightsManifest"], artifact.folder).values()]
    official_weights = [dequantize(w) for w in read(theirs["weightsManifest"], out).values()]
    assert sum(w.nbytes for w in mine) <= sum(w.nbytes for w in official_weights)
    if family in ("lstm", "gru", "conv1d"):  # nothing to fold: the very same matrices
        for weight in official_weights:
            if weight.dtype == np.float32 and weight.ndim >= 2:
                assert any(np.array_equal(weight, each) for each in mine)
