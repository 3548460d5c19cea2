"""The frameworks that sources come from: the folders of targets/ with a framework.toml.

A source has one framework of its own, in which the original is asked. Another may stand in for it, for a target that takes
models of that one alone: Keras on PyTorch reads what Keras on TensorFlow reads.

Reads TOML files only; nothing heavy is imported until ``load``.
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import cast

from .model import Framework
from .registry import BUILT_IN, imported, mended_by_reinstalling


@dataclass(frozen=True)
class FrameworkInfo:
    """A framework.toml.

    Attributes:
        title: what people call it.
        form: the form it loads sources into.
        stands_in_for: the form of the framework whose sources it reads too.
        suffixes: of the model files it reads.
        folder_marks: a folder with one of these files is one of its models.
        modules: the top-level modules whose classes a factory of this framework returns; without the first, nothing works.
        packages: the distributions that it needs.
        forget_names: the function that makes names which are given one after the other begin anew.
        env: the environment that it must be imported under.
    """

    title: str
    form: str
    suffixes: tuple[str, ...]
    folder_marks: tuple[str, ...]
    modules: tuple[str, ...]
    packages: tuple[str, ...]
    module: str
    extra: str
    stands_in_for: str = ""
    forget_names: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def reads(self, path: Path) -> bool:
        return path.suffix in self.suffixes or any((path / mark).is_file() for mark in self.folder_marks)

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.modules[0]) is not None


def every() -> tuple[FrameworkInfo, ...]:
    """All of them; those that stand in for others behind those."""
    found = (
        _read(path, f"edgepack.targets.{path.parent.name}")
        for path in sorted(BUILT_IN.glob("_*/framework.toml"))
    )
    return tuple(sorted(found, key=lambda info: bool(info.stands_in_for)))


def of_path(path: Path, forms: Sequence[str] = ()) -> FrameworkInfo | None:
    """The framework that reads this file or folder, by its suffix or its marks.

    Args:
        forms: what the target takes, best first; without any, or where none fits, it is the source's own framework.
    """
    found = [info for info in every() if info.reads(path)]
    fitting = [info for form in forms for info in found if info.form == form]
    own = [info for info in found if info.is_installed]
    return next(iter(fitting or own or found), None)


def of_object(made: object) -> FrameworkInfo | None:
    """The framework whose class this object has."""
    roots = {cls.__module__.partition(".")[0] for cls in type(made).__mro__}
    found = [info for info in every() if roots & set(info.modules)]
    own = {info.form for info in found if not info.stands_in_for}
    # Keras layers are TensorFlow's objects on TensorFlow, and torch.nn.Modules on PyTorch
    standing_in = [info for info in found if info.stands_in_for and info.stands_in_for not in own]
    return next(iter(standing_in or found), None)


def stand_in(form: str, forms: Sequence[str]) -> FrameworkInfo | None:
    """The framework that reads sources of the framework of ``form`` into one of ``forms``, where that is none of them."""
    if form in forms:
        return None
    return next((info for info in every() if info.stands_in_for == form and info.form in forms), None)


class _Hidden(MetaPathFinder, Loader):
    """Modules that cannot be imported, as if they were not installed."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self.names else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        raise ModuleNotFoundError(f"No module named '{module.__name__}'", name=module.__name__)


def hide_what_it_stands_in_for(info: FrameworkInfo) -> None:
    """Let nothing in this process import the framework of the original any more, neither the user's code nor a library.

    Two frameworks in one process get in each other's way, and libraries look whether the other one is there.
    """
    own = [each for each in every() if each.form == info.stands_in_for and not each.stands_in_for]
    # not by sys.modules[name] = None: Keras takes the name alone for a TensorFlow that was imported
    sys.meta_path.insert(0, _Hidden(frozenset(module for each in own for module in each.modules)))


def hidden() -> frozenset[str]:
    """The modules that this process hides."""
    return frozenset().union(*(each.names for each in sys.meta_path if isinstance(each, _Hidden)))


def environment(forms: Sequence[str] = ()) -> dict[str, str]:
    """What must be set before the frameworks of these forms, best first, are imported; without any, those of all sources."""
    if forms:
        chosen = [info for form in reversed(forms) for info in every() if info.form == form]
    else:
        own = {info.form for info in every() if not info.stands_in_for and info.is_installed}
        chosen = [info for info in every() if not info.stands_in_for or info.stands_in_for not in own]
    return {key: value for info in chosen for key, value in info.env.items()}


def forget_names() -> None:
    """Let a factory that is called again in this process give its layers the names that they had the first time."""
    for info in every():
        module, _, function = info.forget_names.rpartition(".")
        if module in sys.modules:
            getattr(sys.modules[module], function)()


def load(info: FrameworkInfo) -> Framework:
    """Import the framework's loader. Raises MissingToolError when its extra is not installed."""
    return cast(Framework, imported(f"{info.module}.framework", info.extra, f"A source of {info.title}"))


def _read(path: Path, module: str) -> FrameworkInfo:
    with mended_by_reinstalling(path):
        table = tomllib.loads(path.read_text())
        return FrameworkInfo(
            title=table["title"],
            form=table["form"],
            suffixes=tuple(table["suffixes"]),
            folder_marks=tuple(table["folder_marks"]),
            modules=tuple(table["modules"]),
            packages=tuple(table["packages"]),
            module=module,
            extra=table["extra"],
            stands_in_for=table.get("stands_in_for", ""),
            forget_names=table.get("forget_names", ""),
            env=table.get("env", {}),
        )
