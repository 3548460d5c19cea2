"""What TF.js lacks is found before anything ships, and named with its layer; precisions of the ops that it has."""

import re
import shutil
import subprocess
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfjs_models import cnn, recurrent, trained

from edgepack.errors import ModelError
from edgepack.spec import Precision
from edgepack.targets.tfjs import ops
from edgepack.targets.tfjs.runner import NodeRunner

L = keras.layers


class Of(L.Layer):
    """A layer of one TensorFlow expression."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


def with_layer(shape, function):
    x = keras.Input(shape, name="x")
    return keras.Model(x, L.Dense(2, name="y")(Of(function, name="lacking")(x)))


def test_the_list_is_that_of_the_npm_package(tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    package = f"@tensorflow/tfjs-converter@{ops.CONVERTER}"
    done = subprocess.run(["npm", "pack", "--silent", package], cwd=tmp_path, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {package}: {done.stderr[-200:]}")
    with tarfile.open(tmp_path / done.stdout.strip()) as archive:

        def text(path):
            file = archive.extractfile(f"package/dist/operations/{path}.js")
            return file.read().decode().partition("//# sourceMappingURL")[0]

        # not every list in the package is loaded: ragged and tfdf lie there unused
        lists = re.findall(r"from '\./(op_list/\w+)'", text("operation_mapper"))
        found = {name for path in lists for name in re.findall(r"'tfOpName': '(\w+)'", text(path))}
    assert found == ops.known()


def test_an_op_that_it_lacks_is_named_with_its_layer(lowered):
    with pytest.raises(ModelError, match="no op MatrixDeterminant.*lacking") as caught:
        lowered(with_layer((3, 3), lambda x: tf.linalg.det(x)[:, None]))
    assert caught.value.hint


def test_two_of_them_are_both_named(lowered):
    with pytest.raises(ModelError) as caught:
        lowered(with_layer((3, 3), lambda x: tf.linalg.det(x)[:, None] + tf.linalg.cholesky(x)[:, 0]))
    assert "MatrixDeterminant" in caught.value.message
    assert "Cholesky" in caught.value.message


def test_an_op_inside_a_loop_is_found(lowered):
    def loop(x):
        return tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v + tf.linalg.cholesky(v)), (0, x))[1]

    with pytest.raises(ModelError, match="Cholesky"):
        lowered(with_layer((3, 3), loop))


def test_a_grouped_convolution_is_one_a_group(bench, lowered):
    image = keras.Input((8, 8, 4), name="image")
    x = L.BatchNormalization()(L.Conv2D(6, 3, groups=2, name="grouped")(image))
    made = trained(keras.Model(image, L.ReLU(name="y")(x)))
    lowering = lowered(made)
    assert sum("Conv2D" in op.kind for op in lowering.ops) == 2
    runner = NodeRunner(bench.emit(lowering, "float32"), "cpu")
    sample = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(runner({"image": sample})["y"], made(sample), atol=1e-5)


def test_a_lookup_table_is_refused(lowered):
    class Lookup(tf.Module):
        def __init__(self):
            super().__init__()
            pairs = tf.lookup.KeyValueTensorInitializer(
                tf.constant([1, 2], tf.int64), tf.constant([3.0, 4.0])
            )
            self.table = tf.lookup.StaticHashTable(pairs, 0.0)

        @tf.function(input_signature=[tf.TensorSpec([2], tf.int64, name="ids")])
        def predict(self, ids):
            return {"y": self.table.lookup(ids)}

    with pytest.raises(ModelError, match="table"):
        lowered(Lookup())


def test_text_inside_a_model_is_refused(lowered):
    class Words(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([2], tf.int32, name="ids")])
        def predict(self, ids):
            return {"y": tf.strings.to_number(tf.gather(tf.constant(["1", "2", "3"]), ids))}

    with pytest.raises(ModelError):
        lowered(Words())


def test_integers_beyond_32_bit_are_refused(lowered):
    class Large(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([2], tf.int32, name="ids")])
        def predict(self, ids):
            return {"y": tf.cast(tf.cast(ids, tf.int64) % (2**40), tf.int32)}

    with pytest.raises(ModelError, match="32 bit"):
        lowered(Large())


def test_checks_and_prints_are_taken_out(lowered):
    def checked(x):
        tf.debugging.assert_all_finite(x, "not finite")
        tf.print(x)
        return tf.debugging.check_numerics(x, "no number") * 2

    assert "CheckNumerics" not in {n.op for n in lowered(with_layer((4,), checked)).graph.topology.node}


def test_what_ops_can_take(lowered):
    ops_of = lowered(recurrent(L.LSTM(16), (6, 16))).ops
    found = {op.kind: op for op in ops_of}
    matrix = next(op for op in ops_of if op.weight_bytes >= 16 * 64 * 4)
    assert matrix.precisions == {Precision.FLOAT32, Precision.FLOAT16, Precision.INT16, Precision.INT8}
    assert "MatMul" in matrix.kind
    assert found["Sigmoid"].precisions == {Precision.FLOAT32}
    assert "no weights" in found["Sigmoid"].limits[Precision.INT8]


def test_an_infinite_mask_stays_float(lowered):
    mask = np.triu(np.full((20, 20), -np.inf, np.float32), 1)
    lowering = lowered(with_layer((20,), lambda x: tf.nn.softmax(x[:, None] + mask)[:, 0]))
    masked = next(op for op in lowering.ops if op.weight_bytes == mask.nbytes)
    assert masked.precisions == {Precision.FLOAT32}
    assert "finite" in masked.limits[Precision.INT8]


def test_names_of_ops_are_unique_and_in_the_order_they_run(lowered):
    lowering = lowered(cnn())
    names = [op.name for op in lowering.ops]
    assert len(set(names)) == len(names)
    assert names[-1] == "classes"
    seen = set()
    for node in lowering.graph.topology.node:
        assert set(node.input) <= seen
        seen.add(node.name)


def test_a_plan_can_raise_one_op(bench, lowered):
    lowering = lowered(recurrent(L.Dense(32), (6, 16)))
    large = [op for op in lowering.ops if Precision.INT8 in op.precisions]
    uniform = bench.emit(lowering, "int8")
    raised = bench.emit(lowering, "int8", ops={large[0].name: Precision.FLOAT32})
    assert raised.bytes - uniform.bytes > 0.7 * large[0].weight_bytes - 200


def test_another_precision_is_refused(bench, lowered):
    with pytest.raises(ModelError, match="int16x8"):
        bench.emit(lowered(cnn()), "int16x8")
