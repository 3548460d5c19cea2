"""Pictures on the page of a bundle: dropped, chosen, drawn, from the camera, and made by a model."""

import re

import numpy as np
import pytest
from page_bundles import a_picture, png, scene
from playwright.sync_api import expect

pytest_plugins = ("page_browser", "page_fixtures")

DEVICES = ("desktop", "phone")


@pytest.mark.parametrize("device", DEVICES)
def test_a_dropped_picture_is_recognised(visit, bundles, device):
    data, label = a_picture(bundles("image"), 1)
    there = visit("image", device)
    there.drop("pet.png", "image/png", data)
    there.answers(label)
    there.says(re.compile(rf"^{label} · [\d.]+ ms on wasm$"))
    expect(there.page.get_by_role("img", name="pet.png")).to_be_visible()


def test_a_chosen_picture_is_recognised(visit, bundles):
    data, label = a_picture(bundles("image"), 2)
    there = visit("image")
    there.choose("pet.png", "image/png", data)
    there.answers(label)


def test_a_file_that_is_no_picture_is_refused_by_name_until_a_good_one_comes(visit, bundles):
    there = visit("image")
    there.drop("letter.png", "image/png", b"Dear all,")
    there.says("letter.png is not a picture that this browser reads.", "alert")
    data, label = a_picture(bundles("image"), 0)
    there.drop("pet.png", "image/png", data)
    there.answers(label)
    expect(there.page.get_by_role("alert")).to_be_hidden()


def test_the_camera_is_answered_live_and_its_last_picture_stays(visit):
    there = visit("image")
    there.press("Use the camera")
    there.says("ms on wasm")
    there.press("Stop the camera")
    expect(there.page.get_by_role("img", name="A picture from the camera")).to_be_visible()
    there.says("ms on wasm")


def test_numbers_that_are_surely_pixels_are_taken_as_a_picture(visit):
    """The samples lie between 0 and 1; so does what a picture becomes."""
    there = visit("segmentation")
    expect(there.page.get_by_text("black is 0, white is 1")).to_be_visible()
    there.drop("white.png", "image/png", png(np.full((1, 16, 24, 3), 255)))
    expect(there.page.get_by_text(re.compile("^Values 1 to 1;"))).to_be_visible()
    expect(there.page.locator(".values").nth(1)).to_contain_text("[1 x 32 x 48 x 3] 1, 1, 1")


def test_a_picture_that_a_model_makes_is_shown(visit):
    there = visit("segmentation")
    there.press("Sample 1")
    expect(there.page.get_by_role("img", name="mask as a picture")).to_be_visible()
    enlarged = there.page.get_by_role("img", name="enlarged as a picture")
    shown = enlarged.evaluate("canvas => [...canvas.getContext('2d').getImageData(0, 0, 48, 32).data]")
    shown = np.reshape(shown, (32, 48, 4))[..., :3]
    np.testing.assert_allclose(shown[16, 24], [255, 204, 0], atol=2)  # the disc
    original = scene()[0, 8, 22] * 255
    np.testing.assert_allclose(shown[17, 45], original, atol=12)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ((0, 1), "picture"),
        ((-1, 1), "picture"),
        ((0, 255), "picture"),
        ((-3, 3), "numbers"),
        ((0, 0.2), "numbers"),
    ],
)
def test_only_values_that_clearly_fill_a_usual_range_make_a_picture(visit, values, field):
    there = visit("image")
    found = there.page.evaluate(
        "async (values) => (await import(new URL('page/ranges.js', location))).pixelRange(values) ?? null",
        list(values),
    )
    assert found == (list(values) if field == "picture" else None)


def what_the_model_saw(there):
    there.says("ms on wasm")
    canvas = there.page.get_by_role("img", name="seen as a picture")
    rgba = canvas.evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    )
    return np.reshape(rgba, (28, 28, 4))[..., 0] / 255


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["centred", "paper"])
def test_a_drawing_is_laid_out_as_the_samples_are(visit, kind, device):
    """Small and in a corner as it was drawn, the model gets it as large and as central as its samples."""
    there = visit(kind, device)
    expect(there.page.get_by_text("it is centred and scaled as the samples are")).to_be_visible()
    there.draw([(0.1, 0.1), (0.1, 0.5)], [(0.1, 0.5), (0.3, 0.5)])
    seen = what_the_model_saw(there)
    ink = 1 - seen if kind == "paper" else seen
    lines, columns = np.nonzero(ink > 0.1)
    assert np.ptp(lines) + 1 == pytest.approx(20, abs=1)
    assert np.ptp(columns) + 1 == pytest.approx(11, abs=1)
    center = [(ink * axis).sum() / ink.sum() for axis in np.mgrid[0:28, 0:28] + 0.5]
    np.testing.assert_allclose(center, 14, atol=0.5)


def test_a_drawing_stays_where_it_is_when_the_samples_are_anywhere(visit):
    there = visit("anywhere")
    there.draw([(0.25, 0.25), (0.25, 0.75)])
    lines, columns = np.nonzero(what_the_model_saw(there) > 0.3)
    assert (lines.min(), lines.max()) == (pytest.approx(6, abs=1), pytest.approx(21, abs=1))
    assert abs(columns + 0.5 - 7).max() < 2


def test_clear_takes_the_drawing_and_its_answer_away(visit):
    there = visit("centred")
    there.draw([(0.2, 0.2), (0.8, 0.8)])
    there.says("ms on wasm")
    there.press("Clear")
    expect(there.page.locator("#results")).to_be_empty()
    expect(there.page.locator("#status")).to_be_empty()
