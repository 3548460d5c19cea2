"""The smallest bundle that has a web page; made by hand, as a build takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgepack.bundle.manifest import AuditEntry, GateEntry, GoldenEntry, Manifest, SourceEntry
from edgepack.bundle.writer import seal


def write(folder: Path, **facts: Any) -> Path:
    """The bundle, in a folder inside of this one; ``facts`` are the manifest's."""
    audit = AuditEntry(
        ops_total=0, ops_by_precision={}, tensors_by_dtype={}, bytes_by_dtype={}, float_islands=(), full_int8=True
    )  # fmt: skip
    manifest = Manifest(**{
        "name": "it", "version": "1.0", "target": "fake", "precision": "int8", "artifact": ("model.json",),
        "source": SourceEntry(name="m.py:build", sha256="0" * 64), "inputs": (), "outputs": (), "audit": audit,
        "gate": GateEntry(expression="sqnr_db>=20", passed=True), "parity": {},
        "golden": GoldenEntry(measured=1, shipped=1), "command": "edgepack build", "toolchain": {}, **facts,
    })  # fmt: skip
    bundle = folder / manifest.bundle_name
    bundle.mkdir()
    for name in ("model.json", "index.html", "edgepack.js"):
        (bundle / name).write_text("{}")
    seal(bundle, manifest)
    return bundle
