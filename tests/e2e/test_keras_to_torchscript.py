"""Keras models for TorchScript: asked in TensorFlow, run by Keras on PyTorch, each in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo_keras

ZOO = Path(zoo_keras.__file__)


@pytest.fixture
def script(build):
    """Build a model for TorchScript; a plain name is one of zoo_keras.py's."""

    def run(source, data="images", *flags, precision="float32"):
        source = f"{ZOO}:{source}" if hasattr(zoo_keras, source) else source
        data = f"{ZOO}:{data}" if hasattr(zoo_keras, data) else data
        return build(source, data, "--target", "torchscript", "--precision", precision, *flags)

    return run


def test_weights_drawn_anew_by_every_process_are_those_of_the_original_in_all(script):
    ended = script("unseeded", "images", "--target", "tflite")
    assert ended.code == 0, ended.err
    for output in ended.agreement("tflite", "torchscript"):
        assert output["sqnr_db"] >= 100


def test_outputs_keep_the_names_and_the_order_of_the_original(script):
    assert list(script("unseeded").outputs) == ["feature", "classes"]


def test_int8_is_judged_against_the_original_too(script):
    ended = script(
        "unseeded", "images", "--gate", "sqnr_db>=25", precision="int8"
    )  # its classes are next to equal
    assert ended.code == 0, ended.err
    assert ended.bundle["audit"]["ops_by_precision"]["int8"] >= 1
    assert ended.outputs["feature"]["sqnr_db"] < 100


def test_a_layer_that_looks_for_tensorflow_does_not_find_it(script):
    ended = script("recurrent", "vectors")
    assert ended.code == 0, ended.err
    assert ended.outputs["value"]["sqnr_db"] >= 100


def test_a_long_recurrent_net_is_no_larger_than_its_weights(script, tmp_path):
    ended = script("deep", "long_series", precision="int8_dynamic")
    assert ended.code == 0, ended.err
    assert ended.outputs["value"]["sqnr_db"] >= 25
    weights = 4 * 128 * (16 + 128 + 2) + 2 * 4 * 128 * (128 + 128 + 2) + 4 * 129
    assert (tmp_path / ended.bundle["path"] / "model.ptl").stat().st_size <= 1.5 * weights


def test_classes_of_the_users_own_that_no_file_holds(script):
    ended = script("subclassed", "vectors")
    assert ended.code == 0, ended.err
    assert ended.outputs["last"]["sqnr_db"] >= 100


@pytest.mark.parametrize("amounts", [("--prune", 0.3, "--low-rank", 0.3), ("--prune", "auto")])
def test_what_is_compressed_has_the_same_weights_for_all_targets(script, tmp_path, amounts):
    """float32 answers could not agree so far otherwise; and two layers in the place of one cross over, too."""
    layers = [keras.layers.Dense(96, activation="tanh", name=f"wide_{index}") for index in range(3)]
    keras.Sequential([keras.Input((24,)), *layers]).save(tmp_path / "model.keras")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "samples.npz", x=rng.normal(0, 1, (40, 24)).astype(np.float32))
    smaller = ("--recover-minutes", 0, "--gate", "cosine>=0.3")
    ended = script("model.keras", "samples.npz", "--target", "tflite", *amounts, *smaller)
    assert ended.code == 0, ended.err
    for output in ended.agreement("tflite", "torchscript"):
        assert output["sqnr_db"] >= 100
    for bundle in json.loads(ended.out)["bundles"]:
        assert bundle["parity"]["host"]["outputs"]["wide_2"]["sqnr_db"] < 60


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_model_files(script, tmp_path, suffix):
    keras.Sequential([keras.Input((6, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)]).save(
        tmp_path / f"model{suffix}"
    )
    np.savez(tmp_path / "samples.npz", x=np.random.default_rng(0).normal(0, 1, (32, 6, 3)).astype(np.float32))
    ended = script(f"model{suffix}", "samples.npz")
    assert ended.code == 0, ended.err
    assert min(each["sqnr_db"] for each in ended.outputs.values()) >= 100


def test_declared_steps_that_the_source_has_are_not_added_twice(script):
    ended = script("unseeded", "images", "--input", "image:kind=image,scale=0.00784313725,offset=-1")
    assert ended.code == 0, ended.err
    assert "it is not added twice" in ended.said
    assert min(each["sqnr_db"] for each in ended.outputs.values()) >= 100


def refusal(ended):
    assert ended.code == 3, ended.err
    return f"{ended.error['message']} {ended.error['hint']}"


def test_a_file_that_needs_tensorflow_itself_is_refused(script, tmp_path):
    code = ZOO.read_text().replace("import keras\n", "import keras\nimport tensorflow as tf\n")
    (tmp_path / "mixed.py").write_text(code)
    said = refusal(script("mixed.py:subclassed", f"{ZOO}:vectors"))
    assert "mixed.py:subclassed needs tensorflow" in said
    assert "keras.ops" in said


def test_a_file_that_imports_tensorflow_for_layers_of_keras_builds(script, tmp_path):
    code = ZOO.read_text().replace("import keras\n", "import keras\nimport tensorflow as tf\n")
    (tmp_path / "mixed.py").write_text(code)
    assert script("mixed.py:unseeded").code == 0


class Doubling(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3), tf.float32, name="image")])
    def __call__(self, image):
        return {"twice": 2 * image}


def test_tensorflow_without_keras_is_refused_with_the_way_round(script, tmp_path):
    tf.saved_model.save(Doubling(), tmp_path / "saved")
    code = Path(__file__).read_text().partition("class Doubling")[2].partition("\n\n\n")[0]
    (tmp_path / "doubling.py").write_text(f"import tensorflow as tf\nclass Doubling{code}\n")
    for source in ("saved", "doubling.py:Doubling"):
        said = refusal(script(source))
        assert "takes PyTorch models; this one is of TensorFlow" in said
        assert ".keras" in said


LOAD = """
import sys, tempfile
from pathlib import Path
from edgepack import frameworks, registry
from edgepack.model import LoadRequest
from edgepack.spec import Precision
from edgepack.target import Plan
path = Path(sys.argv[1])
info = frameworks.of_path(path, ("torch",))
frameworks.hide_what_it_stands_in_for(info)
model = frameworks.load(info).load(LoadRequest("model", path))
sample = {model.signature.inputs[0].name: model.form("torch").example[0].numpy()}
target = registry.load_target(registry.target("torchscript"))
artifact = target.lower(model, [sample], Path()).emit(Plan(Precision.INT8), Path(tempfile.mkdtemp()))
target.open(artifact)(sample)
print(sorted(name for name, module in sys.modules.items() if name.startswith("tensorflow") and module))
"""


def test_tensorflow_is_never_imported_beside_pytorch(tmp_path):
    file = tmp_path / "model.keras"
    series = keras.Input((6, 3), name="series")
    layers = keras.layers
    keras.Model(series, layers.Dense(2)(layers.Bidirectional(layers.LSTM(4))(series))).save(file)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, file],
        capture_output=True,
        text=True,
        env={"KERAS_BACKEND": "torch", "PATH": ""},
        check=False,
    )
    assert done.stdout == "[]\n", done.stderr
