"""A person in front of a bundle's page: Chromium, a real server, and an eye on whatever goes wrong unseen."""

import shutil
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from edgepack.serve_command import serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--enable-unsafe-swiftshader",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip
PATIENCE = 60_000  # ms; the machine may be busy

DROP = """
([area, name, type, base64]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(base64), (each) => each.charCodeAt(0))], name, { type }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    area.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  }
}
"""


@pytest.fixture(scope="module")
def chromium():
    """The browser, and Playwright's descriptions of devices: ``{"desktop": ..., "phone": ...}``.

    One a module: while it is there, no other Playwright and no asyncio can be in the process.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        devices = {
            "desktop": {"viewport": {"width": 1280, "height": 800}},
            "phone": playwright.devices["Pixel 7"],
        }
        yield browser, devices
        browser.close()


@dataclass
class Visit:
    """A page that is open.

    Attributes:
        errors: what the console and the page itself complained about; ``visiting`` wants none left at its end.
    """

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.page.set_default_timeout(PATIENCE)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console", lambda said: said.type in ("error", "warning") and self.errors.append(said.text)
        )

    def open(self):
        self.page.goto(self.url)
        self.wait_until_ready()

    def wait_until_ready(self):
        expect(self.page.get_by_role("main")).to_be_visible(timeout=PATIENCE)

    def drop(self, name, media_type, data):
        """Drop a file on the first place that takes one."""
        area = self.page.locator(".drop").first.element_handle()
        self.page.evaluate(DROP, [area, name, media_type, b64encode(data).decode()])

    def choose(self, name, media_type, data):
        self.page.locator("input[type=file]").first.set_input_files(
            {"name": name, "mimeType": media_type, "buffer": data}
        )

    def press(self, name, **options):
        self.page.get_by_role("button", name=name, **options).click()

    def draw(self, *lines):
        """Draw with the mouse: lines of (x, y), each 0..1 of the field."""
        canvas = self.page.locator("canvas.drawable")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        places = [
            [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in line] for line in lines
        ]
        for first, *others in places:
            self.page.mouse.move(*first)
            self.page.mouse.down()
            for place in others:
                self.page.mouse.move(*place, steps=4)
            self.page.mouse.up()

    def says(self, text, role="status"):
        """Wait until a live region has this text (a string in it, or a pattern)."""
        region = self.page.get_by_role(role).filter(has_text=text)
        expect(region.first).to_be_visible(timeout=PATIENCE)

    def answers(self, label):
        """Wait until this is the best label."""
        expect(self.page.locator(".bars li span").first).to_have_text(label, timeout=PATIENCE)

    @property
    def overflow(self):
        """CSS pixels that the page is wider than its window."""
        return self.page.evaluate(
            "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
        )

    @property
    def violations(self):
        """What axe-core finds, as words."""
        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@contextmanager
def visiting(browser, folder, **options):
    """A Visit to a bundle as ``edgepack serve`` gives it; ``options`` are those of a browser context."""
    with serving(folder) as address:
        context = browser.new_context(**options)
        try:
            visit = Visit(context.new_page(), address)
            yield visit
            assert visit.errors == []
        finally:
            context.close()
