"""Chromium, driven by Playwright: found on this machine, never downloaded."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...bundle.reader import Bundle
from ...bundle.writer import MANIFEST
from ...errors import MissingToolError
from ...serve_command import serving
from ...target import Tool
from ..profiles import Profile
from .engine import CRASHED, SCRIPT, cannot, patience, told_version, too_late

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    # the GPU's work in software, so that every machine gives the same answers, one without a GPU too
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    # a bundle's page has no business elsewhere
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-quic",
)
START = 60_000
"""How long Chromium may take to start, in ms."""


class PlaywrightTool:
    """The Python package that drives the browser (see edgepack.target.Tool)."""

    name = "playwright"

    def verify(self) -> str:
        try:
            return version("playwright")
        except PackageNotFoundError as error:
            raise MissingToolError(
                "A browser as a device needs the Python package 'playwright', which is not installed.",
                "pip install 'edgepack[browser]'",
            ) from error


class ChromiumTool:
    """The browser (see edgepack.target.Tool)."""

    name = "chromium"

    def verify(self) -> str:
        return told_version(self.program(), INSTALL)

    def program(self) -> str:
        """Where it is. Raises MissingToolError."""
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            PlaywrightTool().verify()
            from playwright.sync_api import sync_playwright

            with sync_playwright() as playwright:
                found = playwright.chromium.executable_path
        if not Path(found).is_file():
            raise MissingToolError(
                "A browser as a device needs Chromium or Chrome, which is not installed.", INSTALL
            )
        return found


INSTALL = f"Install Chromium from your system's packages ({' or '.join(NAMES)} on the path), or: playwright install chromium"


class Chromium:
    """See edgepack.devices.browsers.engine.Engine."""

    def tools(self) -> Sequence[Tool]:
        return PlaywrightTool(), ChromiumTool()

    @contextmanager
    def page(self, bundle: Bundle, profile: Profile) -> Iterator[ChromiumPage]:
        with serving(bundle.folder) as address, launched() as chromium:
            page = ChromiumPage(chromium, chromium.tab(profile))
            page.open(address + MANIFEST)  # any file would do; the demo page would load the model as well
            yield page


class ChromiumPage:
    """See edgepack.devices.browsers.engine.Page."""

    def __init__(self, chromium: Running, tab: Page) -> None:
        self._chromium, self.tab = chromium, tab
        self._script = SCRIPT.read_text(encoding="utf-8")
        self.said: list[str] = []
        tab.on("console", lambda each: self.said.append(each.text) if each.type == "error" else None)
        tab.on("pageerror", lambda each: self.said.append(each.message))

    def open(self, address: str) -> None:
        """Raises ModelError."""
        with self._patience():
            self.tab.goto(address)

    def ask(self, question: Mapping[str, Any]) -> Any:
        with self._patience():
            return self.tab.evaluate(self._script, question)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """What ends the page, as a ModelError."""
        from playwright.sync_api import Error

        with patience(self._chromium.kill) as late:
            try:
                yield
            except Error as error:
                reason = error.message
                if late.is_set():
                    reason = too_late()
                elif "crashed" in reason:
                    reason = CRASHED
                raise cannot(reason, self.said) from error


@dataclass(frozen=True)
class Running:
    """A Chromium that runs.

    Attributes:
        group: the process group of its many processes.
    """

    playwright: Playwright
    browser: Browser
    group: int

    def tab(self, profile: Profile) -> Page:
        """One that passes for the device's."""
        context = self.browser.new_context(
            **self.playwright.devices[profile.descriptor], service_workers="block"
        )
        tab = context.new_page()
        context.new_cdp_session(tab).send("Emulation.setCPUThrottlingRate", {"rate": profile.cpu_throttle})
        return tab

    def kill(self) -> None:
        """End it at once, whatever its pages do; can be called from another thread."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)


@contextmanager
def launched() -> Iterator[Running]:
    """A fresh Chromium without a window; it ends, its pages too, when the context does. Raises MissingToolError."""
    PlaywrightTool().verify()
    program = ChromiumTool().program()
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=program,
                args=FLAGS,
                chromium_sandbox=getattr(os, "geteuid", lambda: 1)()
                != 0,  # it refuses to be root in a sandbox
                timeout=START,
            )
        except Error as error:
            raise MissingToolError(
                f"{program} does not start.", "Start it by hand and mend what it says.", error.message[-2000:]
            ) from error
        try:
            yield Running(playwright, browser, os.getpgid(_pid(browser)))
        finally:
            browser.close()


def _pid(browser: Browser) -> int:
    """Playwright makes it the leader of a process group, but does not tell its process id; the browser itself does."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return next(int(process["id"]) for process in found if process["type"] == "browser")
