# SPDX-License-Identifier: Apache-2.0
"""The scorecard on a fresh plane, in a real browser, by keyboard: 25 answers, the banner, the plan, the document."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from checkvalve import clock
from tests.parts.missing import missing
from tests.parts.plane import PASSWORD, PlaneProcess
from tests.server.web.pages.pictures import ARGUMENTS, CHROMIUM

pytestmark = [pytest.mark.slow, pytest.mark.real_parts, pytest.mark.timeout(300)]

KEYS = "333334444423432nnnnn32323"
"""One key an answer; the section on regulation is what nobody is sure of."""
FIVE_MINUTES = 300.0  # seconds, of the issue


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[PlaneProcess]:
    """Serve a plane in which there is nothing."""
    plane = PlaneProcess(tmp_path / "plane")
    assert plane.init().returncode == 0
    yield plane.start()
    plane.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    if not Path(CHROMIUM).exists():
        missing("Chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


def test_a_person_answers_25_questions_by_keyboard_sees_the_banner_and_prints_the_plan(
    plane: PlaneProcess, browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_context(ignore_https_errors=True, accept_downloads=True).new_page()
    _sign_in(page, plane)
    expect(page.get_by_text("checkvalve scope create organisation")).to_be_visible()
    plane.caller().post("/api/v1/scopes", parent="/", kind="organisation", name="Norra Water")
    page.reload()
    began = clock.monotonic()
    _press(page, "Begin")
    for number, key in enumerate(KEYS, 1):
        expect(page.get_by_text(f"question {number} of 25")).to_be_visible()
        page.keyboard.press(key)
    page.wait_for_url("**/review")
    expect(page.get_by_role("heading", level=1)).to_contain_text("It can be closed.")
    _press(page, "Close the assessment")
    page.wait_for_url("**/compliance")
    assert clock.monotonic() - began < FIVE_MINUTES
    expect(page.get_by_role("heading", level=1)).to_have_text("Regulatory exposure is At Risk with 0 of 20.")
    expect(page.get_by_role("alert")).to_contain_text("Internal audit first.")
    _press(page, re.compile("Put into the plan: Close this assessment"))
    expect(page.get_by_role("link", name="in the plan")).to_be_visible()
    page.get_by_role("link", name="Print or hand over").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Regulatory exposure is At Risk with 0 of 20.")
    expect(page.get_by_role("rowheader", name=re.compile("Close this assessment"))).to_be_visible()
    assert page.pdf().startswith(b"%PDF-")
    _kept(page, browser, tmp_path / "board.html")


def test_a_second_press_is_not_an_answer_to_the_same_question(plane: PlaneProcess, browser: Browser) -> None:
    plane.caller().post("/api/v1/scopes", parent="/", kind="organisation", name="Norra Water")
    page = browser.new_context(ignore_https_errors=True).new_page()
    _sign_in(page, plane)
    _press(page, "Begin")
    expect(page.get_by_text("question 1 of 25")).to_be_visible()
    page.evaluate("""() => { for (const key of "30") document.body.dispatchEvent(
        new KeyboardEvent("keydown", { key, bubbles: true })); }""")
    expect(page.get_by_text("question 2 of 25")).to_be_visible()
    (there,) = plane.caller().get("/api/v1/assessments")["items"]
    replies = plane.caller().get(f"/api/v1/assessments/{there['id']}")["replies"]
    assert [(one["question"], one["said"]) for one in replies] == [("PM1", "3")]


def _sign_in(page: Page, plane: PlaneProcess) -> None:
    page.goto(f"{plane.url}/sign-in")
    page.get_by_label("Login").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/today")
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url("**/compliance")


def _press(page: Page, name: str | re.Pattern[str]) -> None:
    page.get_by_role("button", name=name).first.focus()
    page.keyboard.press("Enter")


def _kept(page: Page, browser: Browser, file: Path) -> None:
    """The same as a file opens without a network, and asks for nothing."""
    with page.expect_download() as download:
        page.get_by_role("link", name="Keep as a file").click()
    download.value.save_as(file)
    alone = browser.new_context(offline=True).new_page()
    asked: list[str] = []
    complaints: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.on("console", lambda said: complaints.append(said.text))
    alone.goto(file.as_uri())
    expect(alone.get_by_role("heading", level=1)).to_have_text("Regulatory exposure is At Risk with 0 of 20.")
    assert (asked, complaints) == ([file.as_uri()], [])
