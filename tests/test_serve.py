"""``edgepack serve``: the listed files of a bundle on loopback, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from edgepack.bundle.archive import unpacked
from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal
from edgepack.errors import UsageError
from edgepack.serve_command import make_server, serving

BUNDLE = Path("dist/fake_models-1.0.0-fake-int8")


@pytest.fixture
def page(build: Callable[..., Any]) -> Path:
    """A bundle with a page: any bundle, sealed again with one in it."""
    assert build().code == 0
    (BUNDLE / "index.html").write_text("<h1>page</h1>")
    (BUNDLE / "lib").mkdir()
    (BUNDLE / "lib/a.wasm").write_bytes(b"\0asm")
    seal(BUNDLE, Manifest.model_validate_json((BUNDLE / "manifest.json").read_text()))
    return BUNDLE


@pytest.fixture
def get(page: Path) -> Iterator[Callable[[str], Any]]:
    with serving(page) as address:
        (page / "secret.txt").write_text("not listed")  # which came while the bundle is served
        yield lambda path: urllib.request.urlopen(address + path, timeout=60)


def test_the_page_and_its_files_have_their_types(get: Callable[[str], Any]) -> None:
    assert get("").read() == b"<h1>page</h1>"
    assert get("index.html?a=1").headers["Content-Type"].startswith("text/html")
    assert get("lib/a.wasm").headers["Content-Type"] == "application/wasm"
    assert json.loads(get("manifest.json").read())["target"] == "fake"


def test_threads_get_the_headers_they_need(get: Callable[[str], Any]) -> None:
    headers = get("").headers
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize(
    "path",
    ["secret.txt", "../../etc/passwd", "../manifest.json", "%2e%2e/manifest.json", "lib", "golden/", "//"],
)
def test_nothing_else_is_served(get: Callable[[str], Any], path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(path)
    assert caught.value.code == 404


def test_a_bundle_without_a_page_is_refused(build: Callable[..., Any]) -> None:
    assert build().code == 0
    with pytest.raises(UsageError, match="has no web page"):
        make_server(BUNDLE)


def test_a_zip_is_served(page: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive("it", "zip", page)
    with unpacked(Path(archive)) as folder, serving(folder) as address:
        assert urllib.request.urlopen(address, timeout=60).read() == b"<h1>page</h1>"


def test_a_changed_bundle_is_refused(page: Path) -> None:
    (page / "index.html").write_text("<h1>other</h1>")
    with pytest.raises(UsageError, match="index.html"):
        make_server(page)


def test_a_taken_port_is_said(page: Path) -> None:
    server = make_server(page)
    with pytest.raises(UsageError, match=f"Port {server.server_port}"):
        make_server(page, server.server_port)
    server.server_close()


def test_the_address_without_a_path_leads_to_the_bundle(page: Path) -> None:
    with serving(page) as address:
        for start in (urljoin(address, "/"), address.rstrip("/")):
            answer = urllib.request.urlopen(start, timeout=60)
            assert answer.url == address
            assert answer.read() == b"<h1>page</h1>"


def test_two_bundles_never_share_an_address(page: Path) -> None:
    """What a browser keeps of one, to work offline, must not be what it shows of the other."""
    other = page.with_name("other")
    shutil.copytree(page, other)
    seal(
        other,
        Manifest.model_validate_json((page / "manifest.json").read_text()).model_copy(
            update={"name": "other"}
        ),
    )
    with serving(page) as one, serving(other) as two:
        assert urlsplit(one).path == f"/{BUNDLE.name}/"
        assert urlsplit(two).path == "/other-1.0.0-fake-int8/"


def test_a_name_in_a_manifest_cannot_leave_the_address(page: Path) -> None:
    manifest = Manifest.model_validate_json((page / "manifest.json").read_text())
    seal(page, manifest.model_copy(update={"precision": "x/../\r\nSet-Cookie: a"}))
    with serving(page) as address:
        assert address.endswith("-x%2F..%2F%0D%0ASet-Cookie%3A%20a/")
        assert urllib.request.urlopen(address, timeout=60).read() == b"<h1>page</h1>"


def test_head_answers_without_the_file(page: Path) -> None:
    with serving(page) as address:
        answer = urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=60)
    assert answer.headers["Content-Length"] == str(len("<h1>page</h1>"))
    assert answer.read() == b""


def test_a_bundle_that_is_built_again_is_served_as_it_is_now(get: Callable[[str], Any], page: Path) -> None:
    (page / "index.html").write_text("<h1>newer</h1>")
    (page / "added.txt").write_text("added")
    (page / "secret.txt").unlink()
    seal(page, Manifest.model_validate_json((page / "manifest.json").read_text()))
    assert get("").read() == b"<h1>newer</h1>"
    assert get("added.txt").read() == b"added"


def test_a_bundle_that_is_broken_meanwhile_is_said(get: Callable[[str], Any], page: Path) -> None:
    (page / "lib/a.wasm").unlink()
    with pytest.raises(urllib.error.HTTPError) as caught:
        get("lib/a.wasm")
    assert caught.value.code == 404
    (page / "manifest.json").unlink()
    with pytest.raises(urllib.error.HTTPError) as caught:
        get("")
    assert caught.value.code == 503
    assert "is not a bundle" in caught.value.read().decode()


def test_a_browser_that_goes_away_is_no_error(page: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (page / "lib/a.wasm").write_bytes(bytes(30_000_000))
    seal(page, Manifest.model_validate_json((page / "manifest.json").read_text()))
    with serving(page) as address:
        found = urlsplit(address)
        with socket.create_connection((found.hostname, found.port)) as client:
            client.sendall(f"GET {found.path}lib/a.wasm HTTP/1.0\r\n\r\n".encode())
            client.recv(10)
        urllib.request.urlopen(address, timeout=60).read()  # it still answers
        time.sleep(0.3)
    assert capfd.readouterr().err == ""


def test_control_c_ends_it_at_once_and_well(page: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgepack", "serve", str(page), "--no-open"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stderr is not None
    assert "Ctrl-C ends it" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
