# SPDX-License-Identifier: Apache-2.0
"""Fleet, Today, Onboarding and search, as far as they speak of devices: what they count, show, hide and change."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from checkvalve.crypto import tokens
from checkvalve.protocol.exchange import State, Workload
from checkvalve.server.access.model import ScopeKind
from checkvalve.server.audit.model import Kind
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import queries as fleet_queries
from tests.server.web import gear, goods
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import ROLES, Plant, User, door

pytestmark = pytest.mark.slow

TOKEN = re.compile(r"--token (\S+)")


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


def visby(plant: Plant) -> str:
    return gear.site(plant, plant.organisations["north"], "Visby")


def retire(plant: Plant, ident: str) -> None:
    plant.db.write_now("retire", fleet_actions.retire, plant.act(), ident, "Scrapped.")  # type: ignore[arg-type]


def fleet(plant: Plant, query: str = "", user: User | None = None) -> dict[str, Any]:
    return data(plant, user or operator(plant), f"/fleet{query}")


def names(plant: Plant, query: str = "") -> list[str]:
    return [one["name"] for one in fleet(plant, query)["devices"]]


def mixed(plant: Plant) -> str:
    """Put a device in each of some states at one site; return its path."""
    here = visby(plant)
    gear.device(plant, here, "never")
    gear.heard(plant, gear.device(plant, here, "gone"), state=State.COMMITTED, active=gear.RELEASE)
    plant.later(days=1)
    locked = gear.device(plant, here, "locked", tags=("gate",))
    gear.heard(plant, locked, state=State.COMMITTED)
    gear.quarantine(plant, locked.id)
    gear.heard(plant, gear.device(plant, here, "well", tags=("line=3", "pump")), state=State.COMMITTED)
    gear.heard(plant, gear.device(plant, here, "busy", tags=("pump",)), state=State.FETCHING)
    gear.heard(plant, gear.device(plant, here, "stuck"), state=State.DEGRADED, reason="No <space> left.")
    gear.heard(plant, gear.device(plant, here, "back"), state=State.ROLLED_BACK, reason="It exited.")
    retire(plant, gear.device(plant, here, "scrapped").id)
    plant.users["north", "operator"] = plant.sign_in(operator(plant).person)
    return here


# Counts


def test_the_headline_says_how_many_report_and_what_is_wrong_the_worst_first(plant: Plant) -> None:
    mixed(plant)
    assert fleet(plant)["sentence"] == (
        "4 of 7 devices report; 1 is degraded, 1 is quarantined, 1 rolled back or refused, 1 is silent, "
        "1 was never seen, 1 is changing."
    )


def test_each_place_counts_what_lies_below_it_and_nothing_retired(plant: Plant) -> None:
    site = visby(plant)
    area = plant.scope(site, ScopeKind.AREA, "Hall")
    gear.heard(plant, gear.device(plant, site))
    gear.heard(plant, gear.device(plant, area))
    retire(plant, gear.device(plant, area).id)
    empty = gear.site(plant, plant.organisations["north"], "Fårö")
    found = {one["path"]: (one["devices"], one["well"]) for one in fleet(plant)["items"]}
    assert found == {
        plant.organisations["north"]: (2, True),
        site: (2, True),
        area: (1, True),
        empty: (0, False),
    }


def test_every_number_leads_to_the_rows_that_it_counts(plant: Plant) -> None:
    here = mixed(plant)
    said = fleet(plant)
    site = next(one for one in said["items"] if one["path"] == here)
    for part in site["how"]:
        assert len(fleet(plant, part["href"].partition("/fleet")[2].partition("#")[0])["devices"]) == part["count"]
    for chip in said["chips"]:
        count = int(chip["label"].rpartition(" ")[2])
        assert fleet(plant, chip["href"].partition("/fleet")[2].partition("#")[0])["devices_n"] == count


def test_a_bar_is_as_long_as_its_devices_and_shows_the_rarest(plant: Plant) -> None:
    here = visby(plant)
    for number in range(30):
        gear.heard(plant, gear.device(plant, here), state=State.DEGRADED if number == 7 else State.COMMITTED)
    bar = next(one for one in fleet(plant)["items"] if one["path"] == here)["bar"]
    assert [part["shape"] for part in bar] == ["bad", "ok"]
    assert bar[0]["width"] >= 10
    assert 990 <= sum(part["width"] for part in bar) <= 1_000


# The list


def test_a_row_says_in_words_and_shapes_how_a_device_is(plant: Plant) -> None:
    mixed(plant)
    rows = {one["name"]: one for one in fleet(plant)["devices"]}
    assert {name: (one["shape"], one["word"]) for name, one in rows.items()} == {
        "back": ("ok", "online"),
        "busy": ("ok", "online"),
        "gone": ("unknown", "silent"),
        "locked": ("warn", "quarantined"),
        "never": ("unknown", "never seen"),
        "stuck": ("ok", "online"),
        "well": ("ok", "online"),
    }
    assert (rows["stuck"]["state_shape"], rows["stuck"]["reason"]) == ("bad", "No <space> left.")
    assert "No &lt;space&gt; left." in ask(plant, operator(plant), "/fleet").text


def test_what_was_verified_by_a_silent_device_is_not_green(plant: Plant) -> None:
    mixed(plant)
    rows = {one["name"]: one for one in fleet(plant)["devices"]}
    assert (rows["gone"]["state_shape"], rows["gone"]["state_word"]) == ("unknown", "verified, when last heard")
    assert (rows["well"]["state_shape"], rows["well"]["state_word"]) == ("ok", "verified")


def test_the_address_narrows_the_list(plant: Plant) -> None:
    mixed(plant)
    assert names(plant, "?text=PUMP") == ["busy", "well"]
    assert names(plant, "?tag=pump+line%3D3") == ["well"]
    assert names(plant, "?heard=never_seen") == ["never"]
    assert names(plant, "?trust=quarantined") == ["locked"]
    assert names(plant, "?is=degraded") == ["stuck"]
    assert names(plant, "?text=pump&is=changing") == ["busy"]
    assert names(plant, "?text=nothing") == []
    assert names(plant, "?is=nonsense&trust=nonsense&heard=&sort=nonsense&after=nonsense") == []
    assert "Ask for less" in ask(plant, operator(plant), "/fleet?text=nothing").text


def test_a_retired_device_is_listed_when_it_is_asked_for(plant: Plant) -> None:
    mixed(plant)
    assert "scrapped" not in names(plant)
    assert names(plant, "?trust=retired") == ["scrapped"]
    assert names(plant, "?is=retired") == ["scrapped"]


def test_the_longest_silent_come_first_if_asked(plant: Plant) -> None:
    mixed(plant)
    assert names(plant, "?sort=silent")[:2] == ["never", "gone"]
    assert names(plant)[0] == "back"


def test_a_release_is_called_by_its_name_where_it_is_known(plant: Plant) -> None:
    release, here = goods.published(plant, "north"), visby(plant)
    foreign = goods.published(plant, "south")
    gear.heard(plant, gear.device(plant, here, "a"), state=State.COMMITTED, active=release.digest)
    gear.heard(plant, gear.device(plant, here, "b"), state=State.COMMITTED, active=gear.RELEASE)
    gear.heard(plant, gear.device(plant, here, "c"), state=State.COMMITTED, active=foreign.digest)
    runs = [one["runs"] for one in fleet(plant)["devices"]]
    hidden = foreign.digest.removeprefix("sha256:")[:12]
    assert runs == [f"{release.name} {release.version}", "b" * 12, hidden]


def test_fifty_devices_are_shown_and_a_press_shows_the_next(plant: Plant) -> None:
    here = visby(plant)
    made = sorted(gear.device(plant, here, f"pump-{number:03}").name for number in range(53))
    first = fleet(plant, "?text=pump")
    assert ([one["name"] for one in first["devices"]], first["shown"]) == (made[:50], "50 of 53 shown.")
    second = data(plant, operator(plant), first["next_href"].partition("#")[0])
    assert ([one["name"] for one in second["devices"]], second["next_href"]) == (made[50:], "")
    assert "text=pump" in second["first_href"]


def test_another_organisation_sees_no_device_and_counts_none(plant: Plant) -> None:
    gear.device(plant, visby(plant), "secret-pump")
    stranger = plant.users["south", "operator"]
    for path in ("/fleet", "/fleet?text=secret", "/today", "/onboarding", "/find?q=secret-pump"):
        assert "secret-pump</a>" not in ask(plant, stranger, path).text, path
    assert fleet(plant, user=stranger)["sentence"] == "No site yet, and no device."
    assert data(plant, stranger, "/today")["cards"][0]["number"] == "0"


def test_a_place_in_the_address_narrows_devices_and_counts(plant: Plant) -> None:
    site, other = visby(plant), gear.site(plant, plant.organisations["north"], "Fårö")
    gear.heard(plant, gear.device(plant, site, "here"))
    gear.heard(plant, gear.device(plant, other, "there"))
    said = fleet(plant, f"?scope={site}")
    assert (said["sentence"], [one["name"] for one in said["devices"]]) == ("The one device reports.", ["here"])


def test_an_empty_fleet_says_how_the_first_device_joins(plant: Plant) -> None:
    visby(plant)
    may = ask(plant, operator(plant), "/fleet").text
    assert "No device has joined here yet." in may
    assert "checkvalve device invite --site SITE" in may
    unmay = ask(plant, plant.users["north", "viewer"], "/fleet").text
    assert "checkvalve device invite" not in unmay
    assert 'action="/fleet/invite"' not in unmay


def test_what_a_device_calls_itself_stays_text(plant: Plant) -> None:
    gear.heard(plant, gear.device(plant, visby(plant), '<img src=x onerror="x">'))
    text = ask(plant, operator(plant), "/fleet").text
    assert "<img" not in text
    assert "&lt;img src=x" in text


# Invites


def test_an_invite_is_made_by_a_form_and_its_line_shown_this_once(plant: Plant) -> None:
    here = visby(plant)
    form = {"place": here, "tags": "pump line=3", "uses": "3", "hours": "8", "link": "async", "observe": "yes"}
    answer = ask(plant, operator(plant), "/fleet/invite", form)
    assert answer.status_code == 200
    found = TOKEN.search(answer.text)
    assert found is not None
    token = found.group(1)
    invite = plant.db.read_now("i", fleet_queries.invite_by_digest, tokens.digest(token))
    assert invite is not None
    assert (invite.scope, invite.tags, invite.uses) == (here, ("line=3", "pump"), 3)
    assert (invite.link.value, invite.observe) == ("async", True)
    assert (invite.ends_at - invite.made_at).total_seconds() == 8 * 3600
    assert "It lets 3 devices join north / Visby" in answer.text
    assert token not in ask(plant, operator(plant), "/fleet").text
    assert all(token.encode() not in entry.data for entry in plant.entries(10))


@pytest.mark.parametrize("uses", ["0", "1001", "-1", "many", "9" * 5_000, ""])
def test_an_invite_that_cannot_be_is_refused_with_what_was_typed(plant: Plant, uses: str) -> None:
    form = {"place": visby(plant), "tags": "pump", "uses": uses, "hours": "8"}
    answer = ask(plant, operator(plant), "/fleet/invite", form)
    assert answer.status_code == 422
    assert "An invite serves 1 to 1000 devices." in answer.text
    assert 'value="pump"' in answer.text


def test_whoever_may_not_invite_is_refused_and_elsewhere_nothing_is_there(plant: Plant) -> None:
    form = {"place": visby(plant), "uses": "1", "hours": "1"}
    for role in ROLES:
        answer = ask(plant, plant.users["north", role], "/fleet/invite", form)
        allowed = {"operator": 200, "platform-admin": 200}.get(role, 403)
        assert answer.status_code == allowed, role
        assert ("--token" in answer.text) == (allowed == 200)
    assert ask(plant, plant.users["south", "operator"], "/fleet/invite", form).status_code == 404
    assert plant.entries(1)[0].kind is Kind.REFUSED


def test_onboarding_counts_the_open_invites_and_revokes_one(plant: Plant) -> None:
    here = visby(plant)
    assert data(plant, operator(plant), "/onboarding")["sentence"] == "No invite is open."
    first, _ = gear.invite(plant, here, uses=4)
    gear.invite(plant, here, minutes=5)
    said = data(plant, operator(plant), "/onboarding")
    assert (said["sentence"], said["detail"]) == ("2 invites are open.", "5 more devices can join with them.")
    plant.later(minutes=10)
    assert [one["id"] for one in data(plant, operator(plant), "/onboarding")["items"]] == [first.id]
    viewer, path = plant.users["north", "viewer"], f"/onboarding/{first.id}/revoke"
    assert ask(plant, viewer, path, {}).status_code == 403
    assert ask(plant, plant.users["south", "operator"], path, {}).status_code == 404
    assert ask(plant, operator(plant), path, {}).status_code == 303
    assert data(plant, operator(plant), "/onboarding")["items"] == []
    assert data(plant, viewer, "/onboarding")["sentence"] == "Invites are shown to who may invite devices."


# Today and search


def test_today_lists_the_devices_that_need_somebody_for_who_may_act(plant: Plant) -> None:
    mixed(plant)
    said = data(plant, operator(plant), "/today")
    assert said["sentence"] == "2 devices need somebody."
    assert [(one["label"], one["shape"], one["what"]) for one in said["needs"]] == [
        ("Degraded: stuck", "bad", "No <space> left."),
        ("Quarantined: locked", "warn", "The cabinet was found open."),
    ]
    assert '<span class="pill">2</span>' in ask(plant, operator(plant), "/rollouts").text
    viewer = plant.sign_in(plant.users["north", "viewer"].person)
    assert data(plant, viewer, "/today")["needs"] == []
    assert data(plant, viewer, "/today")["sentence"] == "Nothing waits for you."


def test_today_says_which_services_crash_the_worst_first_to_all_who_see_the_devices(plant: Plant) -> None:
    here, other = visby(plant), gear.site(plant, plant.organisations["south"], "Ystad")
    box = Workload(service="web", image=gear.IMAGE, state="running", health="healthy")
    boxes = (structs.replace(box, crashes=1), structs.replace(box, service="db", crashes=9, exit=139))
    gear.heard(plant, gear.device(plant, here, "one"), state=State.REFUSED, workloads=boxes[:1])
    gear.heard(plant, gear.device(plant, here, "both"), state=State.COMMITTED, workloads=boxes)
    gear.heard(plant, gear.device(plant, here, "quiet"), state=State.COMMITTED, workloads=(box,))
    gear.heard(plant, gear.device(plant, other, "foreign"), state=State.COMMITTED, workloads=boxes)
    for user in (operator(plant), plant.users["north", "viewer"]):
        said = data(plant, user, "/today")
        assert said["sentence"] == "2 devices have a service that crashes."
        assert [(one["label"], one["what"]) for one in said["crashing"]] == [
            ("Crashes: both", "db: crashed 9 times, last exit 139; web: crashed once"),
            ("Crashes: one", "web: crashed once"),
        ]
        assert (said["cards"][0]["state"], said["cards"][0]["word"]) == ("bad", "2 have a service that crashes")
    listed = data(plant, operator(plant), said["crashing_href"].partition("#")[0])
    assert [one["crashing"] for one in listed["devices"]] == ["2 services crash", "a service crashes"]
    assert [(one["name"], one["reason"]) for one in listed["devices"]] == [
        ("both", "db: crashed 9 times, last exit 139; web: crashed once"),
        ("one", "web: crashed once"),
    ]
    assert "All 2 in the fleet" in ask(plant, operator(plant), "/today").text
    plant.later(hours=1)
    again = data(plant, plant.sign_in(operator(plant).person), "/today")
    assert (again["crashing"], again["sentence"]) == ([], "Nothing waits for you.")  # of the silent nothing is known


def test_todays_card_counts_who_reports_and_tells_the_worst(plant: Plant) -> None:
    mixed(plant)
    card = data(plant, operator(plant), "/today")["cards"][0]
    assert (card["number"], card["unit"], card["state"], card["word"]) == (
        "4",
        "of 7 devices report",
        "bad",
        "1 is degraded",
    )
    assert "1 is silent" in card["text"]
    empty = data(plant, plant.sign_in(plant.users["south", "viewer"].person), "/today")
    assert empty["cards"][0]["word"] == "none yet"


def test_what_devices_do_reads_as_a_sentence_in_the_record(plant: Plant) -> None:
    made = gear.device(plant, visby(plant), "pump-07")
    gear.receipt(plant, made)
    gear.quarantine(plant, made.id)
    admin = plant.users["north", "platform-admin"]
    told = [f"{one['verb']} {one['object']}".strip() for one in data(plant, admin, "/today")["recent"]]
    assert told[:3] == ["quarantined the device pump-07", "signed a receipt: rolled back", "joined"]
    assert "invited devices to north / Visby" in told


def test_search_finds_a_device_by_name_tag_and_id(plant: Plant) -> None:
    made = gear.device(plant, visby(plant), "pump-07", tags=("chlorine",))
    for asked in ("PUMP-0", "chlor", made.id, made.id[-6:]):
        found = data(plant, operator(plant), f"/find?q={asked}")["items"]
        assert [(one["kind"], one["name"]) for one in found if one["kind"] == "device"] == [("device", "pump-07")], (
            asked
        )
