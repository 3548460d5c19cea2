"""The kit of a TensorFlow Lite bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgepack.bundle import code_kit
from edgepack.bundle.manifest import Manifest
from edgepack.spec import Arrays
from edgepack.target import File

KIT = Path(__file__).with_name("kit")

ELEMENTS = {
    "float32": "Float32",
    "int32": "Int32",
    "uint8": "UInt8",
    "int64": "Int64",
    "bool": "Bool",
    "int16": "Int16",
    "int8": "Int8",
}
"""The element types that the kit reads and writes; TensorFlow Lite's own names for them."""


def files(manifest: Manifest, golden: Arrays) -> Iterator[File]:
    """Every file of the kit (see code_kit.files)."""
    return code_kit.files(KIT, manifest, golden, ELEMENTS)
