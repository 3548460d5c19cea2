"""The smallest bundle there is, and how a stranger would change it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.bundle.manifest import (
    UNSEALED,
    AuditEntry,
    GateEntry,
    GoldenEntry,
    Manifest,
    SourceEntry,
    TensorEntry,
)
from edgepack.bundle.writer import seal

FILES = ["golden/inputs.npz", "golden/outputs.npz", "kit/python/use.py", "model.bin"]
SAMPLES = 3


def manifest() -> Manifest:
    return Manifest(
        name="it", version="1.0", target="fake", precision="int8", artifact=("model.bin",),
        source=SourceEntry(name="m.py:build", sha256="a" * 64),
        inputs=(TensorEntry(name="x:0", shape=(1, 4), dtype="int8"),),
        outputs=(TensorEntry(name="y", shape=(1,), dtype="float32"),),
        audit=AuditEntry(
            ops_total=0, ops_by_precision={}, tensors_by_dtype={}, bytes_by_dtype={}, float_islands=(), full_int8=True
        ),
        gate=GateEntry(expression="sqnr_db>=20", passed=True), parity={},
        golden=GoldenEntry(measured=9, shipped=SAMPLES), command="edgepack build", toolchain={},
    )  # fmt: skip


def write(folder: Path) -> Path:
    """A sealed bundle in a new folder."""
    (folder / "golden").mkdir(parents=True)
    (folder / "kit/python").mkdir(parents=True)
    (folder / "model.bin").write_bytes(bytes(range(256)))
    (folder / "kit/python/use.py").write_text("print()\n")
    np.savez_compressed(folder / "golden/inputs.npz", **{"x:0": np.zeros((SAMPLES, 1, 4), np.float32)})
    np.savez_compressed(folder / "golden/outputs.npz", y=np.ones((SAMPLES, 1), np.float32))
    seal(folder, manifest())
    return folder


def reseal(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """The manifest changed as JSON, with a seal that fits: what somebody does who knows what he does."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_bytes(sealed_text(document))


def sealed_text(document: Any) -> bytes:
    bare = json.dumps({**document, "seal": UNSEALED}).encode()
    return bare.replace(UNSEALED.encode(), hashlib.sha256(bare).hexdigest().encode())


def zipped(folder: Path, archive: Path, around: str = "it/") -> Path:
    """As anybody's zip program does it."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            packed.write(path, around + path.relative_to(folder).as_posix())
    return archive


def everything(root: Path) -> dict[str, bytes]:
    """All that lies in a folder, links as links."""
    return dict(_everything(root))


def _everything(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            yield str(path), str(path.readlink()).encode()
        elif path.is_file():
            yield str(path), path.read_bytes()
        else:
            yield str(path), b""
