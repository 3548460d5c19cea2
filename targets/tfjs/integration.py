"""The kit of a bundle for web pages: the page, the JavaScript API with its types, and TensorFlow.js or LiteRT.js itself.

The JavaScript is the same in every bundle and reads the model's facts from manifest.json, so no text that a model supplied
becomes code. What is rendered: the types (names as string literals), the title (escaped) and the service worker's list.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from edgepack.bundle.manifest import Manifest, TensorEntry
from edgepack.errors import ModelError
from edgepack.spec import Array, Arrays
from edgepack.target import File

from .node import runtime_files

KIT = Path(__file__).with_name("kit")

ARRAYS = {"float32": "Float32Array", "int32": "Int32Array", "bool": "Uint8Array"}
"""What TensorFlow.js gives for its element types; it has no others. LiteRT.js has the first two of them."""


@dataclass(frozen=True)
class Runtime:
    """What a bundle computes with.

    Attributes:
        folder: where its files are in what npm fetched.
        first_visit: those of them that a page loads in nearly every browser.
        backends: what it computes on.
    """

    title: str
    folder: str
    first_visit: frozenset[str]
    backends: tuple[str, ...]


RUNTIMES = {
    "": Runtime(
        "TensorFlow.js",
        "runtime",
        frozenset(
            ("tfjs-core.js", "tfjs-converter.js", "tfjs-backend-wasm.js", "tfjs-backend-wasm-simd.wasm")
        ),
        ("wasm", "webgl", "webgpu", "cpu"),
    ),
    "litert": Runtime(
        "LiteRT.js",
        "litert",
        frozenset(("litert.js", "litert_wasm_internal.js", "litert_wasm_internal.wasm")),
        ("wasm",),
    ),
}
"""By the manifest's ``runtime``."""

GOLDEN = ("golden/inputs.npz", "golden/outputs.npz")
"""What the page shows as samples and tests itself with."""

LITERT_DTYPES = ("float32", "int32")

SEMVER = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")


