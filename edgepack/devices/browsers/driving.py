"""A page that drives itself: it hears this process's questions from the server that it came from, and posts its answers there.

The browsers' own remote controls are not used: each has another, of another program or port, and the ports take orders
from whoever connects. Here nobody gives orders; what a page can do is to answer.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import math
import secrets
import select
import threading
from collections.abc import Mapping
from http import HTTPStatus
from io import BufferedIOBase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...bundle.reader import Bundle
from ...serve_command import HEADERS, TYPES, BundleServer, Handler, Site
from .engine import SCRIPT

DRIVER = Path(__file__).with_name("drive.js")
QUESTIONS = "questions"
GONE = "the page crashed, most likely for want of memory, or went elsewhere"
BEAT = 1.0
"""How often a page is told NOTHING, in seconds."""

NOTHING = ":\n\n"
ROOM = 1_000_000
"""Bytes of an answer that are no numbers: names, complaints."""


class Ended(Exception):
    """There is no answer any more; says why."""


class Dialogue:
    """Questions to one page, one after the other, and its answers. Its methods are called from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._stream: BufferedIOBase | None = None
        self._asked = 0
        self._answer: bytes | None = None
        self._ended = ""

    def open(self, stream: BufferedIOBase) -> bool:
        """Questions go there from now on; False where another page takes them."""
        with self._changed:
            if self._stream is not None:
                return False
            self._stream = stream
            self._changed.notify_all()
            return True

    def wait_until_open(self) -> None:
        """Raises Ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._stream or self._ended)
            self._check()

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What the page sends: ``answer`` and ``said``. Raises Ended."""
        self.wait_until_open()
        with self._changed:
            self._asked += 1
            self._answer = None
            line = json.dumps({"number": self._asked, "question": question})
        self.tell(f"data: {line}\n\n")
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None or self._ended)
            self._check()
            return _read(self._answer or b"")

    def tell(self, words: str) -> None:
        """Write to the page. Raises Ended."""
        assert self._stream is not None
        try:
            with self._writing:
                self._stream.write(words.encode())
        except OSError as error:
            self.end(GONE)
            raise Ended(self._ended) from error

    def answer(self, number: str, data: bytes) -> None:
        """Called by the page; what answers another question than the last is dropped."""
        with self._changed:
            if number == str(self._asked):
                self._answer = data
                self._changed.notify_all()

    def end(self, reason: str) -> None:
        """Nothing more will come; the first reason counts."""
        with self._changed:
            self._ended = self._ended or reason
            self._changed.notify_all()

    def _check(self) -> None:
        if self._ended:
            raise Ended(self._ended)


def _read(data: bytes) -> dict[str, Any]:
    """Raises Ended for what drive.js does not send."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "answer" not in found or not isinstance(found.get("said"), list):
        raise Ended("the page's answer cannot be read")
    return found


class DrivingServer(BundleServer):
    """A bundle, and the page that drives itself in the place of its own; for one browser, once.

    The address has a secret in it: other programs of this machine, and other pages, get nothing.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(Site(bundle.folder, secrets.token_urlsafe(24)), 0, DrivingHandler)
        values = sum(math.prod(entry.shape) for entry in bundle.manifest.outputs)
        self.largest = ROOM + 8 * values  # 4 bytes a value, as base64
        self.dialogue = Dialogue()
        script = SCRIPT.read_text(encoding="utf-8")
        driver = DRIVER.read_text(encoding="utf-8")
        self.page = (
            "<!doctype html><meta charset=utf-8><title>edgepack</title>"
            f"<script type=module>\nconst answerTo = {script};\n{driver}</script>"
        ).encode()


class DrivingHandler(Handler):
    server: DrivingServer

    def parse_request(self) -> bool:
        """False for all that is not from the page of this server: nothing of a request is looked at before that."""
        if not super().parse_request():
            return False
        if self._is_known():
            return True
        self._send(HTTPStatus.NOT_FOUND, {"Content-Length": "0"})
        return False

    def _is_known(self) -> bool:
        root, host = self.server.site.root, self.server.host
        return (
            hmac.compare_digest(self.path[: len(root)].encode(), root.encode())
            and self.headers.get("Host") == host  # not by a name that was made to lead here
            and self.headers.get("Origin", f"http://{host}") == f"http://{host}"
        )

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != self.server.site.root:
            super().do_GET()
        elif url.query == QUESTIONS:
            self._ask()
        else:
            page = self.server.page
            kind = TYPES[".html"]
            self._send(HTTPStatus.OK, {"Content-Type": kind, "Content-Length": str(len(page)), **HEADERS})
            self.wfile.write(page)

    def do_POST(self) -> None:
        """An answer; the number of its question is the query."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > self.server.largest:
            self.server.dialogue.end(f"the page's answer is larger than {self.server.largest:,} bytes")
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"Content-Length": "0"})
            return
        self.server.dialogue.answer(urlsplit(self.path).query, self.rfile.read(int(length)))
        self._send(HTTPStatus.NO_CONTENT, {})

    def _ask(self) -> None:
        """Questions for as long as the page is there; the end of the connection is how a crash is known."""
        self._send(HTTPStatus.OK, {"Content-Type": "text/event-stream", **HEADERS})
        dialogue = self.server.dialogue
        if not dialogue.open(self.wfile):
            return
        with contextlib.suppress(Ended):
            # a page sends nothing more here; Firefox lets go of a crashed page's connection when there is something to read
            while not select.select((self.connection,), (), (), BEAT)[0]:
                dialogue.tell(NOTHING)
        dialogue.end(GONE)
