"""What the tests of the tfjs target share: a lowering of whatever a test makes, bundles, and the official converter."""

import subprocess
import sys
from pathlib import Path

import pytest
from tfjs_bundles import write_bundle, write_hostile_bundle

from edgepack.targets.tfjs.lower import lower

VERSION = "4.22.0"


@pytest.fixture
def lowered(bench):
    """``lowered(made)``: the TFJSLowering of a Keras model or tf.Module."""
    return lambda made, **request: lower(bench.adopt(made, **request).form("tf"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle in a folder whose name needs escaping in a URL."""
    folder = tmp_path_factory.mktemp("site") / "under" / "a path"
    write_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A bundle whose names and labels try to break out of where they are written."""
    folder = tmp_path_factory.mktemp("site") / "bundle"
    write_hostile_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def official(request):
    """``official(saved_model, out)``: convert with the Python package tensorflowjs, fetched once, outside of the venv."""
    folder = Path(request.config.cache.mkdir(f"tensorflowjs-{VERSION}")) / "package"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        done = subprocess.run(
            [*pip, "--target", str(folder), f"tensorflowjs=={VERSION}"], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"tensorflowjs {VERSION} cannot be fetched: {done.stderr.strip()[-200:]}")

    def convert(saved_model, out):
        script = Path(__file__).with_name("tfjs_official.py")
        done = subprocess.run(
            [sys.executable, str(script), str(folder), str(saved_model), str(out)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]

    return convert
