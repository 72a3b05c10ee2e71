# SPDX-License-Identifier: Apache-2.0
"""The pages in a real browser, over TLS, with the content policy in force."""

import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from checkvalve.ids import ErrandId
from checkvalve.protocol.exchange import State
from checkvalve.server.errands import queries as errand_queries
from checkvalve.server.rollouts.model import Outcome, Plan
from tests.parts.missing import missing
from tests.server.web.pages.changes import RUNNING, Changes
from tests.server.web.pages.estate import EDGE, Estate
from tests.server.web.pages.machines import EXITED, Machines
from tests.server.web.pages.ordered import Ordered
from tests.server.web.pages.pictures import ARGUMENTS, CHROMIUM, addresses, sign_in
from tests.server.web.pages.stock import Stock

pytestmark = pytest.mark.real_parts

Open = Callable[..., Page]

# What a person with a screen reader or a keyboard stumbles over, as sentences.
STUMBLES = """() => {
  const found = [];
  const named = (element) => (element.getAttribute("aria-label") || element.textContent || "").trim();
  const seen = (element) => element.getClientRects().length > 0;
  const count = document.querySelectorAll("h1").length;
  if (count !== 1) found.push(`${count} h1`);
  if (!document.documentElement.lang) found.push("no language");
  if (document.querySelectorAll("main").length !== 1) found.push("not one main");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!field.labels.length && !field.getAttribute("aria-label")) found.push(`no label: ${field.name || field.id}`);
  }
  for (const press of document.querySelectorAll("a[href], button, summary")) {
    if (!named(press)) found.push(`no name: ${press.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`id twice: ${id}`);
  for (const one of document.querySelectorAll("[aria-describedby], [aria-labelledby]")) {
    const id = one.getAttribute("aria-describedby") || one.getAttribute("aria-labelledby");
    if (!document.getElementById(id)) found.push(`points at nothing: ${id}`);
  }
  let level = 0;
  for (const heading of [...document.querySelectorAll("main :is(h1, h2, h3)")].filter(seen)) {
    const here = Number(heading.tagName[1]);
    if (here > level + 1) found.push(`h${level} then h${here}: ${heading.textContent}`);
    level = here;
  }
  for (const table of document.querySelectorAll("table")) if (!table.caption) found.push("a table without a caption");
  return [...new Set(found)];
}"""


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordered]:
    """Serve the water company; return what was ordered there."""
    estate = Estate(tmp_path_factory.mktemp("estate")).build()
    with estate.served():
        machines = Machines(estate, Stock(estate).trust().few()).few()
        Changes(machines).few()
        yield Ordered(machines).few()
    estate.close()


@pytest.fixture(scope="module")
def estate(ordered: Ordered) -> Estate:
    """Return the water company."""
    return ordered.machines.estate


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start one Chromium for the tests of this file."""
    if not Path(CHROMIUM).exists():
        missing("Chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, estate: Estate) -> Iterator[Open]:
    """Return how to open a page as somebody; at the end nothing may have been complained about in the console."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_as(login: str = "", path: str = "", **options: object) -> Page:
        viewport = {"width": options.pop("width", 1440), "height": 900}
        context = browser.new_context(ignore_https_errors=True, viewport=viewport, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if login:
            sign_in(page, estate, login)
        if path:
            page.goto(estate.url + path)
        return page

    yield open_as
    for context in contexts:
        context.close()
    # A refusal is an answer, and so is that nobody is there.
    allowed = (
        "the server responded with a status of 4",
        "ERR_INTERNET_DISCONNECTED",
        "status of 503",
        "[object Event]",
    )
    assert [said for said in complaints if not any(text in said for text in allowed)] == []


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_an_approver_signs_in_reviews_approves_and_leaves(estate: Estate, opened: Open, *, scripts: bool) -> None:
    name = f"Pump firmware, scripts {scripts}"
    estate.draft(name, "olof", "Norra Water/Luleå", EDGE, ago=2)
    estate.propose(name, ago=1)
    page = opened("ada", java_script_enabled=scripts)
    expect(page.get_by_role("heading", level=1)).to_contain_text("for you.")
    page.get_by_role("link", name=f"Review: {name}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Olof Berg asks to start {name}.")
    expect(page.get_by_text("It has 0 of 1 approvals.")).to_be_visible()
    page.get_by_label("Note").fill("Window agreed with Luleå.")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("It is approved by Ada Lind.")).to_be_visible()
    expect(page.get_by_role("cell", name="Window agreed with Luleå.")).to_be_visible()
    page.get_by_role("link", name="Your account: Ada Lind").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto(f"{estate.url}/today")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_the_operator_then_starts_it(estate: Estate, opened: Open) -> None:
    estate.draft("Valve actuators", "olof", "Norra Water/Luleå", EDGE, ago=2)
    page = opened("olof", f"/rollouts/{estate.rollouts['Valve actuators']}")
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    expect(page.get_by_text("The rollout is still a draft.")).to_be_visible()
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Valve actuators waits for approval.")
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    page.get_by_role("link", name="See the request").click()
    expect(page.get_by_text("You asked for this yourself")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    approver = opened("ada", page.url.removeprefix(estate.url))
    approver.get_by_role("button", name="Approve").click()
    expect(approver.get_by_text("It is approved by Ada Lind.")).to_be_visible()
    page.goto(f"{estate.url}/rollouts/{estate.rollouts['Valve actuators']}")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Valve actuators goes on: 0 of 1 device runs edge-base 5.2."
    )


