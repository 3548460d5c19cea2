"""A browser that is told nothing but the address of a page that drives itself (driving.py)."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...bundle.reader import Bundle
from ...errors import MissingToolError
from ...serve_command import running
from .driving import Dialogue, DrivingServer, Ended
from .engine import cannot, patience, too_late
from .leash import Leashed
from .xvfb import display

KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""What a browser sees of this process's environment."""


@dataclass(frozen=True)
class Start:
    """What a browser is started with.

    Attributes:
        folder: its home, empty, for this one run.
        page: the address of the file to open.
        host: the only host and port that it may speak to; it is also the proxy for all others, which knows none of them.
    """

    folder: Path
    page: str
    host: str


class DrivenPage:
    """See edgepack.devices.browsers.engine.Page."""

    def __init__(self, dialogue: Dialogue, browser: Leashed) -> None:
        self._dialogue, self._browser = dialogue, browser
        self.said: list[str] = []

    def ask(self, question: Mapping[str, Any]) -> Any:
        with patience(self._browser.kill) as late:
            try:
                found = self._dialogue.ask(question)
            except Ended as ended:
                raise cannot(too_late() if late.is_set() else str(ended), self.said) from ended
        self.said = list(map(str, found["said"]))
        return found["answer"]


@contextmanager
def driven(bundle: Bundle, command: Callable[[Start], list[str]]) -> Iterator[DrivenPage]:
    """A browser with the page of a bundle, on a display that nobody sees. Raises MissingToolError where it does not come up.

    Args:
        command: prepares the browser and gives its command line.
    """
    with (
        tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as home,
        running(DrivingServer(bundle)) as server,
        display(Path(home), _environment(home)) as shown,
    ):
        program, *flags = command(Start(Path(home), _first_page(Path(home), server.address), server.host))
        with closing(Leashed([program, *flags], {**_environment(home), **shown})) as browser:
            threading.Thread(target=_follow, args=(browser, server.dialogue), daemon=True).start()
            try:
                with patience(browser.kill):
                    server.dialogue.wait_until_open()
            except Ended as ended:
                raise MissingToolError(
                    f"{program} does not start.", "Start it by hand and mend what it says.", browser.said
                ) from ended
            yield DrivenPage(server.dialogue, browser)


def _first_page(home: Path, address: str) -> str:
    """The address of a file that leads there: on a command line, everybody on this machine could read the address."""
    page = home / "start.html"
    page.write_text(f'<!doctype html><script>location.replace("{address}")</script>', encoding="utf-8")
    return page.as_uri()


def _environment(home: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {
        "HOME": home,
        "TMPDIR": home,
        "XDG_RUNTIME_DIR": home,
        "LIBGL_ALWAYS_SOFTWARE": "1",  # so that every machine gives the same answers, one without a GPU too
        # nothing of the user's session: it would start programs that outlive the browser
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "NO_AT_BRIDGE": "1",
        "GTK_A11Y": "none",
    }


def _follow(browser: Leashed, dialogue: Dialogue) -> None:
    browser.wait()
    dialogue.end("the browser ended")
