# SPDX-License-Identifier: Apache-2.0
"""The page in Chromium: a box is dragged and followed, the clip is wound back, a sensor goes off, files are taken away.

Needs ``playwright`` and a Chromium: the system's, or the one that CHROMIUM names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.app.toy import served, video
from tests.sources.fake_camera import HttpCamera

from modaltrack.app.workspace import Workspace

playwright = pytest.importorskip("playwright.sync_api", reason="no driver for a browser: pip install playwright")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
if not CHROMIUM:
    pytest.skip("no Chromium here; name one in CHROMIUM", allow_module_level=True)

DESKTOP = {"width": 1280, "height": 800}
PATIENCE = 60_000  # milliseconds; busy machines are slow, and nothing is measured here
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


class Page:
    """A page of the browser on a served workspace; errors on its console fail the test at the end."""

    def __init__(self, browser: Any, workspace: Workspace, uploads: Path, **context: Any) -> None:
        self.workspace = workspace
        self.address, self._end = served(workspace, uploads)
        self._context = browser.new_context(**context)
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note)
        self.page.on("response", lambda r: self.errors.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        self.page.goto(self.address)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.foreign.append(request.url)

    def open(self, **sources: Path) -> None:
        self.page.keyboard.press("o")
        self.page.click("[data-tab=sources]")
        for sensor, path in sources.items():
            self.page.fill(f"#source-{sensor}", str(path))
        self.page.click("#open-yes")
        self.page.wait_for_selector("#open-dialog", state="hidden")
        self.shown(0)

    def shown(self, index: int) -> None:
        """Wait for a frame and its picture: boxes are drawn on the picture that is there."""
        self.page.wait_for_function(f"() => document.getElementById('place').textContent.includes('frame {index} /')")
        self.page.wait_for_selector(f"#panels[data-frame='{index}']")

    def drag(self, box: Sequence[float], panel: int = 0) -> None:
        """Drag a box, in pixels of the clip."""
        width = self.workspace.player.clip.size[1]  # type: ignore[union-attr]
        place = self.page.locator(".panel canvas").nth(panel).bounding_box()
        x, y, w, h = (v * place["width"] / width for v in box)
        mouse = self.page.mouse
        mouse.move(place["x"] + x, place["y"] + y)
        mouse.down()
        mouse.move(place["x"] + x + w / 2, place["y"] + y + h / 2)
        mouse.move(place["x"] + x + w, place["y"] + y + h)
        mouse.up()

    def close(self) -> None:
        self._context.close()
        self._end()
        assert (self.errors, self.foreign) == ([], [])


def at(index: int) -> list[float]:
    return [6.0 + 3 * index, 20.0, 12.0, 12.0]


def test_a_whole_visit(browser: Any, workspace: Workspace, tmp_path: Path) -> None:
    page_ = Page(browser, workspace, tmp_path / "uploads", accept_downloads=True, viewport=DESKTOP)
    page = page_.page
    page_.open(rgb=video(tmp_path / HOSTILE.replace("/", "") / "rgb", gone=[15]), thermal=video(tmp_path / "ir"))
    assert HOSTILE in page.inner_text("#clip-name")

    page_.drag(at(0))
    page.wait_for_selector(".target")
    assert workspace.player is not None
    first = workspace.player.targets[1].keys[0]
    assert first is not None
    assert all(abs(a - b) < 1 for a, b in zip(first, at(0)))

    page.select_option("#speed", "0")
    page.keyboard.press("Space")
    page_.shown(19)
    page.wait_for_selector("#play:not(.playing)")
    assert sorted(workspace.player.targets[1].rows["A"]) == list(range(1, 20))
    assert "following" in page.inner_text(".target .pill") or "found again" in page.inner_text(".target .pill")

    timeline = page.locator("#timeline").bounding_box()  # a click in the middle goes there
    page.mouse.click(timeline["x"] + timeline["width"] * 8.5 / 20, timeline["y"] + 20)
    page_.shown(8)
    page_.drag([60, 40, 20, 16])  # and there another box is chosen
    page.wait_for_function("() => document.querySelector('.target .pill').textContent === 'your box'")
    assert sorted(workspace.player.targets[1].rows["A"]) == list(range(1, 8))
    page.keyboard.press("Backspace")  # and taken back
    page.wait_for_function("() => document.querySelector('.target .pill').textContent !== 'your box'")

    page.locator(".chip[data-sensor=rgb]").click()
    page.wait_for_selector(".chip[data-sensor=rgb][aria-pressed=false]")
    page.keyboard.press("Space")
    page_.shown(19)
    page.wait_for_selector("#play:not(.playing)")
    assert page.inner_text(".target .pill") == "searching"
    assert workspace.player.targets[1].rows["A"][19].score == 0

    page.fill(".target .name", HOSTILE)
    page.keyboard.press("Enter")
    page.locator("h2", has_text="Targets").click()

    page.keyboard.press("d")
    for what, name in (("boxes", ".txt"), ("json", ".json"), ("video", ".mp4"), ("clip", ".zip")):
        with page.expect_download() as taken:
            page.click(f"#take-{what}")
        assert taken.value.suggested_filename.endswith(name)
    page.click("#take-no")

    page.reload()
    page_.shown(19)
    assert page.input_value(".target .name") == HOSTILE
    assert page.title() != "owned"
    page_.close()


def test_a_rejected_file_and_a_lost_server_are_sentences(browser: Any, workspace: Workspace, tmp_path: Path) -> None:
    page_ = Page(browser, workspace, tmp_path / "uploads")
    page = page_.page
    page.click("#open-first")
    page.click("[data-tab=upload]")
    page.click("#open-yes")
    page.wait_for_function("() => document.getElementById('open-error').textContent.includes('No file is chosen')")
    (tmp_path / "words.mp4").write_text("hello " * 1000)
    page.set_input_files("#upload-rgb", str(tmp_path / "words.mp4"))
    page.click("#open-yes")
    page.wait_for_function("() => document.getElementById('open-error').textContent.includes('cannot be opened')")
    assert page.is_enabled("#open-yes")
    assert page.is_hidden("#busy")
    page.keyboard.press("Escape")
    page_._end()
    page.wait_for_function("() => document.getElementById('banner').textContent.includes('connection is lost')")
    page_.errors.clear()  # of the connection that is tried again
    page_.close()


def test_sensors_are_aligned_by_clicks_and_by_keyboard(browser: Any, workspace: Workspace, tmp_path: Path) -> None:
    page_ = Page(browser, workspace, tmp_path / "uploads", viewport=DESKTOP)
    page = page_.page
    page_.open(rgb=video(tmp_path / "rgb", 6), thermal=video(tmp_path / "ir", 6))
    page.keyboard.press("l")
    page.wait_for_selector("#align-sensors button")
    there, own = (page.locator("#align-pictures canvas").nth(number) for number in (0, 1))
    page.wait_for_function("() => document.getElementById('align-result').textContent.startsWith('4 more pairs')")
    for x, y in ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9)):
        for canvas, by in ((there, 0.05), (own, 0.0)):  # the same thing lies 5 % further right in the visible picture
            size = canvas.bounding_box()
            canvas.click(position={"x": size["width"] * (x + by), "y": size["height"] * y})
    page.wait_for_function("() => document.getElementById('align-result').textContent.startsWith('1 more pair ')")
    page.mouse.move(5, 5)
    for canvas, column in ((there, 19), (own, 14)):  # from the middle, 48
        canvas.focus()
        for key in ["Shift+ArrowLeft"] * 2 + ["ArrowLeft"] * (28 - column) + ["Shift+ArrowDown"] * 2 + ["Enter"]:
            page.keyboard.press(key)
    page.wait_for_function("() => document.getElementById('align-result').textContent.startsWith('By points')")
    assert "Four pairs fit exactly" in page.inner_text("#align-remarks")
    page.wait_for_function("() => document.getElementById('align-blend').naturalHeight === 128")
    with page.expect_download() as taken:
        page.click("#align-save")
    assert taken.value.suggested_filename == "align.json"
    page.click("#align-use")
    page.wait_for_selector("#align-dialog", state="hidden")
    page_.shown(0)
    assert workspace.player is not None
    assert workspace.player.clip.reader is not None
    matrix = workspace.player.clip.reader.homographies["thermal"]  # type: ignore[index]
    assert abs(matrix[0, 2] - 4.9) < 0.3
    assert abs(matrix[0, 0] - 1) < 0.02
    page.click("#align-open")  # the points are still there
    page.wait_for_function("() => document.querySelectorAll('#align-pairs li').length === 4")
    page.click("#align-clear")
    page.click("#align-drop")
    page.wait_for_selector("#align-dialog", state="hidden")
    assert not workspace.player.clip.reader.homographies
    page_.close()


def test_a_live_clip_is_recorded_from_the_page(browser: Any, workspace: Workspace, tmp_path: Path) -> None:
    page_ = Page(browser, workspace, tmp_path / "uploads", viewport=DESKTOP, accept_downloads=True)
    page = page_.page
    assert page.is_hidden("#record")
    with HttpCamera(5) as camera:
        page.keyboard.press("o")
        page.click("[data-tab=sources]")
        page.fill("#source-rgb", camera.url)
        page.click("#open-yes")
        page.wait_for_selector("#open-dialog", state="hidden")
        page.click("#record")
        page.wait_for_function("() => /Stop 0:0[1-9]/.test(document.getElementById('record').textContent)")
        page.keyboard.press("k")
        page.wait_for_function(
            "() => document.getElementById('banner').textContent.includes('instants are recorded in')"
        )
        folder = workspace.recorder.last
        assert folder is not None
        assert str(folder) in page.inner_text("#banner")
        page.keyboard.press("d")
        with page.expect_download() as taken:
            page.click("#take-recording")
        assert taken.value.suggested_filename == f"{folder.name}.zip"
        page.click("#take-no")
        page.keyboard.press("o")
        page.click("[data-tab=folder]")
        page.fill("#folder", str(folder))
        page.click("#open-yes")
        page.wait_for_selector("#open-dialog", state="hidden")
        page_.shown(0)
    assert page.is_hidden("#record")
    page_.close()


def test_by_touch_on_a_phone_nothing_is_too_wide(browser: Any, workspace: Workspace, tmp_path: Path) -> None:
    size = {"width": 390, "height": 844}
    page_ = Page(browser, workspace, tmp_path / "uploads", viewport=size, has_touch=True, is_mobile=True)
    page = page_.page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page_.open(rgb=video(tmp_path / "rgb", 6), thermal=video(tmp_path / "ir", 6))
    place = page.locator(".panel canvas").first.bounding_box()
    scale = place["width"] / 96
    touch = page.context.new_cdp_session(page)
    for kind, (x, y) in (("Start", (6, 20)), ("Move", (12, 26)), ("Move", (18, 32)), ("End", (18, 32))):
        points = [] if kind == "End" else [{"x": place["x"] + x * scale, "y": place["y"] + y * scale}]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    page.wait_for_selector(".target")
    page.wait_for_timeout(400)  # a touch just after a fast drag makes no click in Chromium, wherever it is
    page.tap("#play")
    page_.shown(5)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page_.close()


def test_a_box_by_keyboard_and_a_second_model(browser: Any, workspace: Workspace, tmp_path: Path) -> None:
    page_ = Page(browser, workspace, tmp_path / "uploads", viewport=DESKTOP)
    page = page_.page
    page_.open(rgb=video(tmp_path / "rgb", 6))
    page.keyboard.press("b")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Alt+ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".target")
    assert workspace.player is not None
    x, _, w, h = workspace.player.targets[1].keys[0]  # type: ignore[misc]
    assert (round(x + w / 2, 3), round(h - w, 3)) == (43, 1)
    page.click(".wide-button")
    page.wait_for_selector(".lane >> nth=1")
    for index in range(1, 6):
        page.keyboard.press("ArrowRight")
        page_.shown(index)
    assert {lane: len(rows) for lane, rows in workspace.player.targets[1].rows.items()} == {"A": 5, "B": 5}
    page_.close()


def test_real_clips_and_a_rendered_one_with_a_real_model(browser: Any, shared: Path, tmp_path: Path) -> None:
    from modaltrack.app.model_store import ModelStore
    from modaltrack.boxes import iou
    from modaltrack.sources import read_boxes

    workspace = Workspace("sdstrack-tiny", ModelStore("cpu"), tmp_path)
    page_ = Page(browser, workspace, tmp_path, viewport=DESKTOP)
    page = page_.page
    clip = shared / "rgbt" / "tno_duine"
    truth = read_boxes(clip / "groundtruth.txt")
    page_.open(rgb=clip / "rgb", thermal=clip / "aux")
    page_.drag(truth[0], panel=1)
    page.wait_for_selector(".target")
    for index in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        page_.shown(index)
    assert workspace.player is not None
    found = workspace.player.targets[1].rows["A"][3].box
    assert iou(found, truth[3]) > 0.3

    page.keyboard.press("o")
    page.click("[data-tab=scene]")
    page.fill("#scene-length", "3")
    page.click("#open-yes")
    page.wait_for_selector("#open-dialog", state="hidden")
    page.wait_for_function("() => document.querySelectorAll('.panel').length === 4")
    page_.drag(workspace.player.clip.truth[0])  # type: ignore[index]
    page.wait_for_selector(".target")
    page.keyboard.press("ArrowRight")
    page_.shown(1)
    assert list(workspace.player.targets[1].rows["A"]) == [1]
    page_.close()
    workspace.close()
