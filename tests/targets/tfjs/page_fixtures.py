"""Fixtures of the tests of a page: a bundle of every kind, visits."""

from contextlib import ExitStack

import pytest
import tfjs_bundles
from page_browser import visiting
from page_bundles import LONG_CLIP, write_audio, write_mixed, write_segmentation, write_sketch

MNIST_LIKE = [(4, 9, 20, 10), (4, 11, 20, 6), (9, 4, 10, 20)]  # the longer side 20 of 28, in the middle
ANYWHERE = [(0, 0, 12, 8), (10, 10, 18, 18), (3, 20, 5, 5)]
WRITERS = {
    "image": tfjs_bundles.write_bundle,
    "attacked": tfjs_bundles.write_hostile_bundle,
    "audio": write_audio,
    "long audio": lambda out: write_audio(out, LONG_CLIP),
    "segmentation": write_segmentation,
    "mixed": write_mixed,
    "centred": lambda out: write_sketch(out, MNIST_LIKE),
    "anywhere": lambda out: write_sketch(out, ANYWHERE),
    "paper": lambda out: write_sketch(out, MNIST_LIKE, paper=True),
}


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """``bundles("image")``: the folder of a bundle, written once."""
    root = tmp_path_factory.mktemp("pages")

    def folder(kind):
        if not (root / kind).exists():
            WRITERS[kind](root / kind)
        return root / kind

    return folder


@pytest.fixture
def visit(chromium, bundles):
    """``visit("image")``: a Visit to a page that is ready, on a desktop unless ``device`` says otherwise."""
    browser, devices = chromium
    with ExitStack() as visits:

        def start(kind_or_folder, device="desktop", **options):
            folder = bundles(kind_or_folder) if isinstance(kind_or_folder, str) else kind_or_folder
            there = visits.enter_context(visiting(browser, folder, **devices[device], **options))
            there.open()
            return there

        yield start
