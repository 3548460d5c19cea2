"""The files of an artifact: the .ptl, and what it asks of the runtime that loads it (its operators, its age)."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from edgepack.target import Artifact

from .archive import Archive, read

MODEL = "model.ptl"
LISTING = "operators.yaml"

BYTECODE_SINCE = {8: "1.12"}
"""The release of PyTorch whose lite interpreter surely reads a version of the bytecode (caffe2/serialize/versions.h)."""

SINCE = {
    "aten::scaled_dot_product_attention": "2.0",
    "aten::rms_norm": "2.4",
    "aten::_safe_softmax": "2.5",
}
"""Operators that are younger than the bytecode."""


def names(archive: Archive) -> list[str]:
    """Every operator, with its overload, sorted: ``aten::add.Tensor``."""
    found = {
        f"{name}.{overload}" if overload else name
        for method in archive.methods
        for name, overload, _ in method.operators
    }
    return sorted(found)


def oldest(archive: Archive) -> str:
    """The first release of PyTorch that can run the file, as far as is known."""
    ages = [BYTECODE_SINCE.get(archive.version, version("torch").partition("+")[0])]
    ages += [SINCE[name] for method in archive.methods for name, _, _ in method.operators if name in SINCE]
    return max(ages, key=lambda release: tuple(map(int, release.split("."))))


def listing(archive: Archive) -> str:
    """The YAML that PyTorch's custom builds take as SELECTED_OP_LIST."""
    head = f"# bytecode version {archive.version}; PyTorch {oldest(archive)} or newer\n"
    return head + "".join(f"- {name}\n" for name in names(archive))


def write(data: bytes, out: Path) -> Artifact:
    """Write a .ptl as ``model.ptl``, and ``operators.yaml`` beside it."""
    (out / MODEL).write_bytes(data)
    (out / LISTING).write_text(listing(read(data)), encoding="utf-8")
    return Artifact(out, (MODEL, LISTING))
