"""``edgepack serve``: a bundle with a web page, on loopback, with the headers that threads in WebAssembly need."""

from __future__ import annotations

import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .bundle import reader
from .bundle.writer import MANIFEST
from .console import Console
from .errors import UsageError

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


def run(folder: Path, port: int, show: bool) -> None:
    """Serve until Ctrl-C. Raises UsageError for what is no bundle, has no page, or when the port is taken."""
    server = make_server(folder, port)
    address = f"http://127.0.0.1:{server.server_port}/"
    Console().line(f"{address}   Ctrl-C ends it")
    if show:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def make_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of the files that the bundle's manifest lists, and no others; ``port`` 0 takes a free one."""
    bundle = reader.read(folder)
    files = {entry.path: bundle.folder / entry.path for entry in bundle.manifest.files}
    if PAGE not in files:
        raise UsageError(
            f"{folder} has no web page: it is a bundle for {bundle.manifest.target}.",
            "Build one with --target tfjs.",
        )
    files |= {"": files[PAGE], MANIFEST: bundle.folder / MANIFEST}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, with_body: bool) -> None:
            path = files.get(unquote(urlsplit(self.path).path).lstrip("/"))
            if path is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            data = path.read_bytes()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", TYPES.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(data)))
            for name, value in HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the page shows what fails."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be taken: {error.strerror}.", "Choose another --port."
        ) from error
