"""Bundles that somebody changed, sealed again."""

from edgepack import devices
from edgepack.bundle import reader
from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal
from edgepack.devices.replay import replay


def reseal(folder, **changes):
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    seal(folder, manifest.model_copy(update=changes))
    return reader.read(folder)


def on_wasm(device, folder, script):
    """What becomes of a bundle whose kit is this script instead."""
    (folder / "edgepack.js").write_text(script)
    (result,) = replay(devices.find(device), reseal(folder, backends={"wasm": ""})).backends
    return result
