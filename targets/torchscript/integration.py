"""The kit of a TorchScript bundle: Python, Kotlin, Swift and C++ with this model's names and shapes in it.

Names and labels are arbitrary text that a model supplied. In a template they appear only within string literals, by way
of the filter for the language, or as the identifiers made of them; never in a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edgepack.bundle.literals import cpp, identifiers, kotlin, python, swift
from edgepack.bundle.manifest import Manifest, TensorEntry
from edgepack.errors import InternalError
from edgepack.spec import Array, Arrays, Precision
from edgepack.target import File

from .releases import FORMAT, OLDEST, PUBLISHED, UNTRIED, as_numbers

KIT = Path(__file__).with_name("kit")

ELEMENTS = {
    "float32": "Float",
    "int32": "Int",
    "int64": "Long",
    "uint8": "Byte",
    "int8": "Char",
    "bool": "Bool",
}
"""The element types that the kit reads and writes; PyTorch's own names for them."""


@dataclass(frozen=True)
class Port:
    """An input or output, as the templates see it.

    Attributes:
        name: as the original has it.
        identifier: what it is called in code.
        element: of ``ELEMENTS``.
        top_k: how many best classes to show by default.
        tolerance: how far an answer may be from the golden one: the largest difference that was measured, and a quarter more
            as other processors round some ops differently.
    """

    name: str
    identifier: str
    shape: tuple[int, ...]
    element: str
    image: bool
    grey: bool
    top_k: int
    tolerance: float

    @property
    def ids(self) -> bool:
        """Whether an app gives integers, not real values."""
        return self.element in ("Int", "Long")


def files(manifest: Manifest, golden: Arrays) -> Iterator[File]:
    """Every file of the kit.

    Args:
        golden: one golden vector, ``inputs/NAME`` and ``outputs/NAME``, batch dimension included.
    """
    inputs, outputs = _ports(manifest, manifest.inputs), _ports(manifest, manifest.outputs)
    facts = {
        "title": f"{manifest.name} {manifest.version} ({manifest.target}, {manifest.precision})",
        "package": "model_" + re.sub(r"\W", "_", manifest.name, flags=re.ASCII),
        "artifact": manifest.artifact[0],
        "labels": manifest.labels,
        "inputs": inputs,
        "outputs": outputs,
        "images": [port for port in inputs if port.image],
        "bytecode": manifest.audit.requires[FORMAT],
        "oldest": manifest.audit.requires[OLDEST],
        "untried": manifest.audit.requires.get(UNTRIED, ""),
        "published": PUBLISHED,
        "is_newer": as_numbers(manifest.audit.requires[OLDEST])[:2] > as_numbers(PUBLISHED)[:2],
        "exact": manifest.precision == Precision.FLOAT32,
    }
    environment = _environment()
    for template in sorted(path.relative_to(KIT).as_posix() for path in KIT.rglob("*.j2")):
        yield File(template.removesuffix(".j2"), environment.get_template(template).render(facts))
    for plain in sorted(path for path in KIT.rglob("*") if path.is_file() and path.suffix != ".j2"):
        yield File(plain.relative_to(KIT).as_posix(), source=plain)
    vectors = [golden[f"inputs/{port.name}"] for port in inputs] + [
        golden[f"outputs/{port.name}"] for port in outputs
    ]
    yield File("golden.txt", "".join(f"{_numbers(vector)}\n" for vector in vectors))


def _ports(manifest: Manifest, entries: tuple[TensorEntry, ...]) -> list[Port]:
    names = identifiers(entry.name for entry in entries)
    return [_port(manifest, entry, name) for entry, name in zip(entries, names, strict=True)]


def _port(manifest: Manifest, entry: TensorEntry, identifier: str) -> Port:
    if entry.dtype not in ELEMENTS:
        raise InternalError(f"The kit cannot feed '{entry.name}', which is {entry.dtype}.")
    measured = [
        parity.outputs[entry.name].max_abs
        for parity in manifest.parity.values()
        if entry.name in parity.outputs
    ]
    return Port(
        name=entry.name,
        identifier=identifier,
        shape=entry.shape,
        element=ELEMENTS[entry.dtype],
        image=entry.image is not None,
        grey=entry.image is not None and entry.image.channels == "grey",
        top_k=entry.top_k or 5,
        tolerance=1.25 * max(measured, default=0.0),
    )


def _numbers(vector: Array) -> str:
    """All values, row-major; nine digits tell one float32 from the next."""
    flat = np.ravel(vector)
    form = "{:.9g}" if flat.dtype.kind == "f" else "{:d}"
    return " ".join(form.format(value) for value in flat.tolist())


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(KIT),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"python": python, "kotlin": kotlin, "swift": swift, "cpp": cpp}
    return environment
