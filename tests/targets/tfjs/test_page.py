"""The page of a bundle as people use it: mouse, finger, keyboard; on a desk and on a phone."""

import json
import re
import shutil

import numpy as np
import pytest
import tfjs_bundles
from page_browser import PATIENCE, visiting
from page_bundles import a_picture, golden, png
from playwright.sync_api import expect

from edgepack.bundle.manifest import Manifest
from edgepack.bundle.writer import seal

pytest_plugins = ("page_browser", "page_fixtures")

DEVICES = ("desktop", "phone")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["image", "audio", "segmentation", "mixed", "centred"])
def test_every_page_fits_its_screen_and_is_accessible(visit, kind, device, scheme):
    there = visit(kind, device, color_scheme=scheme)
    assert there.violations == []
    there.press("Sample 2")
    there.says("ms on")
    there.press("Self-test")
    there.says("Passed on wasm: 3 samples agree")
    assert there.violations == []
    assert there.overflow <= 0


def test_a_file_dropped_beside_its_place_does_not_leave_the_page(visit):
    there = visit("image")
    prevented = there.page.evaluate(
        "!document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: new DataTransfer() }))"
    )
    assert prevented


def test_a_sample_answers_as_the_original(visit, bundles):
    there = visit("image")
    for index in range(3):
        _, outputs = golden(bundles("image"), index)
        there.press(f"Sample {index + 1}")
        best = outputs["probabilities"].max()
        expect(there.page.locator(".bars li").first).to_contain_text(f"{100 * best:.1f} %")


def test_the_backend_can_be_changed_and_the_answer_stays(visit, bundles):
    data, label = a_picture(bundles("image"), 1)
    there = visit("image")
    there.drop("pet.png", "image/png", data)
    there.says("ms on wasm")
    for backend in ("cpu", "webgl", "wasm"):
        there.page.get_by_label("Backend").select_option(backend)
        there.says(re.compile(rf"^{label} · [\d.]+ ms on {backend}$"))
        there.press("Self-test")
        there.says(f"Passed on {backend}")


def test_a_backend_that_cannot_run_the_model_is_marked_with_the_reason(visit):
    there = visit("mixed")
    options = there.page.get_by_label("Backend").locator("option")
    assert options.all_text_contents() == ["wasm", "cpu", "webgpu: no kernel for Where"]
    assert [option.is_disabled() for option in options.all()] == [False, False, True]


def test_a_self_test_that_fails_says_what_is_wrong(visit, bundles, tmp_path):
    there = visit(spoiled(bundles("image"), tmp_path))
    there.press("Self-test")
    there.says(re.compile("Failed on wasm: probabilities: sqnr_db is .*, not >= 60"))


def spoiled(bundle, tmp_path):
    """A copy of a bundle whose golden vectors are wrong."""
    folder = tmp_path / "copy"
    shutil.copytree(bundle, folder)
    with np.load(folder / "golden" / "outputs.npz") as outputs:
        wrong = {name: outputs[name][..., ::-1] for name in outputs}
    np.savez_compressed(folder / "golden" / "outputs.npz", **wrong)
    tell_the_truth(folder)
    return folder


def tell_the_truth(folder):
    """Write the hashes of files that were changed into the manifest."""
    seal(folder, Manifest.model_validate_json((folder / "manifest.json").read_bytes()))


def self_tested(there, query=""):
    """What a program that drives the browser gets: the title, and the result."""
    there.page.goto(f"{there.url}selftest.html{query}")
    expect(there.page).to_have_title(re.compile("^(PASS|FAIL)"), timeout=PATIENCE)
    result = there.page.locator("#result")
    found = json.loads(result.text_content())
    assert result.get_attribute("data-passed") == str(found["passed"]).lower()
    return there.page.title(), found


@pytest.mark.parametrize("device", DEVICES)
def test_a_page_runs_the_self_test_by_itself(chromium, bundles, device):
    browser, devices = chromium
    with visiting(browser, bundles("image"), **devices[device]) as there:
        title, found = self_tested(there)
        assert title == "PASS: Class-1.net 1.0"
        assert {name for name, each in found["backends"].items() if each["passed"]} >= {"wasm", "cpu"}
        assert found["backends"]["wasm"]["outputs"]["probabilities"]["sqnr_db"] > 100
        assert there.violations == []
        assert there.overflow <= 0
        assert list(self_tested(there, "?backend=cpu")[1]["backends"]) == ["cpu"]
        # this Chromium has no WebGPU, which its console says as well
        there.errors[:] = [said for said in there.errors if "adapters" not in said and "webgpu" not in said]


def test_the_page_that_runs_by_itself_tells_a_failure(chromium, bundles, tmp_path):
    browser, devices = chromium
    folder = spoiled(bundles("image"), tmp_path)
    with visiting(browser, folder, **devices["desktop"]) as there:
        title, found = self_tested(there, "?backend=wasm")
        assert title.startswith("FAIL")
        assert found["backends"]["wasm"]["outputs"]["probabilities"]["failures"]
        there.says("probabilities: sqnr_db is", "main")
        title, found = self_tested(there, "?backend=abacus")
        assert (title, found["passed"]) == ("FAIL: Class-1.net 1.0", False)
        assert "no backend 'abacus'" in found["backends"]["abacus"]["error"]


