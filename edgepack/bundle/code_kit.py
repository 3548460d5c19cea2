"""Integration code for apps, from a target's templates: Python, Kotlin, Swift and C++ with this model's facts in it.

Names and labels are arbitrary text that a model supplied. In a template they appear only within string literals, by way
of the filter for the language, or as the identifiers made of them; never in a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..errors import InternalError
from ..spec import Array, Arrays, Precision
from ..target import File
from .literals import cpp, identifiers, kotlin, python, swift
from .manifest import Manifest, TensorEntry

SHARED = Path(__file__).with_name("templates") / "code_kit"
"""Templates of every such kit: tests that are the same whatever the runtime."""


@dataclass(frozen=True)
class Port:
    """An input or output, as the templates see it.

    Attributes:
        name: as the artifact has it.
        identifier: what it is called in code.
        element: its type, as the runtime calls it.
        ids: whether an app gives or gets integers, not real values.
        scale: 0 where it is not quantized, as the runtimes have it.
        top_k: how many best classes to show by default.
        tolerance: how far an answer may be from the golden one: the largest difference that was measured, and a quarter more
            as other processors round some ops differently.
    """

    name: str
    identifier: str
    shape: tuple[int, ...]
    element: str
    ids: bool
    scale: float
    zero_point: int
    image: bool
    grey: bool
    top_k: int
    tolerance: float


def files(
    kit: Path,
    manifest: Manifest,
    golden: Arrays,
    elements: Mapping[str, str],
    facts: Mapping[str, Any] | None = None,
) -> Iterator[File]:
    """Every file of the kit, and one golden vector as text.

    Args:
        kit: the folder of templates (.j2), and of files that are the same for all models.
        golden: one golden vector, ``inputs/NAME`` and ``outputs/NAME``, batch dimension included.
        elements: what the runtime calls the element types that the kit reads and writes.
        facts: what else the templates need.
    """
    inputs, outputs = (_ports(manifest, entries, elements) for entries in (manifest.inputs, manifest.outputs))
    told = {
        "title": f"{manifest.name} {manifest.version} ({manifest.target}, {manifest.precision})",
        "package": "model_" + re.sub(r"\W", "_", manifest.name, flags=re.ASCII),
        "artifact": manifest.artifact[0],
        "labels": manifest.labels,
        "inputs": inputs,
        "outputs": outputs,
        "images": [port for port in inputs if port.image],
        "exact": manifest.precision == Precision.FLOAT32,
        **(facts or {}),
    }
    environment = _environment(kit)
    for name, path in sorted([*_contents(SHARED), *_contents(kit)]):
        if path.suffix == ".j2":
            yield File(name.removesuffix(".j2"), environment.get_template(name).render(told))
        else:
            yield File(name, source=path)
    vectors = [golden[f"inputs/{port.name}"] for port in inputs]
    vectors += [golden[f"outputs/{port.name}"] for port in outputs]
    yield File("golden.txt", "".join(f"{_numbers(vector)}\n" for vector in vectors))


def _contents(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())


def _ports(manifest: Manifest, entries: tuple[TensorEntry, ...], elements: Mapping[str, str]) -> list[Port]:
    names = identifiers(entry.name for entry in entries)
    return [_port(manifest, entry, name, elements) for entry, name in zip(entries, names, strict=True)]


def _port(manifest: Manifest, entry: TensorEntry, identifier: str, elements: Mapping[str, str]) -> Port:
    if entry.dtype not in elements:
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
        element=elements[entry.dtype],
        ids=entry.quantization is None and entry.dtype in ("int32", "int64"),
        scale=entry.quantization.scale if entry.quantization else 0.0,
        zero_point=entry.quantization.zero_point if entry.quantization else 0,
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


def _environment(kit: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([kit, SHARED]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"python": python, "kotlin": kotlin, "swift": swift, "cpp": cpp, "float32": float32}
    environment.filters |= filters
    return environment


def float32(value: float) -> str:
    """The shortest decimal number that stands for this float32: what a float literal must be to equal the file's scale."""
    return str(np.float32(value))
