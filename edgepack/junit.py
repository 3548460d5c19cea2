"""What ``edgepack verify`` found, as the JUnit XML that CI services read.

A testsuite is a device; a testcase is a backend and an output. Its failures are the gate's sentences. A backend that cannot
run the bundle is an error where nothing else on the device could, and skipped where the device passed without it, so that
the file says what the exit code says. There are no times: those of an emulator would pass for the device's.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from .bundle.reader import Bundle
from .devices import gate
from .devices.replay import BackendResult, DeviceResult
from .errors import UsageError

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""

METRICS = ("sqnr_db", "max_abs", "cosine", "argmax_agreement")


def remove(path: Path) -> None:
    """Remove the file of an earlier run: it must not speak for this one, should this one not get to its end."""
    with _telling(path):
        path.unlink(missing_ok=True)


def write(path: Path, bundle: Bundle, results: Iterable[DeviceResult]) -> None:
    """Write the file, whole or not at all. Raises UsageError where it cannot be written."""
    with _telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(render(bundle, results))
            Path(partial).chmod(0o644)
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)


def render(bundle: Bundle, results: Iterable[DeviceResult]) -> bytes:
    """The document, UTF-8."""
    root = _element("testsuites", name="edgepack verify")
    root.extend(_suite(bundle, result) for result in results)
    _count(root)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _suite(bundle: Bundle, result: DeviceResult) -> Element:
    manifest = bundle.manifest
    suite = _element("testsuite", name=result.device)
    properties = SubElement(suite, "properties")
    facts = {
        "bundle": manifest.bundle_name,
        "target": manifest.target,
        "precision": manifest.precision,
        "gate": manifest.gate.expression,
    }
    for name, value in facts.items():
        properties.append(_element("property", name=name, value=value))
    for each in result.backends:
        properties.extend(_metrics(each))
        suite.extend(_cases(bundle, result, each))
    _count(suite)
    return suite


def _metrics(result: BackendResult) -> Iterable[Element]:
    """What was measured, as properties."""
    for output, metrics in result.outputs.items():
        for name in METRICS:
            value = getattr(metrics, name)
            if value is not None:
                yield _property(result, f"{output}/{name}", f"{value:.6g}")
    for output, beside in result.beside.items():
        yield _property(result, f"{output}/beside_here_max_abs", f"{beside.max_abs:.6g}")
    for name, told in result.facts.items():
        yield _property(result, name, told)


def _property(result: BackendResult, name: str, value: str) -> Element:
    return _element("property", name=f"{result.backend}/{name}".removeprefix("/"), value=value)


def _cases(bundle: Bundle, result: DeviceResult, backend: BackendResult) -> Iterable[Element]:
    """One for each output; and one for the backend as a whole, where something was said that is of no single output."""
    manifest = bundle.manifest
    words = backend.trace.words if backend.trace else ""
    said = "\n".join(filter(None, (backend.details, words)))
    where = ".".join(filter(None, (manifest.bundle_name, result.device, backend.backend)))
    if backend.error:
        case = _element("testcase", classname=where, name="runs the bundle")
        _say(case, "skipped" if result.passed else "error", [backend.error], said)
        yield case
        return
    told: set[str] = set()
    for name, metrics in backend.outputs.items():
        of_output = {*gate.failures(manifest, {name: metrics}), str(backend.beside.get(name, ""))}
        own = [failure for failure in backend.failures if failure in of_output]
        told.update(own)
        case = _element("testcase", classname=where, name=name)
        _say(case, "failure", own, said)
        yield case
    others = [failure for failure in backend.failures if failure not in told]
    if others or not backend.outputs:
        case = _element("testcase", classname=where, name="answers as the original does")
        _say(case, "failure", others, said)
        yield case


def _say(case: Element, kind: str, sentences: list[str], details: str = "") -> None:
    if sentences:
        said = _element(kind, message=sentences[0])
        said.text = NOT_XML.sub("\ufffd", "\n".join(filter(None, (*sentences, details))))
        case.append(said)


def _element(tag: str, **attributes: str) -> Element:
    return Element(tag, {name: NOT_XML.sub("\ufffd", value) for name, value in attributes.items()})


def _count(element: Element) -> None:
    """What the schema asks a suite to say of itself."""
    kinds = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    for name, tag in kinds.items():
        element.set(name, str(sum(1 for _ in element.iter(tag))))


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """What keeps a file from being written, as a UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.", "Choose another --junit FILE."
        ) from error
