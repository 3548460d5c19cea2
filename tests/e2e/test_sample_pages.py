"""The samples as pages: built by the real command, opened in a browser, asked what a person would ask."""

import json
import math
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from page_browser import visiting
from playwright.sync_api import expect

pytest_plugins = "page_browser"

SAMPLES = Path(__file__).parents[2] / "samples"
DEVICES = ("desktop", "phone")
FACES = ("as-is-003", "mirrored-010", "cropped-041", "as-is-077")


def arc(x, y, width, height, start, end):
    """Points on an ellipse, angles in degrees, clockwise from the right."""
    angles = [math.radians(start + (end - start) * i / 20) for i in range(21)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


STROKES = {
    "0": [arc(0.5, 0.5, 0.3, 0.5, -90, 270)],
    "1": [[(0.35, 0.2), (0.52, 0), (0.5, 0.5), (0.5, 1)]],
    "2": [[*arc(0.5, 0.28, 0.36, 0.28, -170, 35), (0.6, 0.6), (0.1, 1), (0.5, 0.98), (0.9, 0.97)]],
    "4": [[(0.55, 0), (0.3, 0.35), (0.08, 0.62), (0.95, 0.6)], [(0.7, 0.25), (0.68, 0.6), (0.66, 1)]],
    "5": [[(0.85, 0), (0.3, 0.02), (0.25, 0.42), *arc(0.48, 0.68, 0.36, 0.31, -120, 140)]],
    "7": [[(0.1, 0.02), (0.5, 0.01), (0.9, 0), (0.7, 0.4), (0.5, 0.75), (0.4, 1)]],
}
PLACES = {"large": (0.85, 0.07, 0.07), "small in a corner": (0.35, 0.05, 0.05), "low": (0.5, 0.4, 0.45)}
"""Size, left, top; shares of the field."""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """``built("digits")``: the sample's int8 bundle for web pages, built once."""
    root = tmp_path_factory.mktemp("samples")

    def folder(name):
        out = root / name
        if not out.exists():
            if not (SAMPLES / name / "data").is_dir():
                pytest.skip(f"samples/{name}/data is not there: run samples/{name}/prepare.py")
            command = [sys.executable, "-m", "edgepack", "build", "--target", "tfjs", "--out", str(out)]
            done = subprocess.run(
                command,
                cwd=SAMPLES / name,
                capture_output=True,
                text=True,
                env={**os.environ, "XDG_CACHE_HOME": str(root / "cache")},
                timeout=600,
            )
            assert done.returncode == 0, done.stderr
        (bundle,) = out.glob("*-int8")
        return bundle

    return folder


@pytest.fixture(params=DEVICES)
def visit(request, chromium, built):
    """``visit("digits")``: the sample's page, ready, on a desktop and on a phone."""
    browser, devices = chromium
    with ExitStack() as visits:

        def start(name):
            there = visits.enter_context(visiting(browser, built(name), **devices[request.param]))
            there.open()
            return there

        yield start


@pytest.mark.parametrize("name", ["digits", "emotion"])
def test_the_self_test_passes_and_the_page_fits_and_is_accessible(visit, name):
    there = visit(name)
    there.press("Self-test")
    there.says(re.compile(r"Passed on wasm: \d+ samples agree with the original model"))
    assert there.violations == []
    assert there.overflow <= 0


def test_a_face_is_labelled_as_by_the_original(visit):
    original = emotions()
    there = visit("emotion")
    for name in FACES:
        picture = (SAMPLES / "emotion" / "data" / "faces" / f"{name}.png").read_bytes()
        there.drop(f"{name}.png", "image/png", picture)
        expect(there.page.get_by_role("img", name=name)).to_be_visible()
        there.answers(original[name])


def emotions():
    """{face: label} of the original network, run by Keras in a process of its own."""
    script = """
import json, sys, keras, numpy as np
from PIL import Image
network = keras.models.load_model("data/emotion.hdf5", compile=False)
labels = open("labels.txt").read().splitlines()
faces = np.stack([np.asarray(Image.open(f"data/faces/{name}.png"), np.float32) for name in sys.argv[1:]])
best = network.predict(faces[..., None] / 127.5 - 1, verbose=0).argmax(1)
print(json.dumps(dict(zip(sys.argv[1:], [labels[i] for i in best]))))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, *FACES],
        cwd=SAMPLES / "emotion",
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("place", PLACES)
def test_a_drawn_digit_is_read(visit, place):
    """By a hand that trembles a little, wherever in the field and however large it draws."""
    size, left, top = PLACES[place]
    hand = np.random.default_rng(0)
    there = visit("digits")
    for digit, lines in STROKES.items():
        there.press("Clear")
        trembled = [np.array(line) * (0.8 * size, size) + (left, top) for line in lines]
        there.draw(*[(line + hand.uniform(-0.006, 0.006, line.shape)).tolist() for line in trembled])
        there.says("ms on wasm")
        there.answers(digit)
