"""What targets there are: the listing of targets/ plus the entry points ``edgepack.targets``.

Reads TOML files only; nothing heavy is imported until ``load_target``.
"""

from __future__ import annotations

import importlib
import importlib.util
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from .errors import MissingToolError, ModelError, UsageError
from .paired import Paired
from .spec import Precision
from .target import IO, Target

BUILT_IN = Path(__file__).parent / "targets"


@dataclass(frozen=True)
class DriverInfo:
    """What runs a target's artifact on another machine than this one: ``[drivers.MACHINE]`` of its target.toml.

    Attributes:
        program: the driver: C, compiled for the machine, or Python, run by the machine's own; see devices/wire.py.
        wheels: ``name==version`` of what it runs the artifact with, from the package index.
        library: the file of the wheels that a C driver loads.
        debian: packages that it needs besides, for a Python driver.
        twin: the backend of this machine (``Target.open``) that has the same kernels; ``None`` where there is none, or it is
            this machine itself.
        loose: the ops that the runtime computes in another way there, so that integers may be a step apart:
            ``PRECISION KIND``.
    """

    program: Path | None
    wheels: tuple[str, ...] = ()
    library: str = ""
    debian: tuple[str, ...] = ()
    twin: str | None = None
    loose: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuntimeInfo:
    """A further runtime of a target: its kit around the artifact of another target.

    Attributes:
        maker: the target that makes the artifact.
        precisions: those of the maker's that the runtime runs.
        io: how inputs and outputs must be.
        backends: what it computes with on a user's device.
        drivers: see TargetInfo.
    """

    summary: str
    maker: str
    precisions: tuple[Precision, ...]
    io: IO
    backends: tuple[str, ...]
    drivers: Mapping[str, DriverInfo] = field(default_factory=dict)


@dataclass(frozen=True)
class TargetInfo:
    """A target.toml.

    Attributes:
        forms: the forms of a model that the target can lower, best first.
        packages: the distributions whose versions belong in the toolchain record, whatever the source.
        form_packages: those that it needs besides for one form or another; ``form_extras`` bring them.
        extra: ``pip install edgepack[extra]`` brings them.
        module: where ``target`` is.
        artifacts: the suffixes of the files that its runtime opens.
        layout: ``NHWC`` where its users have images so, whatever the source takes.
        drivers: what runs its artifact elsewhere, by machine.
        auto: the budgets that ``--prune auto`` chooses from, strongest first: ``[compress] auto``, amounts by the keys of
            edgepack.toml's [compress].
        runtimes: its further runtimes, by name.
        runtime: the one of them that was asked for.
    """

    name: str
    summary: str
    forms: tuple[str, ...]
    precisions: tuple[Precision, ...]
    packages: tuple[str, ...]
    module: str
    extra: str = ""
    artifacts: tuple[str, ...] = ()
    layout: str = ""
    form_packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    form_extras: Mapping[str, str] = field(default_factory=dict)
    drivers: Mapping[str, DriverInfo] = field(default_factory=dict)
    auto: tuple[Mapping[str, float], ...] = ()
    runtimes: Mapping[str, RuntimeInfo] = field(default_factory=dict)
    runtime: str = ""

    @property
    def label(self) -> str:
        """What the target is called beside others: with its runtime, where one was asked for."""
        return f"{self.name}-{self.runtime}" if self.runtime else self.name

    @property
    def paired(self) -> RuntimeInfo | None:
        """The runtime that was asked for."""
        return self.runtimes[self.runtime] if self.runtime else None

    def io(self, wanted: IO) -> IO:
        """How inputs and outputs are: as wanted, unless the runtime takes them in one way alone."""
        return self.paired.io if self.paired else wanted


def targets() -> dict[str, TargetInfo]:
    """All targets by name, sorted."""
    found = [
        _target_info(path, f"edgepack.targets.{path.parent.name}")
        for path in BUILT_IN.glob("[!_]*/target.toml")
    ]
    found += [_target_info(folder / "target.toml", module) for folder, module in _plugins()]
    return {info.name: info for info in sorted(found, key=lambda info: info.name)}


