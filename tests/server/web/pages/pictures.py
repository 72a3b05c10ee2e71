# SPDX-License-Identifier: Apache-2.0
"""Takes pictures of the pages: `python -m tests.server.web.pages.pictures FOLDER [NAME …]`.

Each page at 1440x900 and 390x844, light and dark; a name asks for one page only. With `docs/pictures` as the folder it
takes those of the README.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.errands import queries as errand_queries
from checkvalve.server.errands.model import Kind
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.scorecard import queries as score_queries
from checkvalve.server.suppliers.queries import documents
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.queries import EVERYWHERE
from tests.server.web.pages import filled
from tests.server.web.pages.changes import PAUSED, RUNNING, Changes
from tests.server.web.pages.estate import PASSWORD, Estate
from tests.server.web.pages.machines import Machines
from tests.server.web.pages.ordered import Ordered
from tests.server.web.pages.stock import Stock

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
KEPT = Path("docs/pictures")
README = {
    "today-light": ("today", "wide", "light"),
    "approval-dark": ("approval", "wide", "dark"),
    "rollout-light": ("rollout-live", "wide", "light"),
    "rollout-paused-dark": ("rollout-paused", "wide", "dark"),
    "audit-dark": ("audit", "wide", "dark"),
    "release-light": ("release", "wide", "light"),
    "fleet-dark": ("fleet", "wide", "dark"),
    "device-light": ("device-pump-08", "wide", "light"),
    "today-narrow-dark": ("today", "narrow", "dark"),
    "approval-narrow-light": ("approval", "narrow", "light"),
}
ALIKE = frozenset(f"{tag}-{number:02}" for tag in ("station", "press", "well") for number in range(2, 13))
SMALL = ("logs-done", "logs-waiting", "bundle-done", "restart-refused", "reboot-lost")
"""Small orders that look like no other, by kind and state."""
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}


def addresses(estate: Estate) -> dict[str, tuple[str, str]]:
    """Return which pages there are to see: by name, who looks and where."""
    there = estate.db.read_now("releases", supply_queries.releases, EVERYWHERE)
    newest = next(one for one in there if one.name == "pump-station")
    draft = estate.db.read_now("drafts", supply_queries.drafts, EVERYWHERE, limit=1)[0]
    devices = {one.name: one.id for one in estate.db.read_now("devices", fleet_queries.devices, Visibility((ROOT,)))}
    assessed = estate.db.read_now("assessments", score_queries.assessments, Visibility((ROOT,)))
    asked = next((one.id for one in estate.db.read_now("documents", documents, Visibility((ROOT,)))), "")
    going, ended = (next((one.id for one in assessed if one.state == state), "") for state in ("open", "closed"))
    errands = estate.db.read_now("errands", errand_queries.errands, Visibility((ROOT,)))
    small = {f"{one.kind}-{one.state}": f"/errands/{one.id}" for one in errands}
    waiting, rejected = estate.approvals["Edge base 5.2, autumn"], estate.approvals["Historian fix, line A"]
    return {
        "sign-in": ("", "/sign-in"),
        "ended": ("", "/sign-in?why=ended&next=/rollouts"),
        "today": ("ada", "/today"),
        "today-well": ("eva", "/today"),
        "approvals": ("ada", "/approvals?show=all"),
        "approval": ("ada", f"/approvals/{waiting}"),
        "approval-own": ("olof", f"/approvals/{waiting}"),
        "approval-rejected": ("ada", f"/approvals/{rejected}"),
        "rollouts": ("olof", "/rollouts"),
        "rollout": ("olof", f"/rollouts/{estate.rollouts['Edge base 5.2, autumn']}"),
        "rollout-draft": ("olof", f"/rollouts/{estate.rollouts['Chlorine dosing test']}"),
        "rollout-live": ("olof", f"/rollouts/{estate.rollouts[RUNNING]}"),
        "rollout-paused": ("olof", f"/rollouts/{estate.rollouts[PAUSED]}"),
        "rollout-undo": ("olof", f"/rollouts/{estate.rollouts[RUNNING]}/undo"),
        "rollout-done": ("sven", f"/rollouts/{estate.rollouts['SCADA view 3.0.4']}"),
        "rollout-new": ("olof", "/rollouts/new"),
        "releases": ("maria", "/releases"),
        "release": ("maria", f"/releases/{newest.id}"),
        "draft": ("maria", f"/drafts/{draft.id}"),
        "values": ("olof", "/values"),
        "fleet": ("karin", "/fleet"),
        "fleet-site": ("ada", f"/fleet?scope={estate.places['Norra Water/Malmö']}"),
        "fleet-none": ("eva", f"/fleet?scope={estate.places['Norra Water/Luleå']}"),
        "fleet-filter": ("olof", "/fleet?text=pump&heard=online&sort=silent"),
        # Of those that differ; the many of a rollout are alike.
        **{f"device-{name}": ("olof", f"/devices/{device}") for name, device in devices.items() if name not in ALIKE},
        "device-seen": ("sven", f"/devices/{devices['pump-08']}"),
        "holds": ("olof", "/holds"),
        "estate": ("olof", "/estate"),
        "compliance": ("olof", "/compliance"),
        "assess": ("olof", f"/compliance/assess/{going}"),
        "review": ("olof", f"/compliance/assess/{going}/review"),
        "record": ("olof", f"/compliance/assess/{ended}/review"),
        "plan": ("olof", "/compliance/plan"),
        "suppliers": ("karin", "/suppliers"),
        "document": ("olof", f"/documents/{asked}"),
        "frameworks": ("olof", "/compliance/frameworks"),
        "framework": ("olof", "/compliance/frameworks?id=nis2"),
        "checks": ("olof", "/compliance/checks"),
        "guide": ("olof", "/compliance/guide"),
        "print": ("olof", "/compliance/print"),
        "compare": ("olof", "/compliance/compare"),
        "errands": ("olof", "/errands"),
        "errands-none": ("olof", "/errands?show=cancelled&device=" + devices["chlor-01"]),
        **{f"errand-{name}": ("olof", small[name]) for name in SMALL},
        "errand-seen": ("sven", small["logs-done"]),
        **{f"order-{kind}": ("olof", f"/devices/{devices['pump-07']}/{kind}") for kind in (Kind.LOGS, Kind.REBOOT)},
        "order-busy": ("olof", f"/devices/{devices['spare-01']}/restart"),
        "onboarding": ("olof", "/onboarding"),
        "today-operator": ("olof", "/today"),
        "audit": ("sven", "/audit"),
        "entry": ("sven", "/audit?action=rollout.start"),
        "account": ("ada", "/account"),
        "people": ("karin", "/people"),
        "person": ("karin", f"/people/{estate.people['olof'].id}"),
        "exposure": ("ada", "/exposure"),
        "find": ("ada", "/find?q=edge"),
        "missing": ("ada", "/rollouts/01m7vbsttt00000cjd1mnsz8ph"),
        "forbidden": ("eva", "/people"),
    }


def sign_in(page: Page, estate: Estate, login: str) -> None:
    """Sign in as a person does."""
    page.goto(f"{estate.url}/sign-in")
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/today")


def snap(page: Page, file: Path) -> None:
    """Take the picture; of a page that is live, once it is."""
    if page.locator("#live[sse-connect]").count():
        page.locator("[data-live]").wait_for(state="visible")
    page.screenshot(path=file)


def take(browser: Browser, estate: Estate, folder: Path, only: list[str]) -> None:
    """Take them all, a person and a size at a time."""
    wanted = {name: where for name, where in addresses(estate).items() if not only or name in only}
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            for login in sorted({who for who, _ in wanted.values()}):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    ignore_https_errors=True,
                )
                page = context.new_page()
                if login:
                    sign_in(page, estate, login)
                for name, (who, path) in wanted.items():
                    if who == login:
                        page.goto(estate.url + path)
                        if name == "entry":
                            page.locator("main tbody a.row").first.click()
                        snap(page, folder / f"{name}-{size}-{scheme}.png")
                context.close()


def take_for_the_readme(browser: Browser, estate: Estate, folder: Path) -> None:
    """Take the few that are kept."""
    for name, (page_name, size, scheme) in README.items():
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            ignore_https_errors=True,
        )
        page = context.new_page()
        login, path = addresses(estate)[page_name]
        sign_in(page, estate, login)
        page.goto(estate.url + path)
        snap(page, folder / f"{name}.png")
        context.close()


def main() -> None:
    """Build, serve, look."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, Estate(Path(directory)).build().served() as estate:
        machines = Machines(estate, Stock(estate).trust().few()).few()
        Changes(machines).few()
        Ordered(machines).few()
        filled.values(estate)
        filled.assessment(estate)
        filled.bought(estate)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            if folder == KEPT:
                take_for_the_readme(browser, estate, folder)
            else:
                take(browser, estate, folder, sys.argv[2:])
            browser.close()
        estate.close()


if __name__ == "__main__":
    main()
