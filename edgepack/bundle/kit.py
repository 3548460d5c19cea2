"""The kit of a bundle onto the disk."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from ..spec import Array
from ..target import Target
from .manifest import DownloadEntry, Manifest
from .writer import entries


def write(target: Target, manifest: Manifest, out: Path) -> DownloadEntry | None:
    """Write the kit into the bundle's folder, beside the artifact and the golden vectors that lie there already.

    Returns:
        What a web page's first visit fetches; ``None`` where the kit is not for web pages.
    """
    inputs, outputs = (np.load(out / "golden" / f"{part}.npz") for part in ("inputs", "outputs"))
    golden = {f"inputs/{spec.name}": _as_given(inputs[spec.name][0], spec.dtype) for spec in manifest.inputs}
    golden |= {f"outputs/{spec.name}": outputs[spec.name][0] for spec in manifest.outputs}
    listing = manifest.model_copy(update={"files": entries(out)})
    fetched = []
    for file in target.kit(listing, golden):
        path = out / target.kit_folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.bytes())
        if file.first_visit:
            fetched.append(path)
    if not fetched:
        return None
    contents = [path.read_bytes() for path in (*fetched, *(out / name for name in manifest.artifact))]
    return DownloadEntry(
        bytes=sum(map(len, contents)), compressed=sum(len(gzip.compress(each, 9)) for each in contents)
    )


def _as_given(array: Array, stored: str) -> Array:
    """Real values: float32, but ids and flags stay what they are."""
    return array if stored in ("int32", "bool") else array.astype(np.float32)