def target(name: str, runtime: str = "") -> TargetInfo:
    """The target of that name, on that runtime if it has it. Raises UsageError with the nearest name."""
    known = targets()
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise UsageError(
            f"There is no target '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            f"Targets: {', '.join(known)}. See edgepack targets.",
        )
    info = known[name]
    if runtime not in info.runtimes:
        return info
    paired, maker = info.runtimes[runtime], known[info.runtimes[runtime].maker]
    return replace(
        info,
        runtime=runtime,
        forms=maker.forms,
        precisions=paired.precisions,
        packages=maker.packages,
        form_packages=maker.form_packages,
        form_extras=maker.form_extras,
        layout=maker.layout,
        extra=f"{maker.extra},{info.extra}",
        drivers=paired.drivers,
        auto=maker.auto,
    )


def check_runtime(runtime: str, targets: Sequence[TargetInfo]) -> None:
    """Refuse a runtime that none of the targets has. Raises UsageError."""
    if runtime and not any(info.runtime for info in targets):
        there = ", ".join(f"{name} (of {info.name})" for info in targets for name in info.runtimes) or "none"
        raise UsageError(f"None of the targets has a runtime '{runtime}'.", f"Their runtimes: {there}.")


def target_of_artifact(path: Path) -> TargetInfo | None:
    """The target whose runtime opens this file, by its suffix."""
    return next((info for info in targets().values() if path.suffix.lower() in info.artifacts), None)


def load_target(info: TargetInfo) -> Target:
    """Import the target. Raises MissingToolError when its extra is not installed."""
    own = cast(Target, imported(f"{info.module}.target", info.extra, f"The target '{info.name}'").target)
    if info.paired is None:
        return own
    return Paired(load_target(target(info.paired.maker)), own, info.paired.backends)


def imported(module: str, extra: str, what: str) -> Any:
    """The module. Raises MissingToolError when something that it imports is not installed."""
    with needing(extra, what):
        return importlib.import_module(module)


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """A package that is not installed, as a MissingToolError."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingToolError(
            f"{what} needs the Python package '{error.name}', which is not installed.",
            f"pip install 'edgepack[{extra}]'",
        ) from error


def _plugins() -> Iterator[tuple[Path, str]]:
    for entry in entry_points(group="edgepack.targets"):
        spec = importlib.util.find_spec(entry.value)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(location), entry.value


def _target_info(path: Path, module: str) -> TargetInfo:
    with mended_by_reinstalling(path):
        table = tomllib.loads(path.read_text())
        return TargetInfo(
            name=table["name"],
            summary=table["summary"],
            forms=tuple(table["forms"]),
            precisions=tuple(Precision(name) for name in table["precisions"]),
            packages=tuple(table["packages"]),
            module=module,
            extra=table.get("extra", ""),
            artifacts=tuple(table.get("artifacts", ())),
            layout=table.get("layout", ""),
            form_extras=table.get("form_extras", {}),
            form_packages={form: tuple(each) for form, each in table.get("form_packages", {}).items()},
            drivers=_drivers(path.parent, table),
            auto=tuple(table.get("compress", {}).get("auto", ())),
            runtimes={
                name: _runtime_info(path.parent, each) for name, each in table.get("runtimes", {}).items()
            },
        )


def _drivers(folder: Path, table: Mapping[str, Any]) -> dict[str, DriverInfo]:
    return {
        machine: DriverInfo(
            program=folder / each["program"] if "program" in each else None,
            wheels=tuple(each.get("wheels", ())),
            library=each.get("library", ""),
            debian=tuple(each.get("debian", ())),
            twin=each.get("twin"),
            loose=tuple(each.get("loose", ())),
        )
        for machine, each in table.get("drivers", {}).items()
    }


def _runtime_info(folder: Path, table: Mapping[str, Any]) -> RuntimeInfo:
    return RuntimeInfo(
        summary=table["summary"],
        maker=table["maker"],
        precisions=tuple(Precision(name) for name in table["precisions"]),
        io=table["io"],
        backends=tuple(table["backends"]),
        drivers=_drivers(folder, table),
    )


@contextmanager
def mended_by_reinstalling(path: Path) -> Iterator[None]:
    """What is wrong with one of edgepack's own TOML files, as a ModelError."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError) as error:  # a TOMLDecodeError is a ValueError
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(
            f"{path} cannot be read: {what}", "Reinstall the package that brings this target."
        ) from error
