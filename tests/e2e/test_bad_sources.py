"""What cannot be built: the exit code, one sentence, what to do next, and never a traceback of ours."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

L = keras.layers


@pytest.fixture
def fails(build, rows):
    """Run a build that must fail with that code; gives all that it said, folded into one line."""

    def run(code, source, *flags, data=None, **shapes):
        ended = build(source, data or rows(**shapes or {"x": (4,)}), *flags)
        assert ended.code == code, ended.err
        assert ended.error["message"]
        assert ended.error["hint"]
        return f"{ended.said} {ended.error['message']} {ended.error['hint']}"

    return run


@pytest.fixture
def saved(tmp_path):
    """A small model under a file name, damaged or not."""

    def save(name, *layers, keep=1.0):
        path = tmp_path / name
        keras.Sequential([keras.Input((4,), name="x"), *layers, L.Dense(2, name="y")]).save(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        return path

    return save


def test_there_is_no_such_file(fails):
    assert "There is no source at gone.keras" in fails(2, "gone.keras")


def test_there_is_no_such_python_file(fails):
    assert "There is no file gone.py" in fails(2, "gone.py:build")


def test_a_python_file_without_a_function_name(fails, tmp_path):
    (tmp_path / "model.py").write_text("def build(): ...\n")
    assert "model.py:build" in fails(2, "model.py")


@pytest.mark.parametrize("name", ["model.onnx", "model.txt"])
def test_a_wrong_extension(fails, tmp_path, name):
    (tmp_path / name).write_bytes(b"something")
    assert f"{name} is no kind of model" in fails(2, name)


def test_a_folder_that_is_no_saved_model(fails, tmp_path):
    (tmp_path / "models").mkdir()
    assert "models is no kind of model" in fails(2, tmp_path / "models")


def test_a_corrupt_keras_file(fails, saved):
    assert "damaged" in fails(3, saved("model.keras", keep=0.5))


def test_a_truncated_h5_file(fails, saved):
    assert "damaged" in fails(3, saved("model.h5", keep=0.5))


def test_an_h5_file_of_weights(fails, tmp_path):
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    model.save_weights(tmp_path / "model.weights.h5")
    assert "weights only" in fails(3, tmp_path / "model.weights.h5")


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_lambda_is_refused_and_does_not_run(fails, saved, tmp_path, name):
    mark = tmp_path / "RAN"
    code = f"lambda x: (__import__('pathlib').Path({str(mark)!r}).touch(), x * 2)[1]"
    path = saved(name, L.Lambda(eval(code), output_shape=(4,)))
    mark.unlink(missing_ok=True)
    assert "--allow-code" in fails(3, path)
    assert not mark.exists()


class Doubler(L.Layer):
    def call(self, x):
        return x * 2


def test_a_class_of_ones_own_leads_to_a_factory(fails, saved):
    said = fails(3, saved("model.keras", Doubler()))
    assert "Doubler" in said
    assert "file.py:factory" in said


def test_a_saved_model_without_a_signature(fails, tmp_path):
    tf.saved_model.save(tf.Module(), tmp_path / "saved")
    assert "no signature" in fails(3, "saved")


def test_unknown_dimensions_propose_a_shape(fails, tmp_path):
    x = keras.Input((None, 3), name="x")
    keras.Model(x, L.Dense(2)(x)).save(tmp_path / "model.keras")
    assert "--shape x=1x7x3" in fails(2, "model.keras", x=(7, 3))


def test_a_shape_for_no_input_names_the_nearest(fails, saved):
    assert "Did you mean 'x'" in fails(2, saved("model.keras"), "--shape", "xx=1x4")


def test_a_factory_that_raises_shows_its_own_traceback(fails):
    said = fails(3, "raising")
    assert "raised KeyError" in said
    assert 'return {}["weights"]' in said


def test_a_factory_that_exits(fails):
    assert "raised SystemExit" in fails(3, "exiting")


@pytest.mark.parametrize(
    ("factory", "what"),
    [
        ("nothing", "returned nothing (None)"),
        ("text", "returned a builtins.str"),
        ("a_class", "the class Textbook"),
    ],
)
def test_a_factory_that_returns_no_model(fails, factory, what):
    assert what in fails(3, factory)


def test_a_factory_that_is_not_there_names_the_nearest(fails):
    assert "Did you mean 'unet'" in fails(2, "unett")


def test_a_python_file_that_does_not_import(fails, tmp_path):
    (tmp_path / "broken.py").write_text("import a_package_that_is_not_there\n")
    said = fails(3, "broken.py:build")
    assert "Importing broken.py raised ModuleNotFoundError" in said


def test_a_model_that_takes_strings(fails, tmp_path):
    class Texts(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1], tf.string, name="text")])
        def __call__(self, text):
            return {"length": tf.strings.length(text)}

    module = Texts()
    tf.saved_model.save(module, tmp_path / "saved", signatures=module.__call__)
    assert "'text' takes strings" in fails(3, "saved")


def test_an_op_that_tflite_lacks_is_named_with_its_layer(fails, tmp_path):
    (tmp_path / "model.py").write_text(
        "import keras, tensorflow as tf\n"
        "class Det(keras.layers.Layer):\n"
        "    def call(self, x): return tf.linalg.det(x)[:, None]\n"
        "def build():\n"
        "    x = keras.Input((3, 3), name='x')\n"
        "    return keras.Model(x, Det(name='my_determinant')(x))\n"
    )
    said = fails(3, "model.py:build", x=(3, 3))
    assert "no op MatrixDeterminant" in said
    assert "my_determinant" in said


def test_a_model_that_answers_nan(fails, tmp_path):
    """Weights that training blew up: not something to prove parity with."""
    model = keras.Sequential([keras.Input((4,), name="x"), L.Dense(2, name="y")])
    model.set_weights([np.full((4, 2), np.nan), np.zeros(2)])
    model.save(tmp_path / "model.keras")
    fails(3, "model.keras")


def test_a_sequential_h5_of_keras_2_builds(build, rows, tmp_path):
    """Saved by Keras 3, told as Keras 2 told it."""
    keras.Sequential([keras.Input((4,)), L.Dense(2, name="y")]).save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "a") as file:
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["model_config"] = (
            '{"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "Dense", "config":'
            ' {"name": "y", "batch_input_shape": [null, 4], "units": 2}}]}}'
        )
    ended = build("model.h5", rows(x=(4,)))
    assert ended.code == 0, ended.err
    assert ended.bundle["audit"]["full_int8"]