def test_a_rollout_is_started_followed_paused_and_continued_on_one_page(estate: Estate, opened: Open) -> None:
    changes, name = Changes(Machines(estate, {})), "Edge base 5.2, wells"
    changes.propose(name, "well", 4, Plan(1, 1))
    page = opened("olof", f"/rollouts/{estate.rollouts[name]}")
    expect(page.get_by_text("4 devices would go, 1 device first, then the rest in waves of 1.")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(f"{name} goes on: 0 of 4 devices run edge-base 5.2.")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.evaluate("window.same = true")
    canary, *rest = changes.seats(name)
    changes.says(canary, State.VERIFYING)
    expect(page.get_by_role("img", name="Canary wave: 1 verifying, of 1 device.")).to_be_visible()
    changes.ends(canary)
    expect(page.get_by_role("img", name="Canary wave: 1 verified, of 1 device.")).to_be_visible()
    expect(page.get_by_role("img", name="Wave 1: 1 ordered, of 1 device.")).to_be_visible()
    expect(heading).to_have_text(f"{name} goes on: 1 of 4 devices run edge-base 5.2.")
    page.get_by_text("Nobody begins any more.").click()
    page.get_by_label("Why").fill("Storm warning.")
    changes.ends(rest[0], Outcome.ROLLED_BACK, EXITED)
    expect(heading).to_have_text(f"{name} is paused: 1 of 4 devices run edge-base 5.2, 1 failed.")
    expect(page.get_by_text("refusing to write to a newer store")).to_be_visible()
    expect(page.get_by_label("Why")).to_have_value("Storm warning.")  # what somebody types is not taken away
    page.get_by_text("Nobody begins any more.").click()
    resume = page.get_by_text("Continue; leave this 1 on edge-base 5.1")
    expect(resume).to_be_visible()
    assert page.evaluate("window.same") is True  # all on one page, never loaded anew
    resume.click()
    page.get_by_role("button", name="Continue it").click()
    expect(page.get_by_role("img", name="Wave 2: 1 ordered, of 1 device.")).to_be_visible()
    for seat in rest[1:]:
        changes.ends(seat)
    expect(heading).to_have_text(f"{name} is done: 3 of 4 devices run edge-base 5.2.")
    expect(page.get_by_text("Live", exact=True)).to_be_hidden()


def test_logs_are_ordered_waited_for_and_read_on_one_page(estate: Estate, ordered: Ordered, opened: Open) -> None:
    page = opened("olof", f"/devices/{ordered.machines.devices['mixer-02'].id}")
    page.get_by_role("link", name="Logs…").click()
    page.get_by_label("Service").select_option("historian")
    page.get_by_role("button", name="Order the logs").click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Logs of historian: mixer-02 has not been told yet.")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.evaluate("window.same = true")
    wanted = ErrandId(page.url.rpartition("/")[2])
    errand = estate.db.read_now("errand", errand_queries.errand, wanted)
    ordered.given(errand)
    expect(heading).to_have_text("Logs of historian: mixer-02 was told, and has not said how it ended.")
    page.get_by_text("it may do it all the same").click()
    page.get_by_label("Why").fill("I have them by telephone.")
    ordered.ends("here", errand, brings=gzip.compress(b"historian | refusing to write to a newer store\n"))
    expect(heading).to_have_text("mixer-02 brought the logs of historian.")
    expect(page.get_by_text("refusing to write to a newer store")).to_be_visible()
    expect(page.get_by_label("Why")).to_have_value("I have them by telephone.")  # what somebody types is not taken away
    assert page.evaluate("window.same") is True
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_text("This small order has come to its end.", exact=True)).to_be_visible()
    page.goto(f"{estate.url}/errands/{wanted}")
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("^Download")).click()
    assert download.value.path().read_text() == "historian | refusing to write to a newer store\n"


