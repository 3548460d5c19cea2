"""The files of an artifact: the .ptl, and what it asks of the runtime that loads it (its operators, its age)."""

from __future__ import annotations

from pathlib import Path

from edgepack.target import Artifact

from .archive import Archive, read
from .releases import needs

MODEL = "model.ptl"
LISTING = "operators.yaml"


def names(archive: Archive) -> list[str]:
    """Every operator, with its overload, sorted: ``aten::add.Tensor``."""
    found = {
        f"{name}.{overload}" if overload else name
        for method in archive.methods
        for name, overload, _ in method.operators
    }
    return sorted(found)


def listing(archive: Archive) -> str:
    """The YAML that PyTorch's custom builds take as SELECTED_OP_LIST."""
    found = needs(archive)
    head = f"# bytecode version {found.bytecode}; PyTorch {found.release} or newer\n"
    if found.untried:
        head += f"# which lists, but edgepack never ran there: {', '.join(found.untried)}\n"
    return head + "".join(f"- {name}\n" for name in names(archive))


def write(data: bytes, out: Path) -> Artifact:
    """Write a .ptl as ``model.ptl``, and ``operators.yaml`` beside it."""
    (out / MODEL).write_bytes(data)
    (out / LISTING).write_text(listing(read(data)), encoding="utf-8")
    return Artifact(out, (MODEL, LISTING))
