"""The user's own Python: found, run as under plain python, and quoted without our frames when it fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack.errors import ModelError, UsageError
from edgepack.usercode import is_reference, resolve, user_frames

pytestmark = pytest.mark.usefixtures("workspace")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("model.py:build", True),
        ("some/where/model.py:build", True),
        ("package.module:build", True),
        ("package:build", True),
        ("model.keras", False),
        ("model.py", False),
        ("model.py:", False),
        ("model.py:not a name", False),
        ("model.py:1st", False),
        ("photos/", False),
        (":build", False),
        ("a..b:build", False),
        ("", False),
    ],
)
def test_what_names_code(text: str, code: bool) -> None:
    assert is_reference(text) == code


def test_a_file_finds_its_neighbours_as_under_plain_python() -> None:
    Path("sub").mkdir()
    Path("sub/neighbour.py").write_text("VALUE = 42\n")
    Path("sub/my_model.py").write_text("from neighbour import VALUE\ndef build(): return VALUE\n")
    assert resolve("sub/my_model.py:build")() == 42


def test_a_module_is_found_in_the_current_folder() -> None:
    Path("pack").mkdir()
    Path("pack/__init__.py").write_text("")
    Path("pack/parts.py").write_text("def build(): return __name__\n")
    assert resolve("pack.parts:build")() == "pack.parts"


def test_classes_of_the_file_can_be_pickled_while_it_is_loaded() -> None:
    Path("own.py").write_text("class C: pass\ndef build():\n  import pickle\n  return pickle.dumps(C())\n")
    assert resolve("own.py:build")()
    assert sys.modules["own"].C


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"There is no file nowhere\.py"):
        resolve("nowhere.py:build")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("biuld", r"model_a.py has no function 'biuld'. Did you mean 'build'\?"),
        ("SIZE", "no function 'SIZE'"),
    ],
)
def test_a_missing_function_gets_the_nearest_one(name: str, message: str) -> None:
    Path("model_a.py").write_text("SIZE = 3\ndef build(): pass\ndef _hidden(): pass\n")
    with pytest.raises(UsageError, match=message) as error:
        resolve(f"model_a.py:{name}")
    assert error.value.hint == "It has: build."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0\n", "Importing bad.py raised ZeroDivisionError: division by zero"),
        ("import no_such_package\n", "raised ModuleNotFoundError: No module named 'no_such_package'"),
        ("def f(:\n", "Importing bad.py raised SyntaxError"),
        ("raise SystemExit(3)\n", "raised SystemExit: 3"),
    ],
)
def test_a_file_that_fails_is_quoted(text: str, message: str) -> None:
    Path("bad.py").write_text(text)
    with pytest.raises(ModelError, match=message) as error:
        resolve("bad.py:build")
    assert "bad.py" in error.value.details


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="No module named 'no_such_package'"):
        resolve("no_such_package.models:build")


def test_the_traceback_is_theirs_and_not_ours() -> None:
    Path("theirs.py").write_text("def inner(): return {}['key']\ndef build(): return inner()\n")
    with (
        pytest.raises(ModelError, match="The factory raised KeyError: 'key'") as error,
        user_frames("The factory"),
    ):
        resolve("theirs.py:build")()
    assert "in inner" in error.value.details
    assert "in build" in error.value.details
    assert "edgepack/usercode.py" not in error.value.details
    assert isinstance(error.value.__cause__, KeyError)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, UsageError, ModelError])
def test_what_is_not_the_users_fault_passes_through(kind: Callable[[str], BaseException]) -> None:
    with pytest.raises(BaseException) as error, user_frames("The factory"):  # noqa: PT011
        raise kind("stop")
    assert type(error.value) is kind
    assert "raised" not in str(error.value)
