"""What the engine of a browser offers to the browser device (browser.py): a page beside a bundle that answers questions."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from ...bundle.reader import Bundle
from ...errors import MissingToolError, ModelError
from ...target import Tool
from ..profiles import Profile

SCRIPT = Path(__file__).with_name("page.js")
"""A JavaScript function: a question in, its answer out. Every engine has its pages run this one."""

PATIENCE = 120.0
"""How long a page may take to load the bundle, and for each answer, in seconds."""

CRASHED = "the tab crashed, most likely for want of memory"


def told_version(program: str, install: str, env: Mapping[str, str] | None = None) -> str:
    """What a browser says its version is. Raises MissingToolError with how to ``install`` one that runs."""
    try:
        done = subprocess.run([program, "--version"], env=env, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingToolError(f"{program} does not run: {error}.", install) from error
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    if found is None:
        raise MissingToolError(f"{program} does not run.", install, done.stderr.strip()[-2000:])
    return found[0]


class Page(Protocol):
    """A page in a browser that runs."""

    @property
    def said(self) -> Sequence[str]:
        """What it complained of so far."""
        ...

    def ask(self, question: Mapping[str, Any]) -> Any:
        """What SCRIPT answers. Raises ModelError: the page crashed, went away, or took too long."""
        ...


class Engine(Protocol):
    def tools(self) -> Sequence[Tool]: ...

    def page(self, bundle: Bundle, profile: Profile) -> AbstractContextManager[Page]:
        """A page at the bundle's address in a new browser, which ends with the context.

        Raises:
            MissingToolError: it is not installed, or does not start.
            ModelError: it cannot open the page.
        """
        ...


@contextmanager
def patience(kill: Callable[[], None]) -> Iterator[threading.Event]:
    """After PATIENCE, ``kill``. A page that is stuck answers nobody: only ending the browser helps. The event says that it was so."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        kill()

    timer = threading.Timer(PATIENCE, stop)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def too_late() -> str:
    return f"the page did not answer within {PATIENCE:g} s, and was stopped"


def cannot(reason: str, said: Sequence[str]) -> ModelError:
    return ModelError(reason, details="\n".join(said)[-2000:])
