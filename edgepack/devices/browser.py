"""A browser as a device: the bundle is served on loopback and computes in a page; its answers are judged here."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundle.manifest import Manifest
from ..bundle.reader import Bundle
from ..bundle.writer import MANIFEST
from ..errors import GateError, ModelError, UsageError
from ..serve_command import serving
from ..spec import Array, Arrays
from ..target import Tool
from .chromium import Chromium, ChromiumTool, PlaywrightTool, launched
from .device import Player
from .profiles import Profile

if TYPE_CHECKING:
    from playwright.sync_api import Page

MODULE = "edgepack.js"
SCRIPT = Path(__file__).with_name("page.js")
PATIENCE = 120.0
"""How long a page may take to load the bundle, and for each answer, in seconds."""

DTYPES = {"float32": np.float32, "int32": np.int32, "uint8": np.uint8}


@dataclass(frozen=True)
class Browser:
    """See edgepack.devices.device.Device."""

    profile: Profile

    def tools(self) -> Sequence[Tool]:
        return PlaywrightTool(), ChromiumTool()

    def backends(self, bundle: Bundle) -> tuple[str, ...]:
        manifest = bundle.manifest
        if MODULE not in {entry.path for entry in manifest.files}:
            raise UsageError(
                f"{self.profile.name} runs web pages; {bundle.folder} is a bundle for {manifest.target}.",
                "Verify it with --device host, or build one with --target tfjs.",
            )
        return tuple(each for each in self.profile.backends if each in (manifest.backends or {each}))

    def twin(self, bundle: Bundle, backend: str) -> str:
        """WebAssembly on this machine; a .tflite is run by LiteRT itself, which has one backend."""
        return "" if bundle.manifest.runtime == "litert" else "wasm"

    @contextmanager
    def open(self, bundle: Bundle, backend: str) -> Iterator[Player]:
        """A new browser for each backend: what one leaves behind, or how it ends, is nothing to the next."""
        with serving(bundle.folder) as address, launched() as chromium:
            tab = Tab(chromium, self._page(chromium), bundle.manifest)
            tab.load(address, backend)
            yield tab

    def _page(self, chromium: Chromium) -> Page:
        """A tab that passes for the device's."""
        descriptor = chromium.playwright.devices[self.profile.descriptor]
        context = chromium.browser.new_context(**descriptor, service_workers="block")
        page = context.new_page()
        context.new_cdp_session(page).send(
            "Emulation.setCPUThrottlingRate", {"rate": self.profile.cpu_throttle}
        )
        return page


class Tab:
    """A page with a bundle's model in it; named arrays in and out."""

    def __init__(self, chromium: Chromium, page: Page, manifest: Manifest) -> None:
        self._chromium, self._page, self._manifest = chromium, page, manifest
        self._script = SCRIPT.read_text(encoding="utf-8")
        self._said: list[str] = []
        page.on("console", lambda each: self._said.append(each.text) if each.type == "error" else None)
        page.on("pageerror", lambda each: self._said.append(each.message))

    def load(self, address: str, backend: str) -> None:
        """Raises ModelError: it cannot, it crashed, or it took too long."""
        with self._patience():
            self._page.goto(
                address + MANIFEST
            )  # any file would do; the demo page would load the model as well
        found = self._ask({"backend": backend}).get("backend")
        if found != backend:
            raise GateError(f"the page computes with '{found}', not with '{backend}'")

    def __call__(self, inputs: Arrays) -> dict[str, Array]:
        given = {entry.name: _encode(inputs[entry.name], entry.dtype) for entry in self._manifest.inputs}
        answer = self._ask({"inputs": given})
        try:
            return {name: _decode(each) for name, each in dict(answer["outputs"]).items()}
        except (TypeError, KeyError, ValueError) as error:
            raise GateError("the page's answer is no named arrays") from error

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        with self._patience():
            answer = self._page.evaluate(self._script, question)
        if not isinstance(answer, dict):
            raise GateError("the page's answer is no named arrays")
        if "error" in answer:
            raise self._cannot(str(answer["error"]))
        return answer

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """What ends the page, as a ModelError. A page that is stuck answers nobody: only killing the browser helps."""
        from playwright.sync_api import Error

        late = threading.Event()

        def stop() -> None:
            late.set()
            self._chromium.kill()

        timer = threading.Timer(PATIENCE, stop)
        timer.start()
        try:
            yield
        except Error as error:
            reason = error.message
            if late.is_set():
                reason = f"the page did not answer within {PATIENCE:g} s, and was stopped"
            elif "crashed" in reason:
                reason = "the tab crashed, most likely for want of memory"
            raise self._cannot(reason) from error
        finally:
            timer.cancel()

    def _cannot(self, reason: str) -> ModelError:
        return ModelError(reason, details="\n".join(self._said)[-2000:])


def _encode(array: Array, dtype: str) -> dict[str, Any]:
    """As page.js takes it; ``dtype`` is what the artifact takes, or what it is quantized to."""
    taken = dtype if dtype in ("int32", "bool") else "float32"
    data = np.ascontiguousarray(array, taken)
    text = base64.b64encode(data.tobytes()).decode()
    return {"dtype": taken, "shape": list(array.shape), "base64": text}


def _decode(table: Mapping[str, Any]) -> Array:
    """Raises KeyError, TypeError, ValueError for what is no array."""
    data = base64.b64decode(table["base64"], validate=True)
    return np.frombuffer(data, DTYPES[table["dtype"]]).reshape(table["shape"])
