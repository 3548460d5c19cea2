"""SavedModel folders: by Keras, by TensorFlow 2 with its signatures, by TensorFlow 1, and damaged ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack.errors import ModelError, UsageError
from edgepack.spec import TensorSpec

RNG = np.random.default_rng(0)
SERIES = TensorSpec("series", (1, 6, 3), "float32")
X = np.linspace(-1, 1, 192, dtype=np.float32).reshape(1, 8, 8, 3)


class TwoWays(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(np.full((3, 2), 0.5, np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="features")])
    def project(self, features):
        return {"projected": features @ self.weight}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="features")])
    def total(self, features):
        return {"total": tf.reduce_sum(features @ self.weight, -1, keepdims=True)}


FEATURES = {"features": np.array([[1, 2, 3]], np.float32)}


def save_two_ways(folder, **signatures):
    module = TwoWays()
    path = folder / "saved"
    tf.saved_model.save(module, path, signatures={k: getattr(module, v) for k, v in signatures.items()})
    return path


def test_loops_that_were_saved_with_an_open_batch(bench):
    """What comes behind a loop has the shape that one sample gives it, or no converter could go on."""
    keras.utils.set_random_seed(1)
    x = series = keras.Input((6, 3), name="series")
    x = keras.layers.LSTM(4)(keras.layers.LSTM(5, return_sequences=True)(x))
    made = keras.Model(series, keras.layers.Dense(2)(x))
    made.export(bench.folder / "saved", verbose=False)
    model = bench.load(bench.folder / "saved", sample_specs=(SERIES,))
    assert [str(spec) for spec in model.signature.outputs] == ["output_0: float32[1x2]"]
    fed = RNG.normal(size=(1, 6, 3)).astype(np.float32)
    graph = model.form("tf").concrete
    np.testing.assert_allclose(graph(tf.constant(fed))[0], made(fed), atol=1e-6)
    assert None not in [
        size for op in graph.graph.get_operations() for out in op.outputs[:1] for size in (out.shape or [])
    ]


def test_keras_export_keeps_names_and_answers(bench, small_cnn):
    small_cnn.export(bench.folder / "saved", verbose=False)
    model = bench.load(bench.folder / "saved")
    assert [str(spec) for spec in model.signature.inputs] == ["image: float32[1x8x8x3]"]
    (output,) = model({"image": X}).values()
    np.testing.assert_allclose(output, small_cnn(X).numpy(), atol=1e-6)


def test_several_inputs_are_not_mixed_up(bench):
    """Names in an order that is not the alphabet's; the two inputs have the same shape."""
    zebra, ant = keras.Input((4,), name="zebra"), keras.Input((4,), name="ant")
    made = keras.Model([zebra, ant], {"difference": keras.layers.Subtract()([zebra, ant])})
    made.export(bench.folder / "saved", verbose=False)
    model = bench.load(bench.folder / "saved")
    ones, twos = np.ones((1, 4), np.float32), np.full((1, 4), 2, np.float32)
    np.testing.assert_array_equal(model({"zebra": ones, "ant": twos})["difference"], ones - twos)


@pytest.mark.parametrize("batch", [1, 2])
def test_recurrent_layers_saved_for_any_batch_are_loops_of_the_one_that_is_asked_for(bench, batch):
    keras.utils.set_random_seed(0)
    words = keras.Input((7,), dtype="int32", name="words")
    x = keras.layers.Embedding(20, 6, mask_zero=True)(words)
    x = keras.layers.Bidirectional(keras.layers.LSTM(5, return_sequences=True))(x)
    made = keras.Model(words, keras.layers.Dense(3)(keras.layers.GRU(4)(x)))
    made.export(bench.folder / "saved", verbose=False)
    model = bench.load(bench.folder / "saved", shapes={"words": ((batch, 7), None)})
    assert [spec.shape for spec in model.signature.outputs] == [(batch, 3)]
    ids = np.random.default_rng(0).integers(0, 20, (batch, 7), dtype=np.int32)
    (output,) = model({"words": ids}).values()
    np.testing.assert_allclose(output, made(ids).numpy(), atol=1e-6)


def test_the_only_signature_is_taken(bench):
    model = bench.load(save_two_ways(bench.folder, project="project"))
    np.testing.assert_allclose(model(FEATURES)["projected"], [[3, 3]])


def test_serving_default_is_taken_among_several(bench):
    model = bench.load(save_two_ways(bench.folder, serving_default="total", other="project"))
    np.testing.assert_allclose(model(FEATURES)["total"], [[6]])


