"""What a factory may return: every kind of Keras model, tf.Modules, tf.functions. Names of inputs and outputs stay."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgepack import frameworks
from edgepack.errors import ModelError, UsageError
from edgepack.spec import TensorSpec

L = keras.layers


def names(specs):
    return [spec.name for spec in specs]


def test_a_factory_that_is_called_again_names_its_outputs_alike(bench):
    def made():
        frameworks.forget_names()
        return bench.adopt(keras.Sequential([keras.Input((3,)), L.Dense(2)]))

    assert names(made().signature.outputs) == names(made().signature.outputs) == ["dense"]


def ones(*shape):
    return np.ones((1, *shape), np.float32)


def test_a_sequential_model_with_an_input(bench):
    made = keras.Sequential([keras.Input((4,), name="features"), L.Dense(2, name="scores")])
    model = bench.adopt(made)
    assert names(model.signature.inputs) == ["features"]
    np.testing.assert_allclose(model({"features": ones(4)})["scores"], made(ones(4)), atol=1e-6)


def test_a_sequential_model_that_was_called_but_has_no_input(bench):
    made = keras.Sequential([L.Dense(2, name="scores")])
    made(ones(4))
    model = bench.adopt(made)
    (spec,) = model.signature.inputs
    assert spec.shape == (1, 4)
    np.testing.assert_allclose(model({spec.name: ones(4)})["scores"], made(ones(4)), atol=1e-6)


def test_a_sequential_model_never_built_needs_a_shape(bench):
    with pytest.raises(UsageError, match="never built") as caught:
        bench.adopt(keras.Sequential([L.Dense(2)]))
    assert "--shape" in caught.value.hint


def test_a_sequential_model_never_built_takes_name_and_shape_from_the_flag(bench):
    made = keras.Sequential([L.Dense(2, name="scores")])
    model = bench.adopt(made, shapes={"features": ((1, 4), None)})
    assert [str(spec) for spec in model.signature.inputs] == ["features: float32[1x4]"]


def test_a_sequential_model_never_built_takes_them_from_the_samples(bench):
    model = bench.adopt(keras.Sequential([L.Dense(2)]), sample_specs=(TensorSpec("row", (4,), "float64"),))
    assert [str(spec) for spec in model.signature.inputs] == ["row: float32[1x4]"]


class Pooled(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(2)

    def call(self, image, training=False):
        return {"logits": self.dense(keras.ops.mean(image, axis=(1, 2)))}


def test_a_subclassed_model_built_by_a_call(bench):
    made = Pooled()
    made(ones(4, 4, 3))
    model = bench.adopt(made)
    (spec,) = model.signature.inputs
    assert (spec.name, spec.shape) == ("image", (1, 4, 4, 3))
    np.testing.assert_allclose(
        model({"image": ones(4, 4, 3)})["logits"], made(ones(4, 4, 3))["logits"], atol=1e-6
    )


def test_a_subclassed_model_never_built(bench):
    with pytest.raises(UsageError, match="never built"):
        bench.adopt(Pooled())
    given = bench.adopt(Pooled(), shapes={"image": ((1, 4, 4, 3), None)})
    assert [str(spec) for spec in given.signature.inputs] == ["image: float32[1x4x4x3]"]
    sampled = bench.adopt(Pooled(), sample_specs=(TensorSpec("input_0", (4, 4, 3), "uint8"),))
    assert [str(spec) for spec in sampled.signature.inputs] == ["image: float32[1x4x4x3]"]


class TwoInputs(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(2)

    def call(self, image, meta):
        joined = keras.ops.concatenate([keras.ops.mean(image, axis=(1, 2)), meta], -1)
        return self.dense(joined), keras.ops.sum(meta, axis=-1, keepdims=True)


@pytest.mark.parametrize("built", [True, False])
def test_a_subclassed_model_with_two_parameters(bench, built):
    made = TwoInputs()
    if built:
        made(ones(4, 4, 3), ones(5))
    with pytest.raises(
        UsageError, match="does not know its inputs"
    ):  # Keras keeps the first one's shape only
        bench.adopt(made)
    model = bench.adopt(made, shapes={"image": ((1, 4, 4, 3), None), "meta": ((1, 5), None)})
    assert names(model.signature.inputs) == ["image", "meta"]
    assert names(model.signature.outputs) == ["output_0", "output_1"]
    np.testing.assert_allclose(model({"image": ones(4, 4, 3), "meta": ones(5)})["output_1"], [[5]])


class Masked(keras.Model):
    def call(self, ids, mask=None):
        return keras.ops.cast(ids, "float32") * keras.ops.cast(mask, "float32")


def test_a_parameter_with_a_default_is_an_input_where_it_is_named(bench):
    shapes = {"ids": ((1, 3), "int32"), "mask": ((1, 3), "int32")}
    model = bench.adopt(Masked(), shapes=shapes)
    answer = model({"ids": np.array([[1, 2, 3]], np.int32), "mask": np.array([[1, 0, 1]], np.int32)})
    np.testing.assert_array_equal(answer["output"], [[1, 0, 3]])


class WithBuild(keras.Model):
    def build(self, shape):
        self.dense = L.Dense(2)
        self.dense.build(shape)
        self.built = True

    def call(self, features):
        return self.dense(features)


def test_the_input_has_the_name_of_the_parameter_of_call_not_of_build(bench):
    made = WithBuild()
    made.build((None, 4))
    assert [str(spec) for spec in bench.adopt(made).signature.inputs] == ["features: float32[1x4]"]


class DictInput(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(2)

    def call(self, inputs):
        return self.dense(inputs["a"] - inputs["b"])


@pytest.mark.parametrize("built", [True, False])
def test_a_subclassed_model_that_takes_a_dict(bench, built):
    made = DictInput()
    if built:
        made({"a": ones(3), "b": ones(3)})
    shapes = {} if built else {"a": ((1, 3), None), "b": ((1, 3), None)}
    model = bench.adopt(made, shapes=shapes)
    assert names(model.signature.inputs) == ["a", "b"]
    (output,) = model({"a": ones(3), "b": ones(3)}).values()
    np.testing.assert_allclose(output, np.zeros((1, 2)))


class Ids(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = L.Embedding(10, 4)

    def call(self, ids):
        return self.embedding(ids)


def test_a_subclassed_model_built_on_ids_takes_integers_if_the_samples_are(bench):
    made = Ids()
    made(np.array([[1, 2, 3]]))
    model = bench.adopt(made, sample_specs=(TensorSpec("ids", (3,), "int64"),))
    assert [str(spec) for spec in model.signature.inputs] == ["ids: int32[1x3]"]


def test_several_inputs_and_outputs_of_a_functional_model(bench):
    zebra, ant = keras.Input((4,), name="zebra"), keras.Input((4,), name="ant")
    made = keras.Model(
        [zebra, ant], [L.Subtract(name="difference")([zebra, ant]), L.Add(name="sum")([zebra, ant])]
    )
    model = bench.adopt(made)
    assert names(model.signature.inputs) == ["zebra", "ant"]
    answer = model({"zebra": ones(4), "ant": 2 * ones(4)})
    assert {name: value.tolist() for name, value in answer.items()} == {
        "difference": [[-1.0] * 4],
        "sum": [[3.0] * 4],
    }


def test_dict_inputs_dict_outputs_and_nested_outputs(bench):
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    added, multiplied = L.Add()([a, b]), L.Multiply()([a, b])
    made = keras.Model({"a": a, "b": b}, {"z": added, "pair": [multiplied, L.Subtract()([a, b])]})
    model = bench.adopt(made)
    assert set(names(model.signature.inputs)) == {"a", "b"}
    answer = model({"a": 3 * ones(4), "b": ones(4)})
    assert {name: float(value[0, 0]) for name, value in answer.items()} == {
        "z": 4,
        "pair.0": 3,
        "pair.1": 2,
    }


def test_nested_lists_of_outputs(bench):
    a = keras.Input((4,), name="a")
    made = keras.Model(a, [L.Dense(1, name="x")(a), [L.Dense(2, name="y")(a), L.Dense(3, name="z")(a)]])
    shapes = {spec.name: spec.shape for spec in bench.adopt(made).signature.outputs}
    assert shapes == {"x": (1, 1), "y": (1, 2), "z": (1, 3)}


def test_dict_outputs_keep_their_keys_when_they_are_not_sorted(bench):
    a = keras.Input((4,), name="a")
    made = keras.Model(a, {"second": L.Dense(2)(a), "first": L.Dense(1)(a)})
    shapes = {spec.name: spec.shape for spec in bench.adopt(made).signature.outputs}
    assert shapes == {"second": (1, 2), "first": (1, 1)}


def test_layers_used_twice_give_outputs_of_different_names(bench):
    a = keras.Input((4,), name="a")
    dense = L.Dense(4, name="shared")
    model = bench.adopt(keras.Model(a, [dense(a), dense(dense(a))]))
    assert len(set(names(model.signature.outputs))) == 2


class Modules(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def double(self, x):
        return {"twice": 2 * x}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def triple(self, x):
        return {"thrice": 3 * x}


def test_a_module_with_several_functions_asks_for_a_choice(bench):
    with pytest.raises(UsageError, match="several signatures") as caught:
        bench.adopt(Modules())
    assert "--signature" in caught.value.hint
    np.testing.assert_array_equal(
        bench.adopt(Modules(), signature="triple")({"x": ones(3)})["thrice"], 3 * ones(3)
    )


def test_a_module_without_any_function(bench):
    with pytest.raises(ModelError, match=r"no tf\.function"):
        bench.adopt(tf.Module())


def test_a_bare_function_with_a_signature(bench):
    @tf.function(input_signature=[tf.TensorSpec([1, 3], tf.float32, name="x")])
    def double(x):
        return 2 * x

    model = bench.adopt(double)
    np.testing.assert_array_equal(model({"x": ones(3)})["output"], 2 * ones(3))


def test_a_bare_function_without_a_signature_needs_shapes(bench):
    @tf.function
    def double(x):
        return 2 * x

    with pytest.raises(UsageError, match="no input_signature"):
        bench.adopt(double)
    model = bench.adopt(double, shapes={"x": ((1, 3), None)})
    np.testing.assert_array_equal(model({"x": ones(3)})["output"], 2 * ones(3))


class Textbook(tf.Module):
    """The wrapper of every tutorial; frozen naively it loses its weights and answers NaN."""

    def __init__(self):
        super().__init__()
        self.net = keras.applications.MobileNetV2(
            (32, 32, 3), weights=None, classes=10, classifier_activation=None, alpha=0.35
        )

    @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32, name="image")])
    def predict(self, image):
        return {"probs": tf.nn.softmax(self.net(image / 255.0, training=False))}


def test_the_textbook_wrapper_keeps_its_weights(bench, draw):
    made = Textbook()
    model = bench.adopt(made)
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(model({"image": image})["probs"], made.predict(image)["probs"], atol=1e-6)
    frozen = model.form("tf").concrete.graph.as_graph_def()
    assert not [node.name for node in frozen.node if "VarHandle" in node.op]


@pytest.mark.parametrize("made", [3, "model", object()])
def test_anything_else_is_refused_with_what_it_is(bench, made):
    with pytest.raises(ModelError, match=type(made).__qualname__):
        bench.adopt(made)
