# SPDX-License-Identifier: Apache-2.0
"""The pages over HTTP, on both engines: who sees what, what a form changes, and how refusals look."""

import asyncio
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from checkvalve.canonical import Json
from checkvalve.server.access.model import ROOT, ScopeKind
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.audit.model import Kind
from checkvalve.server.db.database import Database, unavailable
from checkvalve.server.rollouts.model import Outcome
from checkvalve.server.web import auth
from checkvalve.server.web.auth import Need
from checkvalve.server.web.pages import doors
from tests.server.web import gear
from tests.server.web.pages.rolling import EXITED, Course
from tests.server.web.plant import ORIGIN, PASSWORD, ROLES, Plant, User, door

HTML = {"accept": "text/html,application/xhtml+xml"}
LISTS = (
    "/today",
    "/approvals",
    "/approvals?show=all",
    "/rollouts",
    "/rollouts?state=proposed",
    "/releases",
    "/releases?state=published&name=edge-base",
    "/fleet",
    "/fleet?text=pump&tag=line%3D3&trust=accepted&heard=online&is=well&sort=silent",
    "/fleet?held=yes&step=waiting_permit",
    "/holds",
    "/estate",
    "/estate/history",
    "/errands",
    "/errands?show=missed",
    "/audit",
    "/audit?action=rollout.&since=24h",
    "/account",
    "/people",
    "/exposure",
    "/compliance",
    "/onboarding",
    "/find?q=north",
    "/rollouts/new",
)


@pytest.fixture
def estate(database: Database, now: datetime, tmp_path: Path) -> Plant:
    """Two organisations with pages, and in the north a rollout that waits for approval."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    return plant.build()


def ask(plant: Plant, user: User | None, path: str, form: dict[str, str] | None = None, **more: str) -> httpx.Response:
    """Ask as a browser does; a form carries the session's token unless `more` says otherwise."""
    headers = {**HTML, **(user.headers if user else {})}
    token = headers.pop("x-csrf-token", "")

    async def request() -> httpx.Response:
        async with plant.client(**headers) as client:
            if form is None:
                return await client.get(path)
            return await client.post(path, data={"csrf": token, **form, **more}, headers={"origin": ORIGIN})

    return asyncio.run(request())


def data(plant: Plant, user: User, path: str) -> dict[str, Any]:
    """Return what the JSON twin of a page says."""
    before, question, query = path.partition("?")
    answer = ask(plant, user, f"{before}.json{question}{query}")
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


@pytest.mark.parametrize("role", ROLES)
def test_every_page_answers_everybody_with_a_page(estate: Plant, role: str) -> None:
    user = estate.users["north", role]
    for path in LISTS:
        answer = ask(estate, user, path)
        assert answer.status_code in {200, 403}, (path, answer.text)
        assert answer.text.count("<h1>") == 1, path
        assert "text/html" in answer.headers["content-type"]


def test_every_page_has_a_twin_that_says_the_same(estate: Plant) -> None:
    user = estate.users["north", "auditor"]
    for path in LISTS:
        if path != "/rollouts/new":
            said = data(estate, user, path)
            assert escaped(said["sentence"]) in ask(estate, user, path).text, path


def test_whoever_is_not_signed_in_is_sent_to_the_door_and_back(estate: Plant) -> None:
    answer = ask(estate, None, "/rollouts?state=draft")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Frollouts%3Fstate%3Ddraft"


def test_a_twin_refuses_as_the_api_does(estate: Plant) -> None:
    answer = ask(estate, None, "/today.json")
    assert (answer.status_code, answer.json()["code"]) == (401, "session.none")
    hidden = ask(estate, estate.users["north", "viewer"], "/people.json")
    assert (hidden.status_code, hidden.json()["code"]) == (403, "access.denied")


