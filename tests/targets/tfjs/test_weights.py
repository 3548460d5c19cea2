"""How weights are stored: to the bit what TF.js decodes, and never worse than half a step."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgepack.errors import ModelError
from edgepack.spec import Precision
from edgepack.target import Artifact
from edgepack.targets.tfjs import lower
from edgepack.targets.tfjs.runner import NodeRunner
from edgepack.targets.tfjs.weights import (
    SHARD_BYTES,
    Stored,
    dequantize,
    fidelity,
    is_quantizable,
    limits,
    read,
    store,
    write,
)

INT8, INT16, FLOAT16, FLOAT32 = Precision.INT8, Precision.INT16, Precision.FLOAT16, Precision.FLOAT32

MATRICES = arrays(
    np.float32, (16, 16), elements=st.floats(-1e4, 1e4, width=32, allow_nan=False, allow_subnormal=False)
)


@given(MATRICES, st.sampled_from([INT8, INT16]))
def test_no_weight_moves_by_more_than_a_step(value, precision):
    stored = store("w", value, precision)
    error = np.abs(dequantize(stored) - value.astype(np.float64))
    rounding = np.spacing(np.abs(value).max())  # of float32, at the largest value
    # half a step, but for the one end of the range that the shift towards zero cuts off: a whole one
    assert error.max() <= stored.scale * 1.001 + rounding


@given(MATRICES, st.sampled_from([INT8, INT16]))
def test_zero_stays_zero(value, precision):
    value[0, 0], value[0, 1], value[0, 2] = 0, -1, 1
    assert dequantize(store("w", value, precision))[0, 0] == 0


def test_one_value_everywhere_is_exact():
    value = np.full((16, 16), 0.1, np.float32)
    np.testing.assert_array_equal(dequantize(store("w", value, INT8)), value)


def test_halves_are_the_nearest_halves():
    value = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    np.testing.assert_array_equal(dequantize(store("w", value, FLOAT16)), value.astype(np.float16))


@pytest.mark.parametrize("shape", [(), (4096,), (1, 1, 1, 4096), (3, 3)])
def test_vectors_and_small_things_stay_float(shape):
    value = np.ones(shape, np.float32)
    assert not is_quantizable(value)
    assert store("w", value, INT8).values.dtype == np.float32


def test_what_a_precision_cannot_hold_stays_float():
    infinite = np.full((16, 16), -np.inf, np.float32)
    large = np.full((16, 16), 1e9, np.float32)
    assert set(limits(infinite)) == {INT8, INT16, FLOAT16}
    assert set(limits(large)) == {FLOAT16}
    np.testing.assert_array_equal(dequantize(store("w", infinite, INT8)), infinite)
    np.testing.assert_array_equal(dequantize(store("w", large, FLOAT16)), large)


def test_shards_are_4_mib_and_read_back(tmp_path):
    rng = np.random.default_rng(0)
    weights = [
        store("large", rng.normal(size=(1500, 1500)).astype(np.float32), FLOAT32),
        store("bytes", rng.normal(size=(37, 41)).astype(np.float32), INT8),
        store("flags", np.array([True, False, True]), INT8),
        store("halves", rng.normal(size=(37, 41)).astype(np.float32), FLOAT16),
        store("ids", np.arange(5, dtype=np.int32), INT8),
        store("nothing", np.zeros((0, 3), np.float32), INT8),
    ]
    manifest, names = write(weights, tmp_path)
    assert names == tuple(f"group1-shard{i}of3.bin" for i in (1, 2, 3))
    assert [(tmp_path / name).stat().st_size for name in names[:2]] == [SHARD_BYTES] * 2
    again = read(json.loads(json.dumps(manifest)), tmp_path)
    for weight in weights:
        np.testing.assert_array_equal(dequantize(again[weight.name]), dequantize(weight))


def test_no_weights_no_files(tmp_path):
    assert write([], tmp_path) == ([{"paths": [], "weights": []}], ())


@pytest.mark.parametrize("precision", [FLOAT32, FLOAT16, INT16, INT8])
def test_the_runtime_sees_what_numpy_computes(tmp_path, precision):
    """A graph of nothing but weights and identities, run by TF.js."""
    rng = np.random.default_rng(1)
    value = (rng.normal(size=(40, 40)) * 10.0 ** rng.integers(-7, 3, (40, 40))).astype(np.float32)
    stored = store("w", value, precision)
    manifest, names = write([stored], tmp_path)
    node = {
        "name": "x",
        "op": "Placeholder",
        "attr": {"dtype": {"type": "DT_FLOAT"}, "shape": {"shape": {"dim": [{"size": "1"}]}}},
    }
    constant = {"name": "w", "op": "Const", "attr": {"dtype": {"type": "DT_FLOAT"}}}
    answer = {"name": "y", "op": "AddV2", "input": ["x", "w"], "attr": {"T": {"type": "DT_FLOAT"}}}
    shape = {"dim": [{"size": "40"}, {"size": "40"}]}
    model = {
        "format": "graph-model",
        "modelTopology": {"node": [node, constant, answer], "versions": {"producer": 1}},
        "signature": {
            "inputs": {"x": {"name": "x:0", "dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "1"}]}}},
            "outputs": {"y": {"name": "y:0", "dtype": "DT_FLOAT", "tensorShape": shape}},
        },
        "weightsManifest": manifest,
    }
    (tmp_path / "model.json").write_text(json.dumps(model))
    runner = NodeRunner(Artifact(tmp_path, ("model.json", *names)), "cpu")
    np.testing.assert_array_equal(runner({"x": np.zeros(1, np.float32)})["y"], dequantize(stored))


def test_an_entry_says_how_it_is_stored():
    stored = Stored("w", "float32", np.zeros((2, 3), np.uint8), 0.5, -1.0)
    assert stored.entry == {
        "name": "w",
        "shape": [2, 3],
        "dtype": "float32",
        "quantization": {"dtype": "uint8", "original_dtype": "float32", "min": -1.0, "scale": 0.5},
    }


def test_how_well_a_weight_survives_is_measured_on_what_is_read_back():
    value = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    found = {precision: fidelity(value, precision) for precision in (INT8, FLOAT16, INT16, FLOAT32)}
    assert 35 < found[INT8] < 50 < found[FLOAT16] < found[INT16] < 100
    assert found[FLOAT32] == np.inf


def test_more_than_a_page_can_hold_is_refused_with_its_largest_weight(small_cnn, bench, monkeypatch):
    monkeypatch.setattr(lower, "MOST_BYTES", 3000)
    with pytest.raises(ModelError, match="largest is '.*second.*'"):
        lower.lower(bench.adopt(small_cnn).form("tf"))
