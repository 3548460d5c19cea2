"""The kit of a TorchScript bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgepack.bundle import code_kit
from edgepack.bundle.manifest import Manifest
from edgepack.spec import Arrays
from edgepack.target import File

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


def files(manifest: Manifest, golden: Arrays) -> Iterator[File]:
    """Every file of the kit (see code_kit.files)."""
    return code_kit.files(KIT, manifest, golden, ELEMENTS)
