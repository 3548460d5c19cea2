"""How a layer's weights lie in a graph model, beside those of its float sibling; and what each op reads."""

import json

import pytest
from tfjs_models import cnn

from edgepack.precision.causes import weigh
from edgepack.targets.tfjs.audit import audit
from edgepack.targets.tfjs.stored import MADE, stored


def weights_of(artifact, names):
    return stored(json.loads(artifact.main.read_bytes()), artifact.folder, names)


@pytest.mark.parametrize(("precision", "steps", "least_db"), [("int8", 256, 35), ("int16", 65536, 80)])
def test_weights_are_measured_against_the_float_ones(bench, lowered, precision, steps, least_db):
    lowering = lowered(cnn())
    float32, smaller = bench.emit(lowering, "float32"), bench.emit(lowering, precision)
    names = {op.name for op in audit(smaller.main).ops if op.precision == f"{precision}_weights"}
    originals, found = weights_of(float32, names), weights_of(smaller, names)
    layers = {op.name for op in audit(smaller.main).ops if op.kind in MADE and op.name in names}
    assert layers
    assert found.keys() == layers
    for name in layers:
        measured = weigh(originals[name].weights, found[name])
        assert measured.sqnr_db > least_db
        assert measured.steps == steps
        assert found[name].result is None
        assert originals[name].codes is None


def test_nothing_is_read_that_nobody_asked_for(bench, lowered):
    assert weights_of(bench.emit(lowered(cnn()), "int8"), ()) == {}


def test_what_an_op_reads_is_known(bench, lowered):
    ops = audit(bench.emit(lowered(cnn()), "int8").main).ops
    names = {op.name for op in ops}
    assert ops[0].reads == ()
    assert all(op.reads and set(op.reads) <= names for op in ops[1:])