def test_the_page_answers_offline_after_one_visit(visit, bundles):
    data, label = a_picture(bundles("image"), 1)
    there = visit("image")
    expect(there.page.get_by_text("works offline")).to_be_visible(timeout=PATIENCE)
    there.page.context.set_offline(True)
    there.page.reload()
    there.wait_until_ready()
    there.drop("pet.png", "image/png", data)
    there.answers(label)


def test_a_newer_bundle_at_the_same_address_is_offered(visit, bundles, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(bundles("image"), folder)
    there = visit(folder)
    expect(there.page.get_by_text("works offline")).to_be_visible(timeout=PATIENCE)
    with (folder / "sw.js").open("a") as worker:
        worker.write("// newer\n")
    tell_the_truth(folder)
    there.page.reload()
    expect(there.page.get_by_text("A newer version of this page is ready.")).to_be_visible(timeout=PATIENCE)
    there.press("Load it")
    expect(there.page.get_by_text("A newer version of this page is ready.")).to_be_hidden(timeout=PATIENCE)
    there.wait_until_ready()


def test_names_and_labels_that_want_to_be_code_stay_text(visit):
    there = visit("attacked")
    there.press("Sample 1")
    label = tfjs_bundles.HOSTILE[1]
    expect(there.page.locator("legend")).to_have_text(label)
    there.says("injected()")
    there.says("ms on wasm")


def test_a_damaged_shard_is_named(chromium, bundles, tmp_path):
    browser, devices = chromium
    folder = tmp_path / "copy"
    shutil.copytree(bundles("image"), folder)
    shard = folder / "group1-shard1of1.bin"
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    with visiting(browser, folder, **devices["desktop"]) as there:
        shard.write_bytes(data)
        there.page.goto(there.url)
        there.says("group1-shard1of1.bin is damaged", "alert")
        expect(there.page.get_by_role("main")).to_be_hidden()
        assert there.errors
        assert all("integrity" in each for each in there.errors)  # what the browser itself says of it
        there.errors.clear()


def test_the_keyboard_alone_is_enough(visit, bundles):
    there = visit("image")
    there.page.on(
        "filechooser", lambda _: None
    )  # Playwright catches only choosers that it was told of long before
    keyboard = there.page.keyboard

    def reach(name):
        for _ in range(30):
            keyboard.press("Tab")
            focused = there.page.evaluate(
                "document.activeElement.ariaLabel ?? (document.activeElement.labels?.[0] ?? document.activeElement).textContent"
            )
            outlined = there.page.evaluate(
                "getComputedStyle(document.activeElement.matches('.unseen') ? document.activeElement.nextSibling : document.activeElement).outlineStyle"
            )
            assert outlined == "solid", focused
            if focused.strip() == name:
                return
        raise AssertionError(f"Tab never reaches {name}")

    data, label = a_picture(bundles("image"), 2)
    reach("Choose a picture")
    with there.page.expect_file_chooser() as chooser:
        keyboard.press("Space")
    chooser.value.set_files({"name": "pet.png", "mimeType": "image/png", "buffer": data})
    there.answers(label)
    reach("Sample 1")
    keyboard.press("Enter")
    there.answers(a_picture(bundles("image"), 0)[1])
    reach("Backend")
    keyboard.press("End")
    keyboard.press("Enter")
    there.says("ms on cpu")
    reach("Self-test")
    keyboard.press("Enter")
    there.says("Passed on cpu")


def test_several_inputs_are_asked_for_by_name_and_then_answered(visit):
    there = visit("mixed")
    there.drop("grey.png", "image/png", png(np.full((1, 16, 16, 3), 100)))
    there.says("Still empty: weights, negative")
    there.page.get_by_label("weights").fill("1, 2 -3")
    there.page.get_by_label("negative").fill("1")
    there.press("Run")
    there.says("ms on wasm")
    expect(there.page.locator(".values").first).to_have_text(
        re.compile(r"-100\.000, -200\.000, 300\.000|-100, -200, 300")
    )


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("1, two, 3", 'weights: "two" is not a number.'), ("1, 2", "weights takes 3 values, not 2.")],
)
def test_numbers_that_do_not_fit_are_refused_in_words(visit, typed, answer):
    there = visit("mixed")
    there.press("Sample 1")
    there.page.get_by_label("weights").fill(typed)
    there.press("Run")
    there.says(answer, "alert")
    expect(there.page.locator("#results")).to_be_empty()


def test_what_is_asked_while_the_model_computes_is_answered_last(visit, bundles):
    """No request is lost: of many in a row, the last one's answer stays."""
    there = visit("image")
    for index in (0, 1, 2, 1, 0, 2):
        there.page.get_by_role("button", name=f"Sample {index + 1}").evaluate("button => button.click()")
    there.page.evaluate(
        "[0, 1, 2, 1].forEach((i) => document.querySelectorAll('#sample-list button')[i].click())"
    )
    _, outputs = golden(bundles("image"), 1)
    expect(there.page.locator(".bars li").first).to_contain_text(
        f"{100 * outputs['probabilities'].max():.1f} %"
    )
