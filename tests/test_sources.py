"""Sources: what cannot be one is refused before anything heavy starts; a factory's mistakes are told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack import registry, sources
from edgepack.errors import EdgepackError, ModelError, UsageError
from edgepack.project import Project

pytestmark = pytest.mark.usefixtures("workspace")


def load(source: str) -> object:
    return sources.load(Project.model_validate({"model": {"source": source}}), registry.target("fake"))


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("", "There is no source to build", "edgepack init"),
        ("nowhere.keras", "There is no source at nowhere.keras", "Check the path"),
        ("nowhere.py:build", "There is no file nowhere.py", "Check the path"),
        ("text.txt", "text.txt is no kind of model", ".keras"),
        ("model_b.py", "model_b.py is no kind of model", "model_b.py:build"),
        ("folder", "folder is no kind of model", "SavedModel"),
    ],
)
def test_what_cannot_be_a_source_is_refused(source: str, message: str, hint: str) -> None:
    Path("text.txt").touch()
    Path("model_b.py").touch()
    Path("folder").mkdir()
    with pytest.raises(UsageError, match=message) as error:
        sources.check(source)
    assert hint in error.value.hint


@pytest.mark.parametrize("source", ["a.keras", "A.h5", "saved", "model_b.py:build", "package.module:build"])
def test_what_may_be_a_source_is_let_through_unopened(source: str) -> None:
    Path("a.keras").touch()
    Path("A.h5").touch()
    Path("model_b.py").write_text("1 / 0")
    Path("saved").mkdir()
    Path("saved/saved_model.pb").touch()
    sources.check(source)


def test_a_factory_may_return_a_model(fake: Callable[[str], str]) -> None:
    model = load(fake("build"))
    assert model.signature.inputs[0].name == "x"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("raises", ModelError, "raises raised KeyError: 'no such key'"),
        ("exits", ModelError, "exits raised SystemExit: 7"),
        ("nothing", ModelError, r"returned nothing \(None\)"),
        ("a_class", ModelError, "returned the class Shaped, not an instance of it"),
        ("a_number", ModelError, "returned a builtins.float"),
        ("Dense", ModelError, "Dense raised TypeError: .* missing 2 required"),
        ("NOT_A_FUNCTION", UsageError, "has no function 'NOT_A_FUNCTION'"),
    ],
)
def test_a_bad_factory_is_told_what_is_wrong(
    fake: Callable[[str], str], name: str, kind: type[EdgepackError], message: str
) -> None:
    with pytest.raises(kind, match=message) as error:
        load(fake(name))
    assert error.value.hint


def test_a_class_that_needs_no_arguments_is_its_own_factory(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from fake_models import Dense\nclass Mine(Dense):\n    def __init__(self): super().__init__('x', (1, 4))\n"
    )
    assert load(f"{file}:Mine").signature.inputs[0].name == "x"


def test_a_source_is_identified_by_its_bytes() -> None:
    Path("a.keras").write_bytes(b"weights")
    assert sources.sha256("a.keras") == hashlib.sha256(b"weights").hexdigest()
    Path("m.py").write_text("def build(): ...")
    assert sources.sha256("m.py:build") == hashlib.sha256(b"def build(): ...").hexdigest()
    assert sources.sha256("m.py:build") != sources.sha256("json:loads") != sources.sha256("json:dumps")


def test_a_folder_is_identified_by_its_names_and_bytes() -> None:
    def digest(**files: str) -> str:
        folder = Path(hashlib.sha256(repr(files).encode()).hexdigest()[:8])
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return sources.sha256(str(folder))

    first = digest(a="1", b="2")
    assert first == digest(b="2", a="1")
    assert len({first, digest(a="2", b="1"), digest(a="1", c="2"), digest(a="12")}) == 4


@pytest.mark.parametrize(
    ("source", "target", "takes", "hint"),
    [
        ("saved", "torchscript", "takes PyTorch models; this one is of TensorFlow", ".keras"),
        ("a.pt2", "tfjs", "takes TensorFlow models; this one is of PyTorch", "--runtime litert"),
        ("a.pt2", "fake", "takes numpy models; this one is of PyTorch", "tflite, torchscript"),
    ],
)
def test_a_file_that_the_target_cannot_take_is_refused_unopened_with_the_way_round(
    source: str, target: str, takes: str, hint: str
) -> None:
    Path("saved").mkdir()
    Path("saved/saved_model.pb").touch()
    Path("a.pt2").touch()
    with pytest.raises(ModelError, match=takes) as error:
        sources.check_form(source, registry.target(target))
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("source", "target", "runtime"),
    [("a.keras", "torchscript", ""), ("a.pt2", "tfjs", "litert"), ("m.py:build", "torchscript", "")],
)
def test_what_the_target_may_take_is_let_through(source: str, target: str, runtime: str) -> None:
    Path("a.keras").touch()
    Path("a.pt2").touch()
    sources.check_form(source, registry.target(target, runtime))


@pytest.mark.parametrize(
    ("source", "forms", "elsewhere"),
    [
        ("a.keras", ("torch",), True),
        ("a.keras", ("tf", "torch"), False),
        ("a.pt2", ("torch",), False),
        ("a.pt2", ("tf",), False),  # it is refused
        ("m.py:build", ("torch",), True),  # for all that is known before it is called
        ("m.py:build", ("tf", "torch"), False),
    ],
)
def test_an_original_is_asked_elsewhere_where_another_framework_stands_in_for_its_own(
    source: str, forms: tuple[str, ...], elsewhere: bool
) -> None:
    assert sources.is_asked_elsewhere(source, forms) is elsewhere
