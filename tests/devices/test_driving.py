"""A page that drives itself, and the server that it talks to: who is heard there, and what is an answer."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import page_bundle
import pytest

from edgepack.bundle import reader
from edgepack.devices.browsers.driving import GONE, DrivingServer, Ended
from edgepack.serve_command import running


class Client:
    """Speaks to the server as a browser does, or as somebody else."""

    def __init__(self, server: DrivingServer) -> None:
        self.server = server
        self.root = server.site.root
        self.streams: list[Any] = []  # one that is not held is closed

    def request(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        return connection.getresponse()

    def post(self, number: int, body: bytes) -> int:
        return int(
            self.request(f"{self.root}?{number}", "POST", body, Origin=f"http://{self.server.host}").status
        )

    def listen(self) -> Any:
        """Be the page that takes the questions."""
        self.streams.append(self.request(f"{self.root}?questions"))
        return self.streams[-1]

    def heard(self, ask: Callable[[Any], Callable[[], Any]]) -> Callable[[], Any]:
        """Have a question asked, and hear it as a page does before it answers."""
        stream = self.listen()
        answer = ask({})
        self.hear(stream)
        return answer

    def hear(self, stream: Any) -> dict[str, Any]:
        line = b":"
        while line.startswith(b":"):  # nothing, now and then
            line = stream.readline()
            assert stream.readline() == b"\n"
        found: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
        return found


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with running(DrivingServer(reader.read(page_bundle.write(tmp_path)))) as server:
        yield Client(server)


@pytest.fixture
def ask(client: Client) -> Iterator[Callable[[Any], Callable[[], Any]]]:
    """Ask in another thread; gives what waits for the answer, or for the reason why there is none."""

    def start(question: Any) -> Callable[[], Any]:
        found: list[Any] = []

        def work() -> None:
            try:
                found.append(client.server.dialogue.ask(question))
            except Ended as ended:
                found.append(str(ended))

        thread = threading.Thread(target=work)
        thread.start()

        def result() -> Any:
            thread.join(60)
            return found[0]

        return result

    yield start
    client.server.dialogue.end("the test is over")


def test_a_question_is_heard_and_its_answer_comes_back(client: Client, ask: Any) -> None:
    stream = client.listen()
    for number in (1, 2):
        answer = ask({"backend": "größe"})
        assert client.hear(stream) == {"number": number, "question": {"backend": "größe"}}
        assert client.post(number, b'{"answer": 5, "said": []}') == 204
        assert answer() == {"answer": 5, "said": []}


def test_a_question_waits_for_its_page(client: Client, ask: Any) -> None:
    answer = ask({})
    client.hear(client.listen())
    client.post(1, b'{"answer": 5, "said": []}')
    assert answer()["answer"] == 5


def test_the_page_and_the_files_of_the_bundle_lie_beside_each_other(client: Client) -> None:
    page = client.request(client.root)
    assert b"answerTo" in page.read()
    assert page.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert json.loads(client.request(f"{client.root}manifest.json").read())["target"] == "fake"


@pytest.mark.parametrize(
    "path", ["/", "/manifest.json", "/wrong/", "/favicon.ico", "//", "/wrong/?questions"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_without_the_secret_there_is_nothing(client: Client, path: str, method: str) -> None:
    found = client.request(path, method, b"" if method == "POST" else None)
    assert (found.status, found.read()) == (404, b"")
    assert client.root.strip("/") not in str(found.headers)


def test_each_server_has_another_secret_that_cannot_be_guessed(client: Client, tmp_path: Path) -> None:
    (bundle,) = tmp_path.iterdir()
    with DrivingServer(reader.read(bundle)) as other:
        assert other.site.root != client.root
    assert len(client.root) > 32


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://example.com"}, {"Origin": "null"}, {"Host": "example.com"}], ids=str
)
@pytest.mark.parametrize("path", ["", "manifest.json", "?questions"])
def test_another_origin_gets_nothing_though_it_knows_the_secret(
    client: Client, ask: Any, headers: dict[str, str], path: str
) -> None:
    found = client.request(client.root + path, **headers)
    assert (found.status, found.read()) == (404, b"")
    answer = client.heard(ask)
    assert client.request(f"{client.root}?1", "POST", b'{"answer": 1, "said": []}', **headers).status == 404
    client.post(1, b'{"answer": 2, "said": []}')
    assert answer()["answer"] == 2


def test_as_a_proxy_it_knows_nobody(client: Client) -> None:
    assert client.request(f"http://example.com{client.root}").status == 404
    assert client.request("example.com:443", "CONNECT").status == 404


def test_a_second_page_hears_nothing(client: Client, ask: Any) -> None:
    stream, second = client.listen(), client.listen()
    assert second.read() == b""
    answer = ask({})
    client.hear(stream)
    client.post(1, b'{"answer": 5, "said": []}')
    assert answer()["answer"] == 5


def test_an_answer_to_another_question_does_not_count(client: Client, ask: Any) -> None:
    stream = client.listen()
    client.post(0, b'{"answer": "early", "said": []}')
    client.post(1, b'{"answer": "early", "said": []}')
    answer = ask({})
    client.hear(stream)
    client.post(2, b'{"answer": "other", "said": []}')
    client.post(1, b'{"answer": "right", "said": []}')
    assert answer()["answer"] == "right"


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[1]", b'{"answer": 1}', b'{"answer": 1, "said": 2}', b"[" * 200_000, b"\xff\xfe"],
    ids=lambda body: repr(body[:9]),
)
def test_what_the_page_does_not_send_is_no_answer(client: Client, ask: Any, body: bytes) -> None:
    answer = client.heard(ask)
    client.post(1, body)
    assert "cannot be read" in answer()


def test_an_answer_has_its_bounds(client: Client, ask: Any) -> None:
    client.listen()
    answer = ask({})
    size = str(client.server.largest + 1)
    found = client.request(
        f"{client.root}?1", "POST", Origin=f"http://{client.server.host}", Content_Length=size
    )
    assert found.status == 413
    assert "is larger than" in answer()


def test_a_page_that_goes_away_is_known_at_once(client: Client, ask: Any) -> None:
    stream = client.listen()
    answer = ask({})
    client.hear(stream)
    client.streams.clear()
    del stream
    assert answer() == GONE
