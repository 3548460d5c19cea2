"""What a logarithm is taken of stays in float where its range is more than steps of one size can tell, and no more does."""

import keras
import numpy as np
from keras import layers, ops

from edgepack.precision.plan import uniform_plan
from edgepack.targets.tflite.target import target as tflite


def powers(count=16):
    """A few loud bands and many quiet ones."""
    random = np.random.default_rng(0)
    for _ in range(count):
        yield {"x": (random.normal(size=(1, 32)) * 10 ** random.uniform(-4, 0, (1, 32))).astype(np.float32)}


def network(transform):
    x = keras.Input((32,), name="x")
    y = layers.Dense(16, activation="relu", name="hidden")(transform(x))
    return keras.Model(x, layers.Dense(4, name="y")(y))


def floats(bench, model, precision="int8"):
    """The kinds of ops that stayed in float, by name, and the worst output's SQNR."""
    samples = list(powers())
    lowering = bench.lower(model, samples)
    plan = uniform_plan(lowering, precision, "auto")
    artifact = bench.emit(lowering, precision, ops=plan.ops)
    found = {op.name: op.kind for op in tflite.audit(artifact).ops if op.precision == "float32"}
    return found, bench.worst_db(bench.adopt(model), tflite.open(artifact), samples)


def test_a_logarithm_of_a_wide_range_and_what_is_before_it(bench):
    model = network(lambda x: ops.log(ops.matmul(x * x, np.eye(32, dtype=np.float32)) + 1e-8))
    for precision in ("int8", "int16x8", "int8_dynamic"):
        found, db = floats(bench, model, precision)
        assert {"MUL", "LOG"} <= set(found.values())
        assert "FULLY_CONNECTED" in found.values() or "BATCH_MATMUL" in found.values()
        assert not {"hidden", "y"} & set(found)
        assert db >= 30, precision


def test_the_input_is_float_too(bench):
    model = network(lambda x: ops.log(x * x + 1e-8))
    artifact = bench.emit(bench.lower(model, list(powers())), "int8")
    assert tflite.audit(artifact).signature.inputs[0].dtype == "float32"


def test_a_logarithm_of_few_steps_is_no_matter(bench):
    found, db = floats(bench, network(lambda x: ops.log(x * x + 5)))
    assert set(found.values()) == {"LOG"}
    assert db >= 25


def test_a_network_before_a_logarithm_is_int8(bench):
    def transform(x):
        return ops.log(layers.Dense(8, activation="relu", name="before")(x) * 3 + 1e-3)

    found, _ = floats(bench, network(transform))
    assert "LOG" in found.values()
    assert "before" not in found


def test_the_reason_is_said(bench):
    lowering = bench.lower(network(lambda x: ops.log(x * x + 1e-8)), list(powers()))
    (op,) = (op for op in lowering.ops if op.kind == "MUL")
    assert all("a logarithm" in op.limits[precision] for precision in ("int8", "int16x8", "int8_dynamic"))
