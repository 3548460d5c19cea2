"""Code inside a model file does not run, unless --allow-code says that it may."""

import base64
import json
import marshal

import h5py
import keras
import numpy as np
import pytest

from edgepack.errors import ModelError


@pytest.fixture
def trap(bench):
    """A model with a Lambda that leaves a mark when it runs, and the place of the mark."""
    mark = bench.folder / "RAN"
    code = f"lambda x: (__import__('pathlib').Path({str(mark)!r}).touch(), x * 2)[1]"
    x = keras.Input((4,), name="x")
    doubled = keras.layers.Lambda(eval(code), output_shape=(4,), name="twice")(x)
    model = keras.Model(x, keras.layers.Dense(2)(doubled))
    mark.unlink(missing_ok=True)
    return model, mark


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_is_refused_and_its_code_does_not_run(bench, trap, suffix):
    model, mark = trap
    path = bench.folder / f"trap{suffix}"
    model.save(path)
    with pytest.raises(ModelError, match="Lambda") as caught:
        bench.load(path)
    assert "--allow-code" in caught.value.hint
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_allow_code_lets_it_run(bench, trap, suffix):
    model, mark = trap
    path = bench.folder / f"trap{suffix}"
    model.save(path)
    loaded = bench.load(path, allow_code=True)
    assert mark.exists()
    x = np.array([[1, 2, 3, 4]], np.float32)
    np.testing.assert_allclose(next(iter(loaded({"x": x}).values())), model(x).numpy(), atol=1e-6)


SPELLINGS = {
    "compact": lambda text: json.dumps(json.loads(text), separators=(",", ":")),
    "escaped": lambda text: text.replace('"Lambda"', '"L\\u0061mbda"'),
    "with its package": lambda text: text.replace('"class_name": "Lambda"', '"class_name": "keras>Lambda"'),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_the_config_slips_a_lambda_through(bench, trap, spelling):
    model, mark = trap
    path = bench.folder / "trap.h5"
    model.save(path)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = SPELLINGS[spelling](file.attrs["model_config"])
    with pytest.raises(ModelError):
        bench.load(path)
    assert not mark.exists()


def test_a_lambda_as_keras_2_marshalled_it_does_not_run(bench, trap):
    model, mark = trap
    path = bench.folder / "trap.h5"
    model.save(path)
    function = eval(f"lambda x: (__import__('pathlib').Path({str(mark)!r}).touch(), x * 2)[1]")
    raw = base64.b64encode(marshal.dumps(function.__code__)).decode()
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "Lambda":
                layer["config"] |= {"function": [raw, None, None], "function_type": "lambda", "module": "os"}
        file.attrs["model_config"] = json.dumps(config, separators=(",", ":"))
    with pytest.raises(ModelError):
        bench.load(path)
    assert not mark.exists()


@pytest.mark.parametrize("module", ["os", "subprocess", "builtins"])
def test_a_config_that_names_a_function_of_python_is_refused(bench, small_cnn, module):
    path = bench.folder / "named.h5"
    small_cnn.save(path)
    name = {"os": "system", "subprocess": "call", "builtins": "exec"}[module]
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["activation"] = {
            "class_name": "function",
            "module": module,
            "config": name,
            "registered_name": name,
        }
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ModelError):
        bench.load(path)


class Doubler(keras.layers.Layer):
    def call(self, x):
        return x * 2


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_class_of_ones_own_leads_to_a_factory(bench, suffix):
    x = keras.Input((4,), name="x")
    path = bench.folder / f"own{suffix}"
    keras.Model(x, Doubler()(x)).save(path)
    if suffix == ".keras":
        _rename_class(path)
    with pytest.raises(ModelError, match="class of its own") as caught:
        bench.load(path)
    assert "file.py:factory" in caught.value.hint
    assert caught.value.message.endswith("Doubler.")


def _rename_class(path):
    """As it is for whoever did not write the class: its module cannot be imported."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = members["config.json"].replace(b"test_stored_code", b"a_module_elsewhere")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
