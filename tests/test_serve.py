"""``edgepack serve``: the listed files of a bundle on loopback, and nothing else."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal
from edgepack.errors import UsageError
from edgepack.serve_command import make_server

BUNDLE = Path("dist/fake_models-1.0.0-fake-int8")


@pytest.fixture
def page(build: Callable[..., Any]) -> Path:
    """A bundle with a page: any bundle, sealed again with one in it."""
    assert build().code == 0
    (BUNDLE / "index.html").write_text("<h1>page</h1>")
    (BUNDLE / "lib").mkdir()
    (BUNDLE / "lib/a.wasm").write_bytes(b"\0asm")
    seal(BUNDLE, Manifest.model_validate_json((BUNDLE / "manifest.json").read_text()))
    (BUNDLE / "secret.txt").write_text("not listed")
    return BUNDLE


@pytest.fixture
def get(page: Path) -> Iterator[Callable[[str], Any]]:
    server = make_server(page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield lambda path: urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=5)
    server.shutdown()
    server.server_close()


def test_the_page_and_its_files_have_their_types(get: Callable[[str], Any]) -> None:
    assert get("/").read() == b"<h1>page</h1>"
    assert get("/index.html?a=1").headers["Content-Type"].startswith("text/html")
    assert get("/lib/a.wasm").headers["Content-Type"] == "application/wasm"
    assert json.loads(get("/manifest.json").read())["target"] == "fake"


def test_threads_get_the_headers_they_need(get: Callable[[str], Any]) -> None:
    headers = get("/").headers
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize(
    "path", ["/secret.txt", "/../../etc/passwd", "/%2e%2e/manifest.json", "/lib", "/golden/"]
)
def test_nothing_else_is_served(get: Callable[[str], Any], path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(path)
    assert caught.value.code == 404


def test_a_bundle_without_a_page_is_refused(build: Callable[..., Any]) -> None:
    assert build().code == 0
    with pytest.raises(UsageError, match="has no web page"):
        make_server(BUNDLE)


def test_a_changed_bundle_is_refused(page: Path) -> None:
    (page / "index.html").write_text("<h1>other</h1>")
    with pytest.raises(UsageError, match="index.html"):
        make_server(page)


def test_a_taken_port_is_said(page: Path) -> None:
    server = make_server(page)
    with pytest.raises(UsageError, match=f"Port {server.server_port}"):
        make_server(page, server.server_port)
    server.server_close()
