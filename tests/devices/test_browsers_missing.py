"""Browsers that are not there, and bundles that are not for Node: said before anything is verified."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import page_bundle
import pytest

from edgepack import devices
from edgepack.devices.browsers import webkit
from edgepack.devices.browsers.firefox import FirefoxTool
from edgepack.devices.browsers.webkit import WebKitTool
from edgepack.devices.browsers.xvfb import XvfbTool
from edgepack.errors import MissingToolError


@pytest.fixture
def bundle(workspace: Path) -> Path:
    return page_bundle.write(workspace)


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which all programs lie that are found."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.parametrize("device", ["firefox", "webkit"])
def test_nothing_is_verified_without_a_display(
    bundle: Path, edgepack: Callable[..., Any], empty_path: Path, device: str
) -> None:
    done = edgepack("verify", bundle, "--device", "host", "--device", device, "--json")
    assert done.code == 4
    assert "apt-get install xvfb" in done.json["error"]["hint"]
    assert "passed" not in done.err


def program(path: Path, script: str) -> None:
    path.write_text(f"#!{sys.executable}\n{script}")
    path.chmod(0o755)


def test_nothing_is_verified_without_firefox(
    bundle: Path, edgepack: Callable[..., Any], empty_path: Path
) -> None:
    program(
        empty_path / "Xvfb",
        "import sys; print(99, flush=True); sys.stdin.read(); import time; time.sleep(60)",
    )
    done = edgepack("verify", bundle, "--device", "host", "--device", "firefox", "--json")
    assert done.code == 4
    assert "apt-get install firefox-esr" in done.json["error"]["hint"]
    assert "passed" not in done.err


def test_webkit_that_is_missing_says_what_brings_it(
    empty_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webkit, "PLACES", ())
    with pytest.raises(MissingToolError) as found:
        WebKitTool().verify()
    assert "libwebkit2gtk-4.1-0" in found.value.hint


def test_firefox_that_does_not_run_is_as_good_as_none(empty_path: Path) -> None:
    program(empty_path / "firefox-esr", "import sys; sys.exit('no library')")
    with pytest.raises(MissingToolError, match="does not run") as found:
        FirefoxTool().verify()
    assert found.value.details == "no library"


def test_a_display_that_does_not_start_is_as_good_as_none(empty_path: Path) -> None:
    program(empty_path / "Xvfb", "import sys; sys.exit('no fonts')")
    with pytest.raises(MissingToolError, match="does not start") as found:
        XvfbTool().verify()
    assert found.value.details == "no fonts"


def test_their_tools_are_listed_in_the_order_to_install_them() -> None:
    assert [tool.name for tool in devices.find("firefox").tools()] == ["xvfb", "firefox"]
    assert [tool.name for tool in devices.find("webkit").tools()] == ["xvfb", "webkitgtk"]


def test_node_takes_bundles_of_tensorflow_js_only(bundle: Path, edgepack: Callable[..., Any]) -> None:
    done = edgepack("verify", bundle, "--device", "node")
    assert done.code == 2
    assert "a bundle for fake" in done.err
    assert "--device host" in done.err


def test_node_does_not_take_those_of_litert_js(workspace: Path, edgepack: Callable[..., Any]) -> None:
    done = edgepack(
        "verify", page_bundle.write(workspace, target="tfjs", runtime="litert"), "--device", "node"
    )
    assert done.code == 2
    assert "runs TensorFlow.js" in done.err
    assert "litert" in done.err
