"""A browser as a device: the bundle is served on loopback and computes in a page; its answers are judged here."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...bundle.manifest import Manifest
from ...bundle.reader import Bundle
from ...errors import GateError, UsageError
from ...spec import Array, Arrays
from ...target import Tool
from ..device import Player
from ..profiles import Profile
from .chromium import Chromium
from .engine import Engine, Page, cannot
from .firefox import Firefox
from .webkit import WebKit

MODULE = "edgepack.js"
ENGINES: Mapping[str, Engine] = {"chromium": Chromium(), "firefox": Firefox(), "webkit": WebKit()}
DTYPES = {"float32": np.float32, "int32": np.int32, "uint8": np.uint8}


@dataclass(frozen=True)
class Browser:
    """See edgepack.devices.device.Device."""

    profile: Profile

    @property
    def engine(self) -> Engine:
        return ENGINES[self.profile.engine]

    def tools(self) -> Sequence[Tool]:
        return self.engine.tools()

    def backends(self, bundle: Bundle) -> tuple[str, ...]:
        manifest = bundle.manifest
        if MODULE not in {entry.path for entry in manifest.files}:
            raise UsageError(
                f"{self.profile.name} runs web pages; {bundle.folder} is a bundle for {manifest.target}.",
                "Verify it with --device host, or build one with --target tfjs.",
            )
        return tuple(each for each in self.profile.backends if each in (manifest.backends or {each}))

    @contextmanager
    def open(self, bundle: Bundle, backend: str) -> Iterator[Player]:
        """A new browser for each backend: what one leaves behind, or how it ends, is nothing to the next."""
        with self.engine.page(bundle, self.profile) as page:
            tab = Tab(page, bundle.manifest)
            tab.load(backend)
            yield tab


class Tab:
    """A page with a bundle's model in it; named arrays in and out."""

    def __init__(self, page: Page, manifest: Manifest) -> None:
        self.page, self._manifest = page, manifest

    def load(self, backend: str) -> None:
        """Raises ModelError: it cannot, it crashed, or it took too long."""
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
        answer = self.page.ask(question)
        if not isinstance(answer, dict):
            raise GateError("the page's answer is no named arrays")
        if "error" in answer:
            raise cannot(str(answer["error"]), self.page.said)
        return answer


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