def test_a_page_whose_stream_is_cut_says_so_and_since_when(estate: Estate, opened: Open) -> None:
    page = opened("eva", f"/rollouts/{estate.rollouts[RUNNING]}")
    live = page.get_by_text("Live", exact=True)
    expect(live).to_be_visible()
    page.context.set_offline(True)
    estate.plane.live.close()
    expect(page.get_by_text("Live view is cut; trying again.")).to_be_visible(timeout=15_000)
    expect(page.get_by_text(re.compile(r"What stands here is of \d\d:\d\d:\d\d UTC"))).to_be_visible()
    expect(live).to_be_hidden()
    page.context.set_offline(False)
    estate.plane.live.closed = False
    expect(live).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Live view is cut; trying again.")).to_be_hidden()


def test_a_tab_that_nobody_sees_holds_no_stream(
    estate: Estate, opened: Open, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    page = opened("eva", f"/rollouts/{estate.rollouts[RUNNING]}")
    live, seen = page.get_by_text("Live", exact=True), "document.dispatchEvent(new Event('visibilitychange'))"
    expect(live).to_be_visible()
    page.evaluate(f"Object.defineProperty(document, 'hidden', {{ value: true, configurable: true }}); {seen}")
    wait_until(lambda: estate.plane.live.streams == 0)
    page.evaluate(f"delete document.hidden; {seen}")
    before = page.locator("[data-beat]").text_content() or ""
    expect(page.locator("[data-beat]")).not_to_have_text(before)
    expect(live).to_be_visible()
    page.close()
    wait_until(lambda: estate.plane.live.streams == 0)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)], ids=["light", "dark telephone"])
def test_nobody_stumbles_no_page_scrolls_sideways_and_the_content_policy_is_kept(
    estate: Estate, opened: Open, scheme: str, width: int
) -> None:
    pages: dict[str, Page] = {}
    stumbles = {}
    for name, (login, path) in addresses(estate).items():
        if login not in pages:
            pages[login] = opened(login, color_scheme=scheme, width=width)
        page = pages[login]
        page.goto(estate.url + path)
        found = page.evaluate(STUMBLES)
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
            found.append(f"{wide} wide")
        if found:
            stumbles[name] = found
    assert stumbles == {}


def test_the_keyboard_goes_everywhere(estate: Estate, opened: Open) -> None:
    page = opened("olof", "/today")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Checkvalve")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.locator("main").click(position={"x": 5, "y": 5})
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/rollouts")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = page.locator("main tbody tr").first
    expect(first).to_have_class("chosen")
    expect(first.get_by_role("link").first).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()
    page.keyboard.type("SCADA")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="SCADA view 3.0.4")).to_be_visible()
    assert page.url == f"{estate.url}/find?q=SCADA"


@pytest.mark.usefixtures("estate")
def test_a_place_is_typed_or_picked_and_stays_in_the_address(opened: Open) -> None:
    page = opened("olof", "/rollouts")
    page.get_by_text("All places", exact=True).first.click()
    page.get_by_label("Type the name of a place").fill("visb")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("One rollout.")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Fleet").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "3 of 5 devices report; 1 is degraded, 1 is quarantined, 1 is silent."
    )
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("One rollout.")


def test_a_digest_is_copied_whole(estate: Estate, opened: Open) -> None:
    page = opened("olof", f"/rollouts/{estate.rollouts['SCADA view 3.0.4']}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy").first
    button.click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == button.get_attribute("data-copy")


@pytest.mark.usefixtures("estate")
def test_the_printed_page_has_no_buttons_and_exact_times(opened: Open) -> None:
    page = opened("sven", "/audit")
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
    expect(page.get_by_role("button", name="Search")).to_be_hidden()
    after = page.evaluate("getComputedStyle(document.querySelector('main time'), '::after').content")
    assert "UTC" in after
