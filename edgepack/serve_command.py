"""``edgepack serve``: a bundle with a web page, on loopback, with the headers that threads in WebAssembly need."""

from __future__ import annotations

import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from .bundle import reader
from .bundle.archive import unpacked
from .bundle.writer import MANIFEST
from .console import Console
from .errors import UsageError

S = TypeVar("S", bound="BundleServer")

PAGE = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
HEADERS = {
    # both are what a page needs to be cross-origin isolated, and so to share memory between threads
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def run(path: Path, port: int, show: bool) -> None:
    """Serve a bundle's folder or .zip until Ctrl-C.

    Raises:
        UsageError: no bundle, one without a page, or the port is taken.
    """
    with unpacked(path) as folder:
        _serve(make_server(folder, port), show)


def _serve(server: BundleServer, show: bool) -> None:
    try:
        Console().line(f"{server.address}   Ctrl-C ends it")
        if show:
            webbrowser.open(server.address)
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve while the context lasts; gives the address of the bundle's folder. Raises UsageError."""
    with running(make_server(folder)) as server:
        yield server.address


@contextmanager
def running(server: S) -> Iterator[S]:
    """A server at work while the context lasts."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_server(folder: Path, port: int = 0) -> BundleServer:
    """A server of one bundle; ``port`` 0 takes a free one. Raises UsageError."""
    site = Site(folder)
    try:
        return BundleServer(site, port)
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be taken: {error.strerror}.", "Choose another --port."
        ) from error


class Site:
    """The files that a bundle's manifest lists, and no others.

    They lie under the bundle's name: a page that works offline is kept by the browser, for its path and port, and must
    not be what the next bundle at that port shows. Or under a secret, which keeps them from whom it was not told.
    """

    def __init__(self, folder: Path, secret: str = "") -> None:
        self._folder, self._secret = folder, secret
        self._read()

    def _read(self) -> None:
        self._stamp = self._manifest_stamp()
        bundle = reader.read(self._folder)
        files = {entry.path: bundle.folder / entry.path for entry in bundle.manifest.files}
        if PAGE not in files:
            raise UsageError(
                f"{bundle.manifest.bundle_name} has no web page: it is a bundle for {bundle.manifest.target}.",
                "Build one with --target tfjs.",
            )
        self.root = f"/{quote(self._secret or bundle.manifest.bundle_name, safe='')}/"
        self._files = {**files, "": files[PAGE], MANIFEST: bundle.folder / MANIFEST}

    def _manifest_stamp(self) -> tuple[int, int] | None:
        try:
            found = (self._folder / MANIFEST).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def file(self, path: str) -> Path | None:
        """The file at a URL's path. Raises UsageError where the bundle was built again, and is none any more."""
        if self._stamp != self._manifest_stamp():
            self._read()
        return self._files.get(unquote(path.removeprefix(self.root))) if path.startswith(self.root) else None


class BundleServer(ThreadingHTTPServer):
    """Serves a site on loopback."""

    def __init__(self, site: Site, port: int, handler: type[Handler] | None = None) -> None:
        self.site = site
        super().__init__(("127.0.0.1", port), handler or Handler)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def address(self) -> str:
        return f"http://{self.host}{self.site.root}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of a file is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: BundleServer

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        site, path = self.server.site, urlsplit(self.path).path
        if path in ("/", site.root.rstrip("/")):
            self._send(HTTPStatus.FOUND, {"Location": site.root})
            return
        if path == "/favicon.ico":  # asked for beside any file that is no page
            self._send(HTTPStatus.NO_CONTENT, {})
            return
        try:
            file = site.file(path)
            data = file.read_bytes() if file else None
        except FileNotFoundError:
            data = None
        except UsageError as error:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, explain=error.message)
            return
        if file is None or data is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind = TYPES.get(file.suffix, "application/octet-stream")
        self._send(HTTPStatus.OK, {"Content-Type": kind, "Content-Length": str(len(data)), **HEADERS})
        if with_body:
            self.wfile.write(data)

    def _send(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the page shows what fails."""