def test_a_session_that_has_ended_is_told_at_the_door(estate: Plant) -> None:
    estate.later(hours=1)
    answer = ask(estate, estate.users["north", "viewer"], "/today")
    assert answer.headers["location"] == "/sign-in?next=%2Ftoday&why=ended"
    assert "Your session has ended." in ask(estate, None, answer.headers["location"]).text


def test_the_door_says_what_is_wrong_and_for_how_long(estate: Plant) -> None:
    wrong = ask(estate, None, "/sign-in", {"login": "viewer.north", "password": "not this one at all"})
    assert wrong.status_code == 401
    assert "Login or password is wrong." in wrong.text
    assert 'value="viewer.north"' in wrong.text
    for _ in range(8):
        answer = ask(estate, None, "/sign-in", {"login": "viewer.north", "password": "not this one at all"})
    assert answer.status_code == 429
    assert re.search(r"Wait \d+ seconds?, then try again", answer.text)


def test_signing_in_goes_on_where_one_was(estate: Plant) -> None:
    form = {"login": "viewer.north", "password": PASSWORD, "next": "/rollouts?state=draft"}
    answer = ask(estate, None, "/sign-in", form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/rollouts?state=draft")
    assert auth.COOKIE in answer.headers["set-cookie"]


@pytest.mark.parametrize("onward", ["//evil.test", "https://evil.test", "/\\evil.test", "", "javascript:alert(1)"])
def test_signing_in_never_leads_to_another_host(onward: str) -> None:
    assert doors._within(onward) == "/today"


def test_opening_a_request_for_approval_votes_for_nobody(estate: Plant) -> None:
    _, asked = waiting(estate)
    approver = estate.users["north", "access-approver"]
    answer = ask(estate, approver, f"/approvals/{asked}")
    assert answer.status_code == 200
    assert "Approve</button>" in answer.text
    assert data(estate, approver, f"/approvals/{asked}")["votes"] == []


def test_an_approval_is_a_form_that_names_what_was_shown(estate: Plant) -> None:
    _, asked = waiting(estate)
    approver = estate.users["north", "access-approver"]
    shown = data(estate, approver, f"/approvals/{asked}")
    stale = ask(estate, approver, f"/approvals/{asked}/vote", {"choice": "approve", "digest": "0" * 64})
    assert stale.status_code == 412
    assert "This vote is for something else than what is asked now." in stale.text
    form = {"choice": "approve", "digest": shown["digest"], "note": "Window agreed.\r\nBy telephone."}
    answer = ask(estate, approver, f"/approvals/{asked}/vote", form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/approvals/{asked}")
    after = data(estate, approver, f"/approvals/{asked}")
    assert (after["standing_name"], after["votes"][0]["note"]) == ("approved", "Window agreed. By telephone.")


def test_a_form_without_the_token_of_the_session_changes_nothing(estate: Plant) -> None:
    made, asked = waiting(estate)
    approver, operator = estate.users["north", "access-approver"], estate.users["north", "operator"]
    answer = ask(estate, approver, f"/approvals/{asked}/vote", {"choice": "reject"}, csrf="")
    assert answer.status_code == 403
    assert "csrf.token" in answer.text
    assert ask(estate, operator, f"/rollouts/{made}/cancel", {}, csrf="0").status_code == 403
    assert data(estate, approver, f"/approvals/{asked}")["votes"] == []


def test_who_asked_is_told_why_they_cannot_vote(estate: Plant) -> None:
    _, asked = waiting(estate)
    said = data(estate, estate.users["north", "operator"], f"/approvals/{asked}")
    assert said["may_vote"] is False
    assert said["why_not"].startswith("You asked for this yourself")


def test_needs_you_lists_what_this_person_may_decide_and_nothing_else(estate: Plant) -> None:
    waiting(estate)
    approver, operator = estate.users["north", "access-approver"], estate.users["north", "operator"]
    assert len(data(estate, approver, "/today")["needs"]) == 1
    assert data(estate, approver, "/today")["sentence"] == "One decision waits for you."
    assert data(estate, operator, "/today")["needs"] == []
    assert data(estate, estate.users["south", "access-approver"], "/today")["needs"] == []


def test_the_record_is_on_today_only_for_who_may_read_it(estate: Plant) -> None:
    assert data(estate, estate.users["north", "auditor"], "/today")["recent"]
    assert data(estate, estate.users["north", "viewer"], "/today")["recent"] is None


def test_buttons_are_disabled_with_their_reason(estate: Plant) -> None:
    made, _ = waiting(estate)
    verbs = by_name(data(estate, estate.users["north", "operator"], f"/rollouts/{made}")["verbs"])
    assert [verbs[name]["enabled"] for name in ("propose", "start", "cancel")] == [False, False, True]
    assert verbs["start"]["why"].startswith("It has 0 of 1 approvals.")
    seen = by_name(data(estate, estate.users["north", "viewer"], f"/rollouts/{made}")["verbs"])
    assert not any(verb["enabled"] for verb in seen.values())
    assert all(verb["why"] for verb in seen.values())


def test_a_rollout_is_drafted_proposed_approved_and_started_by_forms(estate: Plant) -> None:
    operator, approver = estate.users["north", "operator"], estate.users["north", "access-approver"]
    gear.device(estate, estate.organisations["north"], "pump-1")
    form = {"name": "Edge <b>5.2</b>", "scope": estate.organisations["north"], "release": RELEASE, "selector": "all"}
    drafted = ask(estate, operator, "/rollouts", {**form, "approvals": "1", "change": "MOC-1"})
    assert drafted.status_code == 303, drafted.text
    page = drafted.headers["location"]
    assert "Edge &lt;b&gt;5.2&lt;/b&gt; is a draft." in ask(estate, operator, page).text
    assert ask(estate, operator, f"{page}/propose", {}).status_code == 303
    asked = data(estate, operator, page)["approval"]["id"]
    digest = data(estate, approver, f"/approvals/{asked}")["digest"]
    ask(estate, approver, f"/approvals/{asked}/vote", {"choice": "approve", "digest": digest})
    assert ask(estate, operator, f"{page}/start", {}).status_code == 303
    assert data(estate, operator, page)["state"] == "started"


def test_a_refused_form_is_shown_again_with_what_was_typed(estate: Plant) -> None:
    operator = estate.users["north", "operator"]
    form = {"name": "Kept", "scope": estate.organisations["north"], "release": "no digest", "selector": "all"}
    answer = ask(estate, operator, "/rollouts", {**form, "approvals": "1"})
    assert answer.status_code == 422
    assert 'value="Kept"' in answer.text
    assert "There is no release &#39;no digest&#39; here." in answer.text


def test_a_start_before_its_time_is_refused_on_the_page_and_recorded(estate: Plant) -> None:
    made, _ = waiting(estate)
    answer = ask(estate, estate.users["north", "operator"], f"/rollouts/{made}/start", {})
    assert answer.status_code == 409
    assert "It has 0 of 1 approvals." in answer.text
    latest = estate.entries(1)[0]
    assert (latest.kind, latest.action) == (Kind.REFUSED, "rollout.start")


def test_another_organisation_is_not_there(estate: Plant) -> None:
    made, asked = waiting(estate)
    stranger = estate.users["south", "access-approver"]
    for path in (f"/rollouts/{made}", f"/approvals/{asked}", f"/fleet?scope={estate.organisations['north']}"):
        assert ask(estate, stranger, path).status_code == 404, path
    person = estate.users["north", "operator"].person
    assert ask(estate, stranger, f"/people/{person.id}").status_code == 404
    assert data(estate, stranger, "/find?q=north")["items"] == []
    assert "north" not in ask(estate, stranger, "/today").text
    ask(estate, stranger, f"/approvals/{asked}/vote", {"choice": "reject"})
    assert estate.db.read_now("votes", approval_queries.votes, asked) == []  # type: ignore[arg-type]


def test_the_place_in_the_address_narrows_every_list(estate: Plant) -> None:
    north = estate.organisations["north"]
    visby, gotland = (estate.scope(north, ScopeKind.SITE, name) for name in ("Visby", "Fårö"))
    operator = estate.users["north", "operator"]
    estate.rollout(visby, operator.person)
    assert len(data(estate, operator, f"/rollouts?scope={visby}")["items"]) == 1
    assert data(estate, operator, f"/rollouts?scope={gotland}")["items"] == []
    assert [one["name"] for one in data(estate, operator, f"/fleet?scope={visby}")["items"]] == ["Visby"]
    assert f"scope={visby.replace('/', '%2F')}" in ask(estate, operator, f"/rollouts?scope={visby}").text


def test_an_entry_shows_the_bytes_that_its_hash_covers(estate: Plant) -> None:
    auditor = estate.users["north", "auditor"]
    entry = next(one for one in estate.entries(100) if one.scope == estate.organisations["north"])
    said = data(estate, auditor, f"/audit/{entry.id}")
    assert (said["bytes"].encode(), said["leaf_hash"]) == (entry.data, entry.leaf_hash.hex())


def test_the_record_is_searched_by_login_and_pages_go_on(estate: Plant) -> None:
    auditor, operator = estate.users["north", "auditor"], estate.users["north", "operator"]
    for _ in range(60):
        estate.rollout(estate.organisations["north"], operator.person)
    first = data(estate, auditor, "/audit?actor=operator.north")
    assert len(first["items"]) == 50
    assert {item["actor"] for item in first["items"]} == {operator.person.name}
    second = ask(estate, auditor, first["next_href"].replace("/audit?", "/audit.json?")).json()
    assert len(second["items"]) == 10
    assert second["next_href"] == ""


def test_a_token_is_shown_once_and_its_digest_kept(estate: Plant) -> None:
    viewer = estate.users["north", "viewer"]
    made = ask(estate, viewer, "/account/tokens", {"label": "export", "scope": ROOT, "days": "7"})
    assert made.status_code == 200
    secret = re.search(r"cvt_[0-9A-Za-z]{49}", made.text)
    assert secret is not None
    again = ask(estate, viewer, "/account")
    assert secret.group() not in again.text
    assert "export" in again.text


def test_a_password_is_changed_only_by_who_knows_it(estate: Plant) -> None:
    viewer = estate.users["north", "viewer"]
    form = {"old": "something else entirely", "new": "seven brass valves humming"}
    refused = ask(estate, viewer, "/account/password", form)
    assert refused.status_code == 403
    assert "seven brass" not in refused.text
    done = ask(estate, viewer, "/account/password", {**form, "old": PASSWORD})
    assert "Your password is changed." in done.text


def test_an_administrator_adds_a_person_gives_a_role_and_takes_it_away(estate: Plant) -> None:
    admin, north = estate.users["north", "platform-admin"], estate.organisations["north"]
    form = {"name": "Nils Öberg", "login": "nils", "home": north, "password": "four green lamps glowing"}
    made = ask(estate, admin, "/people", form)
    assert made.status_code == 303, made.text
    page = made.headers["location"]
    assert ask(estate, admin, f"{page}/bind", {"role": "operator", "scope": north, "days": "7"}).status_code == 303
    held = data(estate, admin, page)["bindings"]
    assert [(one["role"], one["where"]) for one in held] == [("operator", "north")]
    assert ask(estate, admin, f"{page}/unbind", {"binding": held[0]["id"]}).status_code == 303
    assert ask(estate, admin, f"{page}/disable", {}).status_code == 303
    assert data(estate, admin, page)["sentence"] == "Nils Öberg is disabled and cannot sign in."
    own = ask(estate, admin, f"/people/{admin.person.id}/bind", {"role": "operator", "scope": north})
    assert own.status_code == 403
    assert "Nobody gives rights to themselves." in own.text


def test_a_place_is_added_under_what_it_belongs_to(estate: Plant) -> None:
    admin, north = estate.users["north", "platform-admin"], estate.organisations["north"]
    assert ask(estate, admin, "/fleet", {"place": north, "name": "Visby"}).status_code == 303
    items = data(estate, admin, "/fleet")["items"]
    assert [(one["name"], one["kind"]) for one in items] == [("north", "organisation"), ("Visby", "site")]


def test_refusals_stand_in_the_frame(estate: Plant) -> None:
    answer = ask(estate, estate.users["north", "viewer"], "/people")
    assert answer.status_code == 403
    assert "No role of yours holds person.read here and now." in answer.text
    assert 'class="rail"' in answer.text
    missing = ask(estate, estate.users["north", "viewer"], "/no/such/page")
    assert (missing.status_code, "There is no such page." in missing.text) == (404, True)


def test_a_database_that_is_away_is_said_calmly(estate: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estate.db, "_engine", Away())
    answer = ask(estate, estate.users["north", "viewer"], "/today")
    assert answer.status_code == 503
    assert "The plane cannot reach its database." in answer.text
    assert "Try again" in answer.text


@pytest.mark.parametrize("path", ["/audit?actor=%00", "/find?q=%00", "/today?scope=%00", "/rollouts/%00"])
def test_text_that_no_database_keeps_is_refused(estate: Plant, path: str) -> None:
    assert ask(estate, estate.users["north", "auditor"], path).status_code in {404, 422}


def test_every_page_says_what_it_asks_for(estate: Plant) -> None:
    app = estate.door._app
    public = {path for _, path, need in auth.routes(app) if need is Need.PUBLIC}  # type: ignore[arg-type]
    assert {"/", "/sign-in", "/static/{name}"} <= public
    assert {path for path in public if not path.startswith(("/api/", "/static/"))} == {
        "/",
        "/sign-in",
        "/healthz",
        "/readyz",
        "/ca.pem",
    }


def test_static_files_may_be_kept_because_their_address_holds_their_digest(estate: Plant) -> None:
    page = ask(estate, None, "/sign-in").text
    address = re.search(r"/static/checkvalve\.css\?v=[0-9a-f]{12}", page)
    assert address is not None
    answer = ask(estate, None, address.group())
    assert "immutable" in answer.headers["cache-control"]
    assert ask(estate, None, "/static/../app.py").status_code == 404


def test_a_device_shows_its_part_and_the_release_its_rollouts(estate: Plant) -> None:
    course = Course(estate).stand("pump-1", "pump-2").begin()
    (canary,) = course.wave(0)
    course.ends(canary, Outcome.ROLLED_BACK, EXITED)
    said = data(course.plant, course.operator, f"/devices/{course.devices[canary].id}")
    assert said["rollout"]["name"] == "Autumn patch"
    assert said["rollout"]["words"] == "Canary wave, rolled back."
    assert said["rollout"]["receipt_href"].endswith("#receipt")
    release = data(course.plant, course.operator, f"/releases/{course.release.id}")
    assert [(one["name"], one["progress"]) for one in release["rollouts"]] == [
        ("Autumn patch", "0 of 2 devices, canary wave")
    ]
    assert "Autumn patch" in ask(course.plant, course.operator, f"/releases/{course.release.id}").text


RELEASE = "edge-base@sha256:" + "a" * 64


class Away:
    """An engine that is not there: its files were taken away under it."""

    def read(self, _: object) -> object:
        raise unavailable(OSError())

    write = read


def waiting(plant: Plant) -> tuple[str, str]:
    """Propose a rollout in the north; return its id and its approval's."""
    return plant.rollout(plant.organisations["north"], plant.users["north", "operator"].person, proposed=True)


def by_name(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in items}


def escaped(text: Json) -> str:
    return str(text).replace("&", "&amp;").replace("'", "&#39;").replace('"', "&#34;")