@dataclass(frozen=True)
class Port:
    """An input or output, as the templates see it.

    Attributes:
        array: the type of its values.
        ranked: whether labels or a declared top-k make a list of best classes of it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    array: str
    image: bool
    audio: bool
    scalar: bool
    ranked: bool


def files(manifest: Manifest, golden: Arrays) -> Iterator[File]:
    """Every file of the kit; they lie at the bundle's root.

    Args:
        manifest: its ``files`` are those that the bundle holds already: artifact, labels, golden vectors.
        golden: one sample; the page replays those in the bundle's ``golden/``.

    Raises:
        ModelError: LiteRT.js would answer wrongly.
        MissingToolError: TensorFlow.js and LiteRT.js are not cached and cannot be fetched.
    """
    if manifest.runtime == "litert":
        _check_for_litert(manifest, golden)
    made = [*_runtime(RUNTIMES[manifest.runtime]), *_static(), _package(manifest), *_rendered(manifest)]
    yield from made
    yield _service_worker(manifest, made)


def _check_for_litert(manifest: Manifest, golden: Arrays) -> None:
    """Refuse what LiteRT.js cannot take, and the one thing that it gets wrong without a word."""
    for entry in (*manifest.inputs, *manifest.outputs):
        if entry.dtype not in LITERT_DTYPES:
            raise ModelError(
                f"LiteRT.js takes {' and '.join(LITERT_DTYPES)}; '{entry.name}' is {entry.dtype}.",
                "Cast it in the model, or build for tfjs without --runtime litert.",
            )
    for (output, answer), (given, value) in itertools.product(
        _of("outputs/", golden), _of("inputs/", golden)
    ):
        if answer.dtype == value.dtype and np.array_equal(answer, value):
            raise ModelError(
                f"The output '{output}' is the input '{given}' passed through; LiteRT.js then reads zeros.",
                "Leave that output out of the model: the app has the input.",
            )


def _of(part: str, golden: Arrays) -> list[tuple[str, Array]]:
    return [(name.removeprefix(part), array) for name, array in golden.items() if name.startswith(part)]


def _runtime(runtime: Runtime) -> Iterator[File]:
    for path in sorted((runtime_files() / runtime.folder).iterdir()):
        if path.name != "package.json":  # the one at the bundle's root says it already
            yield File(f"runtime/{path.name}", source=path, first_visit=path.name in runtime.first_visit)


def _static() -> Iterator[File]:
    for path in sorted(KIT.rglob("*")):
        if path.is_file() and path.suffix != ".j2" and path.name != "package.json":
            yield File(path.relative_to(KIT).as_posix(), source=path, first_visit=path.stem != "selftest")


def _package(manifest: Manifest) -> File:
    """npm's names are lower case, its versions have three numbers; a bundle's need not."""
    package = json.loads((KIT / "package.json").read_text(encoding="utf-8"))
    version = manifest.version if SEMVER.fullmatch(manifest.version) else f"{manifest.version}.0"
    package |= {
        "name": manifest.name.lower()[:214],
        "version": version if SEMVER.fullmatch(version) else "0.0.0",
        "description": f"{_title(manifest)}, a model for {RUNTIMES[manifest.runtime].title}",
    }
    return File("package.json", json.dumps(package, indent=2) + "\n")


def _rendered(manifest: Manifest) -> Iterator[File]:
    facts = {
        "title": _title(manifest),
        "folder": manifest.bundle_name,
        "runtime": RUNTIMES[manifest.runtime],
        "int8_inside": "int8" in manifest.audit.ops_by_precision and not manifest.audit.float_islands,
        "inputs": [_port(manifest, entry) for entry in manifest.inputs],
        "outputs": [_port(manifest, entry) for entry in manifest.outputs],
    }
    for name in ("README.md", "edgepack.d.ts", "index.html"):
        yield File(name, _render(f"{name}.j2", facts), first_visit=name == "index.html")


def _service_worker(manifest: Manifest, made: list[File]) -> File:
    """It lists what to keep, by hash, so that a changed bundle is a changed sw.js: what makes a browser update."""
    hashes = {entry.path: bytes.fromhex(entry.sha256) for entry in manifest.files}
    hashes |= {file.path: hashlib.sha256(file.bytes()).digest() for file in made}
    first = {file.path for file in made if file.first_visit}
    first |= {path for path in hashes if path in manifest.artifact or path in GOLDEN}
    integrity = {path: f"sha256-{base64.b64encode(hashes[path]).decode()}" for path in sorted(first)}
    others = {path: digest.hex() for path, digest in sorted(hashes.items()) if path.startswith("runtime/")}
    facts = {
        "first": {**integrity, "manifest.json": ""},
        "later": [path for path in others if path not in first],
    }
    listed = json.dumps([facts, others, manifest.model_dump(mode="json")], sort_keys=True)
    version = hashlib.sha256(listed.encode()).hexdigest()[:16]
    return File("sw.js", _render("sw.js.j2", {**facts, "version": version}))


def _title(manifest: Manifest) -> str:
    return f"{manifest.name} {manifest.version}"


def _port(manifest: Manifest, entry: TensorEntry) -> Port:
    return Port(
        name=entry.name,
        shape=entry.shape,
        dtype=entry.dtype,
        array=ARRAYS[entry.dtype],
        image=entry.image is not None,
        audio=entry.audio is not None,
        scalar=all(size == 1 for size in entry.shape),
        ranked=bool(entry.top_k) or bool(entry.shape and len(manifest.labels) == entry.shape[-1]),
    )


def _render(template: str, facts: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(KIT),
        autoescape=select_autoescape(["html.j2"], default=False),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["js"] = javascript
    return environment.get_template(template).render(facts)


def javascript(value: object) -> str:
    """A JavaScript literal in ASCII; also safe within Markdown's code fences and HTML."""
    text = json.dumps(value, indent=2 if isinstance(value, dict | list) else None)
    return re.sub(r"[`<>&\x7f]", lambda found: f"\\u{ord(found[0]):04x}", text)