def test_several_signatures_ask_for_a_choice(bench):
    path = save_two_ways(bench.folder, first="project", second="total")
    with pytest.raises(UsageError, match="several signatures: first, second") as caught:
        bench.load(path)
    assert "--signature first" in caught.value.hint
    assert "total" in bench.load(path, signature="second")(FEATURES)


def test_a_signature_that_is_not_there_is_refused_with_those_that_are(bench):
    path = save_two_ways(bench.folder, first="project", second="total")
    with pytest.raises(UsageError, match="no signature 'third'") as caught:
        bench.load(path, signature="third")
    assert "first, second" in caught.value.hint


def test_a_module_saved_without_signatures_says_how_to_save_it(bench):
    class Bare(tf.Module):
        @tf.function
        def __call__(self, x):
            return x

    tf.saved_model.save(Bare(), bench.folder / "saved")
    with pytest.raises(ModelError, match="no signature") as caught:
        bench.load(bench.folder / "saved")
    assert "signatures=" in caught.value.hint


def save_v1(path):
    """As TensorFlow 1 did it: a graph with variables, and no Python objects."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        features = v1.placeholder(tf.float32, [None, 3], name="in")
        weight = v1.get_variable("weight", initializer=np.full((3, 2), 0.5, np.float32), use_resource=False)
        scores = tf.matmul(features, weight, name="out")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(path), {"features": features}, {"scores": scores})


def test_a_saved_model_of_tensorflow_1(bench):
    save_v1(bench.folder / "saved")
    model = bench.load(bench.folder / "saved")
    assert [str(spec) for spec in model.signature.inputs] == ["features: float32[1x3]"]
    np.testing.assert_allclose(model(FEATURES)["scores"], [[3, 3]])


def damage_objects(path):
    """Break the graph of Python objects, which the loader of TensorFlow 2 revives, and leave the rest alone."""
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((path / "saved_model.pb").read_bytes())
    nodes = proto.meta_graphs[0].object_graph_def.nodes
    for node in nodes:
        for child in node.children:
            child.node_id = len(nodes) + 7
    (path / "saved_model.pb").write_bytes(proto.SerializeToString())


def test_where_the_loader_of_tensorflow_2_stumbles_the_graph_alone_is_read(bench, small_cnn):
    path = bench.folder / "saved"
    small_cnn.export(path, verbose=False)
    damage_objects(path)
    with pytest.raises(Exception, match=".*"):  # noqa: B017, PT011
        tf.saved_model.load(path)
    model = bench.load(path)
    (output,) = model({"image": X}).values()
    np.testing.assert_allclose(output, small_cnn(X).numpy(), atol=1e-6)


def test_without_its_variables_it_cannot_be_loaded(bench):
    path = save_two_ways(bench.folder, serving_default="project")
    for file in (path / "variables").iterdir():
        file.unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        bench.load(path)


@pytest.mark.parametrize("content", [b"", b"not a protobuf at all, but long enough to be one"])
def test_a_damaged_saved_model_pb(bench, content):
    path = save_two_ways(bench.folder, serving_default="project")
    (path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError):
        bench.load(path)


def test_a_truncated_saved_model_pb(bench):
    path = save_two_ways(bench.folder, serving_default="project")
    data = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError):
        bench.load(path)


def test_ids_of_int64_come_in_as_int32_and_unknown_dimensions_by_shape(bench):
    class Ids(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int64, name="ids")])
        def __call__(self, ids):
            return {"next": ids + 1, "half": tf.cast(ids, tf.float64) / 2}

    module = Ids()
    tf.saved_model.save(module, bench.folder / "saved", signatures=module.__call__)
    with pytest.raises(UsageError, match="unknown dimensions: 1x?") as caught:
        bench.load(bench.folder / "saved")
    assert "--shape ids=" in caught.value.hint
    model = bench.load(bench.folder / "saved", shapes={"ids": ((1, 2), None)})
    answer = model({"ids": np.array([[1, 2]], np.int32)})
    assert {name: value.dtype.name for name, value in answer.items()} == {"next": "int32", "half": "float32"}
    assert any("int64" in note for note in model.notes)


def test_a_signature_that_takes_strings_is_refused(bench):
    class Texts(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def __call__(self, text):
            return {"length": tf.strings.length(text)}

    module = Texts()
    tf.saved_model.save(module, bench.folder / "saved", signatures=module.__call__)
    with pytest.raises(ModelError, match="'text' takes strings"):
        bench.load(bench.folder / "saved")
