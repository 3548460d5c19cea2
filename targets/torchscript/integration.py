"""The kit of a TorchScript bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgepack.bundle import code_kit
from edgepack.bundle.manifest import Manifest
from edgepack.spec import Arrays
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


def files(manifest: Manifest, golden: Arrays) -> Iterator[File]:
    """Every file of the kit (see code_kit.files); its README says which PyTorch the artifact needs."""
    requires = manifest.audit.requires
    facts = {
        "bytecode": requires[FORMAT],
        "oldest": requires[OLDEST],
        "untried": requires.get(UNTRIED, ""),
        "published": PUBLISHED,
        "is_newer": as_numbers(requires[OLDEST])[:2] > as_numbers(PUBLISHED)[:2],
    }
    return code_kit.files(KIT, manifest, golden, ELEMENTS, facts)
