"""Frameworks: which one reads a source, which one stands in for it, and what must be set before they are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgepack import frameworks
from edgepack.errors import MissingToolError
from edgepack.frameworks import FrameworkInfo

pytestmark = pytest.mark.usefixtures("workspace")


def install(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let these frameworks be all that is installed."""
    monkeypatch.setattr(FrameworkInfo, "is_installed", property(lambda info: info.modules[0] in modules))


def made_by(*modules: str) -> Any:
    """An object whose class has bases in these modules, the first the nearest."""
    bases: tuple[type, ...] = ()
    for module in reversed(modules):
        bases = (type("Base", bases, {"__module__": module}),)
    return type("Mine", bases, {"__module__": "model"})()


@pytest.mark.parametrize("info", frameworks.every(), ids=lambda info: info.title)
def test_every_framework_says_all_that_is_needed_to_choose_and_to_load_it(info: FrameworkInfo) -> None:
    assert info.title
    assert info.modules
    assert info.packages
    assert info.extra


def test_a_framework_that_is_missing_says_what_to_install() -> None:
    info = FrameworkInfo("TensorFlow", "tf", (), (), (), (), module="no_such_module", extra="tflite")
    with pytest.raises(MissingToolError, match="A source of TensorFlow .*'no_such_module'") as error:
        frameworks.load(info)
    assert error.value.hint == "pip install 'edgepack[tflite]'"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("a.keras", "TensorFlow"),
        ("a.h5", "TensorFlow"),
        ("a.pt2", "PyTorch"),
        ("a.H5", None),
        ("a.onnx", None),
        ("a", None),
    ],
)
def test_a_file_belongs_to_the_framework_of_its_suffix(
    monkeypatch: pytest.MonkeyPatch, name: str, title: str | None
) -> None:
    install(monkeypatch, "tensorflow", "keras", "torch")
    found = frameworks.of_path(Path(name))
    assert (found.title if found else None) == title


@pytest.mark.parametrize(
    ("forms", "title"),
    [(("tf",), "TensorFlow"), (("tf", "torch"), "TensorFlow"), (("torch",), "Keras on PyTorch")],
)
def test_a_keras_file_is_read_as_the_target_likes_it_best(forms: tuple[str, ...], title: str) -> None:
    found = frameworks.of_path(Path("a.keras"), forms)
    assert found is not None
    assert found.title == title


def test_without_tensorflow_keras_on_pytorch_is_a_source_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "keras", "torch")
    found = frameworks.of_path(Path("a.keras"))
    assert found is not None
    assert found.title == "Keras on PyTorch"
    assert frameworks.environment()["KERAS_BACKEND"] == "torch"


def test_a_folder_belongs_to_the_framework_whose_mark_is_in_it() -> None:
    Path("saved").mkdir()
    assert frameworks.of_path(Path("saved")) is None
    Path("saved/saved_model.pb").touch()
    for forms in ((), ("tf",), ("torch",)):  # nothing else reads it
        found = frameworks.of_path(Path("saved"), forms)
        assert found is not None
        assert found.form == "tf"


@pytest.mark.parametrize(
    ("modules", "title"),
    [
        (("keras.src.models", "tensorflow.python.trackable"), "TensorFlow"),
        (("keras.src.models", "torch.nn.modules.module"), "Keras on PyTorch"),
        (("torch.nn.modules.module",), "PyTorch"),
        (("tensorflow.python.module",), "TensorFlow"),
    ],
)
def test_an_object_belongs_to_the_framework_that_its_class_computes_with(
    modules: tuple[str, ...], title: str
) -> None:
    found = frameworks.of_object(made_by(*modules))
    assert found is not None
    assert found.title == title


def test_an_object_of_no_framework_belongs_to_none() -> None:
    assert frameworks.of_object(object()) is None


def test_one_stands_in_only_where_the_target_takes_no_models_of_the_own_framework() -> None:
    stand_in = frameworks.stand_in("tf", ("torch",))
    assert stand_in is not None
    assert stand_in.title == "Keras on PyTorch"
    assert frameworks.stand_in("tf", ("tf", "torch")) is None
    assert frameworks.stand_in("torch", ("tf",)) is None


def test_what_must_be_set_is_that_of_the_best_form(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "tensorflow", "keras", "torch")
    assert frameworks.environment()["KERAS_BACKEND"] == "tensorflow"
    assert frameworks.environment(("tf", "torch"))["KERAS_BACKEND"] == "tensorflow"
    assert frameworks.environment(("torch",))["KERAS_BACKEND"] == "torch"
    assert frameworks.environment(("numpy",)) == {}


HIDE = """
import importlib, importlib.util, sys
from edgepack import frameworks
frameworks.hide_what_it_stands_in_for(frameworks.stand_in("tf", ("torch",)))
try:
    import tensorflow
except ModuleNotFoundError as error:
    print(error.name, error.name in frameworks.hidden(), "tensorflow" in sys.modules)
"""


def test_what_one_stands_in_for_is_hidden_as_if_it_were_not_installed() -> None:
    done = subprocess.run([sys.executable, "-c", HIDE], capture_output=True, text=True, check=True)
    assert done.stdout == "tensorflow True False\n"
