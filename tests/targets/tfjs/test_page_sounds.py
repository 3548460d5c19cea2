"""Sounds on the page of a bundle, and in predict(): files, the microphone, buffers."""

import re

import numpy as np
import pytest
from page_browser import PATIENCE
from page_bundles import CLIP, PITCHES, RATE, tone, wav
from playwright.sync_api import expect

pytest_plugins = ("page_browser", "page_fixtures")

DEVICES = ("desktop", "phone")


def test_a_clip_is_as_long_as_the_model_says(visit):
    there = visit("audio")
    expect(
        there.page.get_by_text(f"The model hears {CLIP / RATE} s, at {RATE} values a second.")
    ).to_be_visible()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pitch", PITCHES)
def test_a_dropped_sound_is_recognised(visit, pitch, device):
    there = visit("audio", device)
    there.drop("horn.wav", "audio/wav", wav(tone(PITCHES[pitch], 0.5)))
    there.answers(pitch)
    expect(there.page.get_by_role("img", name="horn.wav")).to_be_visible()
    expect(there.page.get_by_text(re.compile("Cut|Padded"))).to_have_count(0)


def test_a_sound_of_another_rate_with_two_channels_is_recognised(visit):
    there = visit("audio")
    there.choose("horn.wav", "audio/wav", wav(tone(600, 0.5, 44100), 0 * tone(600, 0.5, 44100), rate=44100))
    there.answers("middle")
    expect(there.page.get_by_text(re.compile("Cut|Padded"))).to_have_count(0)


def test_a_long_sound_is_cut_and_a_short_one_padded_and_the_page_says_so(visit):
    there = visit("audio")
    there.drop("long.wav", "audio/wav", wav(np.concatenate([tone(600, 0.5), tone(2500, 0.7)])))
    there.says("Cut: the model hears the first 0.5 s of 1.2 s.")
    there.answers("middle")
    there.drop("short.wav", "audio/wav", wav(tone(100, 0.3)))
    there.says("Padded: 0.3 s of sound, then silence up to 0.5 s.")
    there.answers("low")


def test_a_file_that_is_no_sound_is_refused_by_name(visit):
    there = visit("audio")
    there.drop("letter.wav", "audio/wav", b"Dear all,")
    there.says("letter.wav is not a sound that this browser reads.", "alert")


@pytest.mark.parametrize("device", DEVICES)
def test_the_microphone_is_heard_for_as_long_as_the_model_hears(visit, device):
    there = visit("audio", device)
    there.press("Record 0.5 s")
    there.says("ms on wasm")
    expect(there.page.get_by_role("img", name="Your recording")).to_be_visible()
    expect(there.page.get_by_text(re.compile("Cut|Padded"))).to_have_count(0)
    there.press("Sample 3")
    expect(there.page.get_by_role("img", name="A sample")).to_be_visible()
    there.press("Record 0.5 s")  # a second time, too
    expect(there.page.get_by_role("img", name="Your recording")).to_be_visible()


def test_a_recording_can_be_ended_early_and_is_padded(visit):
    there = visit("long audio")
    there.press("Record 20 s")
    there.says("Recording")
    there.press("Stop")
    there.says("Padded:")
    there.says("ms on wasm")


def test_a_sample_chosen_while_recording_stays(visit):
    there = visit("long audio")
    there.page.evaluate(
        """() => {
          const close = AudioContext.prototype.close;
          AudioContext.prototype.close = function () {
            return close.call(this).then(() => (document.documentElement.dataset.recorder = "closed"));
          };
        }"""
    )
    there.press("Record 20 s")
    there.says("Recording")
    there.press("Sample 3")
    there.answers("high")
    expect(there.page.locator("html")).to_have_attribute("data-recorder", "closed", timeout=PATIENCE)
    there.page.wait_for_timeout(300)
    there.answers("high")
    expect(there.page.get_by_role("img", name="A sample")).to_be_visible()


def test_a_microphone_that_is_refused_is_explained(visit):
    there = visit("audio")
    there.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('Permission denied')); }"
    )
    there.press("Record 0.5 s")
    there.says("The microphone cannot be used: Permission denied", "alert")
    expect(there.page.get_by_role("button", name="Record 0.5 s")).to_be_enabled()


def test_a_sound_can_be_played_and_stopped(visit):
    there = visit("long audio")
    expect(there.page.get_by_role("button", name="Play")).to_be_disabled()
    there.press("Sample 3")
    there.press("Play")
    there.press("Stop playing")
    expect(there.page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_a_sound_that_is_over_can_be_played_again(visit):
    there = visit("audio")
    there.press("Sample 3")
    there.press("Play")
    expect(there.page.get_by_role("button", name="Play", exact=True)).to_be_visible(
        timeout=PATIENCE
    )  # it ended


def test_predict_takes_a_sound_as_a_file_a_buffer_or_numbers(visit):
    there = visit("audio")
    sine = tone(600, 0.5)
    answers = there.page.evaluate(
        """async ([numbers, file]) => {
          const { load } = await import(new URL("edgepack.js", location));
          const model = await load({ backend: "wasm" });
          const buffer = new AudioBuffer({ length: 24000, sampleRate: 48000 });
          const at = (i) => numbers[Math.min(numbers.length - 1, i / 6)];
          const smooth = (i) => at(6 * Math.floor(i / 6)) * (1 - (i % 6) / 6) + at(6 * Math.ceil(i / 6)) * ((i % 6) / 6);
          buffer.copyToChannel(Float32Array.from({ length: 24000 }, (_, i) => smooth(i)), 0);
          const given = [numbers, new Blob([Uint8Array.from(file)]), buffer];
          const wrong = await model.predict(new ImageData(4, 4)).catch((error) => error.message);
          const results = await Promise.all(given.map((each) => model.predict(each)));
          return [results.map(({ pitch }) => [...pitch.data]), wrong];
        }""",
        [sine.tolist(), list(wav(sine))],
    )
    (numbers, file, buffer), wrong = answers
    np.testing.assert_allclose(file, numbers, atol=1e-3)
    np.testing.assert_allclose(buffer, numbers, atol=0.05)
    assert wrong == "'clip' takes a sound, not ImageData."


@pytest.mark.parametrize(("before", "after"), [(44100, 16000), (8000, 16000), (48000, 8000)])
def test_resampling_keeps_what_both_rates_can_hold_and_drops_the_rest(visit, before, after):
    """A sine is the same sine at another rate; one above half of the lower rate is gone, not folded back."""
    there = visit("audio")
    limit = min(before, after) / 2
    for hertz, expected in ((440, 1), (0.7 * limit, 1), (1.3 * limit, 0)):
        if hertz > before / 2:
            continue
        sine = np.sin(2 * np.pi * hertz * np.arange(before // 4) / before)
        found = np.array(
            there.page.evaluate(
                "async ([values, from, to]) => [...(await import(new URL('lib/audio.js', location))).resample(values, from, to)]",
                [sine.tolist(), before, after],
            )
        )
        wanted = expected * np.sin(2 * np.pi * hertz * np.arange(len(found)) / after)
        inner = slice(len(found) // 10, -len(found) // 10)
        assert len(found) == after // 4
        assert abs(found - wanted)[inner].max() < 0.01, hertz
