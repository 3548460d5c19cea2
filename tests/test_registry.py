"""Targets: listed from TOML files and entry points without importing them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgepack import registry
from edgepack.errors import MissingToolError, ModelError, UsageError
from edgepack.registry import DriverInfo, TargetInfo
from edgepack.spec import Precision

pytestmark = pytest.mark.usefixtures("workspace")


def plug_in(name: str, toml: str, target: str = "") -> None:
    """Install a distribution with a target into a folder on sys.path."""
    folder = Path("plugins", name)
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").touch()
    (folder / name / "target.toml").write_text(toml)
    (folder / name / "target.py").write_text(target)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgepack.targets]\n{name} = {name}\n")
    sys.path.insert(0, str(folder.resolve()))


def toml(name: str) -> str:
    return f'name = "{name}"\nsummary = ""\nforms = []\nprecisions = []\npackages = []\nextra = "{name}"\n'


def test_built_in_targets_and_plugins_are_listed_by_name() -> None:
    found = registry.targets()
    assert list(found) == sorted(found)
    assert {"tflite", "fake"} <= set(found)
    assert found["fake"] == TargetInfo(
        name="fake",
        summary="Plain numpy: the core's own tests",
        forms=("numpy",),
        precisions=(Precision.INT8, Precision.FLOAT32),
        packages=("numpy",),
        module="fake_target",
        extra="fake",
        drivers={
            "micro": DriverInfo(program=Path(__file__).parent / "fake_plugin/fake_target/run.py", twin="")
        },
        auto=({"prune": 0.95}, {"prune": 0.8}, {"prune": 0.6}, {"prune": 0.3}, {"cluster": 64}),
    )


@pytest.mark.parametrize("info", registry.targets().values(), ids=lambda info: info.name)
def test_every_built_in_target_says_all_that_a_user_needs(info: TargetInfo) -> None:
    assert info.summary
    assert info.forms
    assert info.precisions
    assert info.packages
    assert info.extra


def test_listing_imports_no_target() -> None:
    plug_in("explodes", toml("explodes"), target="raise RuntimeError('imported')")
    assert "explodes" in registry.targets()
    assert "explodes.target" not in sys.modules


def test_an_unknown_target_gets_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"no target 'tflight'. Did you mean 'tflite'\?") as error:
        registry.target("tflight")
    assert "fake" in error.value.hint
    with pytest.raises(UsageError, match=r"There is no target 'zzz'\.$"):
        registry.target("zzz")


def test_a_target_is_loaded_by_name() -> None:
    assert registry.load_target(registry.target("fake")).name == "fake"


def test_a_target_whose_packages_are_missing_says_what_to_install() -> None:
    plug_in("lacking", toml("lacking"), target="import no_such_framework.parts")
    with pytest.raises(
        MissingToolError, match="'lacking' needs the Python package 'no_such_framework'"
    ) as error:
        registry.load_target(registry.target("lacking"))
    assert error.value.hint == "pip install 'edgepack[lacking]'"


@pytest.mark.parametrize("broken", ["name = ", 'summary = "no name"', toml("x").replace("[]", '["int4"]')])
def test_a_broken_target_file_is_named(broken: str) -> None:
    plug_in("broken_plugin", broken)
    with pytest.raises(ModelError, match=r"broken_plugin/target\.toml cannot be read") as error:
        registry.targets()
    assert "Reinstall" in error.value.hint


def test_a_plugin_that_was_removed_by_hand_is_passed_over() -> None:
    plug_in("removed", toml("removed"))
    Path("plugins/removed/removed/target.toml").unlink()
    Path("plugins/removed/removed/target.py").unlink()
    Path("plugins/removed/removed/__init__.py").unlink()
    Path("plugins/removed/removed").rmdir()
    assert "removed" not in registry.targets()
