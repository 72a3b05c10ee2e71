# SPDX-License-Identifier: Apache-2.0
"""The page of one device: what it says first, what it shows of what the device told and signed, what its forms do."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from checkvalve.crypto import keys
from checkvalve.ids import DeviceId
from checkvalve.protocol.exchange import Event, Listening, State, Workload
from checkvalve.protocol.receipt import Seen
from checkvalve.server.access.model import ScopeKind
from checkvalve.server.audit.model import Kind
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Device, Trust
from tests.parts import fleet
from tests.server.web import gear, goods
from tests.server.web.pages.test_pages import HTML, ask, by_name, data
from tests.server.web.plant import ORIGIN, ROLES, Plant, User, door

pytestmark = pytest.mark.slow

DEEDS = ("describe", "quarantine", "accept", "retire")


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


@pytest.fixture
def pump(plant: Plant) -> Device:
    """Return a device that joined at a site of the north and was never heard."""
    return gear.device(plant, gear.site(plant, plant.organisations["north"], "Visby"), "pump-07", tags=("pump",))


def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


def shown(plant: Plant, device: Device, query: str = "", user: User | None = None) -> dict[str, Any]:
    return data(plant, user or operator(plant), f"/devices/{device.id}{query}")


def page(plant: Plant, device: Device, query: str = "", user: User | None = None) -> str:
    return ask(plant, user or operator(plant), f"/devices/{device.id}{query}").text


def press(plant: Plant, device: Device, deed: str, user: User | None = None, **form: str) -> httpx.Response:
    return ask(plant, user or operator(plant), f"/devices/{device.id}/{deed}", form)


def now_is(plant: Plant, device: Device) -> Device:
    return plant.db.read_now("device", fleet_queries.device, device.id)


def box(service: str = "web", **more: Any) -> Workload:  # noqa: ANN401 - of the container
    return Workload(service=service, image=gear.IMAGE, **{"state": "running", "health": "healthy", **more})


def runs(plant: Plant, device: Device, *boxes: Workload, **status: Any) -> None:  # noqa: ANN401 - of the status
    """Let a device be heard running a release."""
    fields = {"state": State.COMMITTED, "active": gear.RELEASE, "workloads": boxes or (box(),), **status}
    gear.heard(plant, device, **fields)


# What it says first


def test_one_that_never_reported_says_so_and_where_to_look(plant: Plant, pump: Device) -> None:
    said = shown(plant, pump)
    assert said["sentence"] == "pump-07 has joined and never reported."
    assert "checkvalve-agent status" in said["next_why"]
    assert said["detail"] == "In north / Visby; never seen."


def test_one_that_was_heard_and_said_nothing_of_itself_says_so(plant: Plant, pump: Device) -> None:
    gear.heard(plant, pump)
    said = shown(plant, pump)
    assert said["sentence"] == "pump-07 reports, and has not said yet what it runs."
    assert "of its containers nothing is known yet" in said["next_why"]


def test_one_that_is_well_says_what_runs_and_that_it_is_healthy(plant: Plant, pump: Device) -> None:
    release = goods.published(plant, "north")
    runs(plant, pump, box("a"), box("b"), active=release.digest, previous=gear.RELEASE)
    said = shown(plant, pump)
    name = f"{release.name} {release.version}"
    assert said["sentence"] == f"pump-07 runs {name}; all 2 containers are healthy."
    assert (said["next_shape"], said["next_why"]) == ("ok", f"It can return to {'b' * 12}.")
    assert said["active"]["name"] == name
    assert f'href="/releases/{release.id}"' in page(plant, pump)


def test_healthy_is_said_only_of_what_the_engine_calls_healthy(plant: Plant, pump: Device) -> None:
    runs(plant, pump, box(health=""))
    assert shown(plant, pump)["sentence"] == f"pump-07 runs {'b' * 12}; its container runs."


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (box(health="unhealthy"), "web: unhealthy."),
        (box(state="restarting", health=""), "web: restarting."),
        (box(state="dead", health=""), "web: dead."),
    ],
)
def test_a_container_that_is_not_well_comes_before_healthy(
    plant: Plant, pump: Device, container: Workload, words: str
) -> None:
    runs(plant, pump, container, box("other"))
    said = shown(plant, pump)
    assert said["sentence"] == f"pump-07 runs {'b' * 12}, and a container is not well."
    assert (said["next"], said["next_shape"]) == (words, "bad")


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (box(crashes=1), "web: crashed once."),
        (box(crashes=4, exit=139, restarts=4), "web: crashed 4 times, last exit 139."),
        (box(crashes=4, exit=137, oom=True), "web: crashed 4 times, killed because memory ran out."),
        (box(crashes=2, since=2**53 - 1), "web: crashed 2 times."),
        (box(crashes=2, state="exited", health=""), "web: exited, crashed 2 times."),
    ],
    ids=["once", "exit", "memory", "no-date", "stays-down"],
)
def test_a_service_that_crashes_comes_before_how_its_last_attempt_ended(
    plant: Plant, pump: Device, container: Workload, words: str
) -> None:
    runs(plant, pump, box("other"), container, state=State.ROLLED_BACK, reason="It exited.")
    said = shown(plant, pump)
    assert said["sentence"] == f"pump-07 runs {'b' * 12}, and a service of it crashes."
    assert (said["next"], said["next_shape"], said["condition"]) == (words, "bad", "crashing")
    assert said["attempt"]["state"] == "rolled_back"


def test_a_container_that_ended_is_wrong_if_its_release_keeps_it_running(plant: Plant, pump: Device) -> None:
    release = goods.published(plant, "north")
    (service,) = by_name(shown_services(plant, release.id))
    runs(plant, pump, box(service, state="exited", health=""), box(), active=release.digest)
    assert "a container is not well" in shown(plant, pump)["sentence"]
    runs(plant, pump, box("unknown", state="exited", health=""), box(), active=release.digest)
    assert shown(plant, pump)["next_shape"] == "ok"


def test_a_trouble_that_it_reports_comes_before_healthy(plant: Plant, pump: Device) -> None:
    runs(plant, pump, code="trust.stale", reason="What the plane signed is too old.")
    said = shown(plant, pump)
    assert said["sentence"].endswith("and reports a trouble.")
    assert said["next"] == "What the plane signed is too old."


def test_a_quarantined_one_says_why_and_offers_to_accept_it_first(plant: Plant, pump: Device) -> None:
    runs(plant, pump)
    gear.quarantine(plant, pump.id)
    said = shown(plant, pump)
    assert said["sentence"] == "pump-07 is quarantined: nothing it says is taken."
    assert said["next"] == "Why: The cabinet was found open."
    assert [one["name"] for one in said["deeds"] if one["enabled"]] == ["accept", "describe", "retire"]
    assert [one["shape"] for one in said["boxes"]] == ["unknown"]


def test_a_degraded_one_says_why_even_after_it_fell_silent(plant: Plant, pump: Device) -> None:
    runs(plant, pump, state=State.DEGRADED, reason="No space left.")
    plant.later(days=3)
    plant.users["north", "operator"] = plant.sign_in(operator(plant).person)
    said = shown(plant, pump)
    assert said["sentence"] == "pump-07 is degraded: its change failed, and so did the way back."
    assert (said["next"], said["next_shape"]) == ("No space left.", "bad")
    assert said["detail"] == "In north / Visby; last seen 3 days ago. What follows is what it said then."


def test_a_silent_one_says_since_when_and_what_it_ran(plant: Plant, pump: Device) -> None:
    runs(plant, pump)
    plant.later(hours=5)
    plant.users["north", "operator"] = plant.sign_in(operator(plant).person)
    said = shown(plant, pump)
    assert said["sentence"] == "pump-07 is silent; it was last heard 5 h ago."
    assert said["next"].endswith(f"it ran {'b' * 12}.")
    assert said["next_why"].startswith("It is to report every 1 min.")
    assert [one["shape"] for one in said["boxes"]] == ["unknown"]


def test_a_late_one_is_not_called_healthy(plant: Plant, pump: Device) -> None:
    runs(plant, pump)
    plant.later(seconds=150)
    assert shown(plant, pump)["sentence"] == "pump-07 is late; it was last heard 2 min ago."


def test_one_that_observes_says_so(plant: Plant, pump: Device) -> None:
    gear.heard(plant, pump, state=State.IDLE, observe=True)
    assert shown(plant, pump)["sentence"] == "pump-07 only observes, and runs no release of this plane."


def test_a_retired_one_offers_nothing(plant: Plant, pump: Device) -> None:
    assert press(plant, pump, "retire", reason="Scrapped.", typed="pump-07").status_code == 303
    said = shown(plant, pump)
    assert said["sentence"] == "pump-07 is retired."
    assert said["next"].endswith("Scrapped.")
    assert not any(one["enabled"] for one in said["deeds"])


@pytest.mark.parametrize("state", State)
def test_every_state_of_an_attempt_has_its_sentence(plant: Plant, pump: Device, state: State) -> None:
    runs(plant, pump, state=state, attempt=plant.new_id(), release=gear.RELEASE, reason="It exited.")
    said = shown(plant, pump)
    assert said["sentence"].startswith("pump-07 ")
    assert said["attempt"]["state_word"] in page(plant, pump)


def test_an_order_that_waits_is_told_with_its_release(plant: Plant, pump: Device) -> None:
    release = goods.published(plant, "north")
    plant.db.write_now("assign", fleet.assigned, plant.new_id, pump.id, release.id, plant.time)
    assert shown(plant, pump)["ordered"] == f"{release.name} {release.version}"
    assert "is ordered; it takes the order at its next report." in page(plant, pump)


# Facts


@pytest.mark.parametrize(
    ("offset", "words", "warns"),
    [
        (None, "not known yet", False),
        (90_000, "within 1 min of the plane's", False),
        (-200, "within 1 s of the plane's", False),
        (740_000, "12 min ahead of the plane's", True),
        (-3_600_000 * 30, "30 h behind the plane's", True),
        (2**53, "36,500 days ahead of the plane's", True),
    ],
)
def test_a_clock_that_is_off_by_over_two_minutes_is_said_in_words(
    plant: Plant, pump: Device, offset: int | None, words: str, *, warns: bool
) -> None:
    plant.db.write_now("clock", fleet_writes.visited, pump.id, {"offset": offset})
    said = shown(plant, pump)
    assert (said["clock"], bool(said["clock_is"])) == (words, warns)


def test_facts_name_the_certificate_the_key_and_the_invite(plant: Plant, pump: Device) -> None:
    said = shown(plant, pump)
    assert said["certificate"] == "number 1, good until 4 Nov 2026 12:00:00 UTC"
    assert (said["key"], said["invite"]) == (pump.key, pump.invite)
    assert pump.invite[-6:] in said["joined_by"]
    plant.later(days=2)
    plant.users["north", "operator"] = plant.sign_in(operator(plant).person)
    assert shown(plant, pump)["certificate"] == "number 1, ended 24 h ago; it renews at its next visit"


def test_listening_sockets_are_the_hosts_and_counted_by_who_reaches_them(plant: Plant, pump: Device) -> None:
    sockets = (("tcp", "0.0.0.0", 22), ("tcp", "127.0.0.1", 631), ("udp", "::1", 53), ("tcp", "<odd>", 9))
    listeners = tuple(Listening(protocol=kind, address=at, port=port) for kind, at, port in sockets)  # type: ignore[arg-type]
    runs(plant, pump, listeners=listeners)
    said = shown(plant, pump)["sockets"]
    assert said["sentence"] == "Host: 4 sockets listen, 2 of them reachable from outside."
    assert "&lt;odd&gt;" in page(plant, pump)
    assert "<odd>" not in page(plant, pump)


# What it told and signed


def told(plant: Plant, pump: Device, *events: Event, journal: str = "") -> None:
    gear.told(plant, pump, journal or plant.new_id(), *events)


def at(plant: Plant, ago: float = 0) -> int:
    return int((plant.time - timedelta(minutes=ago)).timestamp() * 1000)


def test_the_timeline_is_the_journal_newest_first_in_words(plant: Plant, pump: Device) -> None:
    attempt = plant.new_id()
    step = {"kind": "state", "attempt": attempt, "release": gear.RELEASE}
    told(
        plant,
        pump,
        Event(seq=1, at=at(plant, 9), kind="boot"),
        Event(seq=2, at=at(plant, 8), kind="order", attempt=attempt),
        Event(seq=3, at=at(plant, 7), state=State.SWITCHING, **step),  # type: ignore[arg-type]
        Event(seq=4, at=at(plant, 6), state=State.ROLLED_BACK, reason="<b>exited</b>", **step),  # type: ignore[arg-type]
    )
    lines = shown(plant, pump)["lines"]
    assert [line["word"] for line in lines] == ["rolled back", "switching", "accepted an order", "agent started"]
    assert (lines[0]["why"], lines[0]["what"], lines[0]["shape"]) == ("<b>exited</b>", "b" * 12, "bad")
    assert lines[0]["at"].startswith("2026-11-03T11:54:00")
    assert "&lt;b&gt;exited" in page(plant, pump)


def test_the_timeline_goes_on_where_it_stopped(plant: Plant, pump: Device) -> None:
    told(plant, pump, *(Event(seq=number, at=at(plant), kind="boot") for number in range(1, 26)))
    first = shown(plant, pump)
    assert [line["seq"] for line in first["lines"]] == list(range(25, 5, -1))
    second = data(plant, operator(plant), first["lines_older"].partition("#")[0])
    assert [line["seq"] for line in second["lines"]] == [5, 4, 3, 2, 1]
    assert (second["lines_older"], bool(second["lines_newest"])) == ("", True)


def test_a_clock_that_shows_no_date_there_is_does_no_harm(plant: Plant, pump: Device) -> None:
    told(plant, pump, Event(seq=1, at=2**53 - 1, kind="boot"))
    line = shown(plant, pump)["lines"][0]
    assert line["at"] == line["came_at"]


def test_the_newest_receipt_is_open_with_the_last_lines_of_what_failed(plant: Plant, pump: Device) -> None:
    gear.receipt(plant, pump, reason="web exited with code 3.")
    said = shown(plant, pump)
    assert [(one["outcome"], one["opened"]) for one in said["receipts"]] == [("rolled_back", True)]
    assert said["receipt"]["good"]
    service = said["receipt"]["said"]["services"][0]
    assert (service["logs"], service["exit"], service["wrong"]) == ("no\nluck", "3", "It exited.")
    text = page(plant, pump)
    assert '<pre class="bytes long" tabindex="0">no\nluck</pre>' in text
    assert "signed by this device&#39;s key" in text
    assert f"/api/v1/receipts/{said['receipt']['digest']}" in text


def test_logs_are_text_with_what_cannot_be_seen_spelled_out(plant: Plant, pump: Device) -> None:
    logs = "</pre><script>alert(1)</script>\x1b[31mred\u202eleft"
    seen = (Seen(service="<web>", image="", state="exited", wrong="It <exited>.", logs=logs),)
    gear.receipt(plant, pump, services=seen, reason="<reason>", data={"<data>": "<kept>"})
    text = page(plant, pump)
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\u001b[31mred\\u202eleft" in text
    for hostile in ("<script>alert", "<web>", "<exited>", "<reason>", "<data>", "<kept>"):
        assert hostile not in text


def test_an_older_receipt_is_opened_by_its_address(plant: Plant, pump: Device) -> None:
    first = gear.receipt(plant, pump, outcome=State.COMMITTED, reason="")
    plant.later(minutes=1)
    gear.receipt(plant, pump)
    rows = shown(plant, pump)["receipts"]
    older = data(plant, operator(plant), rows[1]["href"].partition("#")[0])["receipt"]
    assert (older["digest"], older["said"]["outcome"]) == (first.digest, "committed")


def test_receipts_go_on_where_they_stopped(plant: Plant, pump: Device) -> None:
    made = [gear.receipt(plant, pump).digest for _ in range(12)]
    first = shown(plant, pump)
    second = data(plant, operator(plant), first["receipts_older"].partition("#")[0])
    listed = [one["digest"] for one in (*first["receipts"], *second["receipts"])]
    assert (len(first["receipts"]), len(second["receipts"])) == (10, 2)
    assert set(listed) == set(made)


def test_the_receipt_of_another_device_is_not_opened_here(plant: Plant, pump: Device) -> None:
    own = gear.receipt(plant, pump)
    foreign = gear.receipt(plant, gear.device(plant, plant.organisations["south"]))
    for asked in (foreign.digest, "nonsense", "0" * 64):
        assert shown(plant, pump, f"?receipt={asked}")["receipt"]["digest"] == own.digest


def test_a_receipt_whose_signature_does_not_hold_is_not_shown_as_said(plant: Plant, pump: Device) -> None:
    gear.KEYS[pump.id], own = keys.make(), gear.KEYS[pump.id]
    gear.receipt(plant, pump)
    gear.KEYS[pump.id] = own
    said = shown(plant, pump)["receipt"]
    assert (said["good"], said["shape"], said["said"]) == (False, "bad", None)
    assert "its signature does not hold" in page(plant, pump)


# What can be done


def test_quarantine_and_accept_are_forms_with_a_reason(plant: Plant, pump: Device) -> None:
    assert press(plant, pump, "quarantine", reason="").status_code == 422
    assert press(plant, pump, "quarantine", reason="It was seen elsewhere.").status_code == 303
    assert (now_is(plant, pump).trust, plant.entries(1)[0].action) == (Trust.QUARANTINED, "device.quarantine")
    again = press(plant, pump, "quarantine", reason="Again.")
    assert (again.status_code, "The device is quarantined already." in again.text) == (409, True)
    assert press(plant, pump, "accept", reason="Looked at it.").status_code == 303
    assert now_is(plant, pump).trust is Trust.ACCEPTED


def test_whoever_retires_a_device_types_its_name(plant: Plant, pump: Device) -> None:
    wrong = press(plant, pump, "retire", reason="Replaced.", typed="pump-08")
    assert wrong.status_code == 422
    assert "The name that was typed is not that of this device." in wrong.text
    assert 'value="Replaced."' in wrong.text
    assert (now_is(plant, pump).trust, plant.entries(1)[0].kind) == (Trust.ACCEPTED, Kind.REFUSED)
    assert press(plant, pump, "retire", reason="Replaced.", typed=" PUMP-07 ").status_code == 303
    assert now_is(plant, pump).trust is Trust.RETIRED


def test_name_tags_and_place_are_edited_together(plant: Plant, pump: Device) -> None:
    hall = plant.scope(pump.scope, ScopeKind.AREA, "Hall")
    done = press(plant, pump, "describe", name="Pump <7>", tags="line=3, pump", place=hall)
    assert done.status_code == 303
    after = now_is(plant, pump)
    assert (after.name, after.tags, after.scope) == ("Pump <7>", ("line=3", "pump"), hall)
    assert "Pump &lt;7&gt;" in page(plant, pump)
    bad = press(plant, pump, "describe", name="Pump", tags="No Such Tag!", place=hall)
    assert (bad.status_code, 'value="No Such Tag!"' in bad.text) == (422, True)


def test_a_device_is_moved_only_to_where_one_may_put_it(plant: Plant, pump: Device) -> None:
    foreign = gear.site(plant, plant.organisations["south"])
    for elsewhere in (foreign, f"{plant.organisations['south']}{'0' * 26}/"):
        assert press(plant, pump, "describe", name="x", place=elsewhere).status_code == 403
    other = gear.site(plant, plant.organisations["north"], "Fårö")
    local = plant.user(plant.organisations["north"])
    plant.bind(local.person, "operator", pump.scope)
    plant.bind(local.person, "viewer", other)
    assert press(plant, pump, "describe", local, name="x", place=other).status_code == 403
    assert [one["value"] for one in shown(plant, pump, user=local)["places"]] == [pump.scope]
    assert now_is(plant, pump).scope == pump.scope


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_and_does_what_it_holds(plant: Plant, pump: Device, role: str) -> None:
    user, manages = plant.users["north", role], role in {"operator", "platform-admin"}
    assert ask(plant, user, f"/devices/{pump.id}").status_code == (403 if role == "none" else 200)
    if role != "none":
        assert any(one["enabled"] for one in shown(plant, pump, user=user)["deeds"]) == manages
    answer = press(plant, pump, "quarantine", user, reason="Why not.")
    assert answer.status_code == (303 if manages else 403)


def test_a_device_of_another_organisation_reads_like_one_that_is_not_there(plant: Plant, pump: Device) -> None:
    stranger = plant.users["south", "platform-admin"]
    for ident in (pump.id, "0" * 26, "%00", "x"):
        assert ask(plant, stranger, f"/devices/{ident}").status_code in {404, 422}, ident
    hidden, absent = (ask(plant, stranger, f"/devices/{ident}.json").json() for ident in (pump.id, "0" * 26))
    assert {**hidden, "request": ""} == {**absent, "request": ""}
    for deed in DEEDS:
        assert press(plant, pump, deed, stranger, reason="x", typed="pump-07", name="x").status_code == 404, deed
    assert now_is(plant, pump).trust is Trust.ACCEPTED


def test_a_form_without_the_sessions_token_changes_nothing(plant: Plant, pump: Device) -> None:
    for deed in DEEDS:
        assert press(plant, pump, deed, reason="x", typed="pump-07", name="y", csrf="").status_code == 403
    assert (now_is(plant, pump).trust, now_is(plant, pump).name) == (Trust.ACCEPTED, "pump-07")


def test_what_one_decides_is_known_to_the_listeners_before_the_answer(plant: Plant, pump: Device) -> None:
    headers = {**HTML, **operator(plant).headers, "origin": ORIGIN}
    form = {"csrf": headers.pop("x-csrf-token"), "reason": "It was seen elsewhere."}

    async def decide() -> Trust:
        stop = asyncio.Event()
        watching = asyncio.create_task(plant.plane.presence.watch(plant.db, stop))
        async with plant.client(**headers) as client:
            await plant.plane.presence.stir()
            answer = await client.post(f"/devices/{pump.id}/quarantine", data=form)
        slot = plant.plane.presence.of(pump.id)
        stop.set()
        await watching
        assert answer.status_code == 303
        assert slot is not None
        return slot.standing.trust

    assert asyncio.run(decide()) is Trust.QUARANTINED


def test_the_record_of_a_device_is_shown_to_who_may_read_it(plant: Plant, pump: Device) -> None:
    act = plant.act(operator(plant).actor)
    plant.db.write_now("q", fleet_actions.quarantine, act, DeviceId(pump.id), "Seen elsewhere.")
    story = shown(plant, pump, user=plant.users["north", "auditor"])["story"]
    assert [line["verb"] for line in story] == ["quarantined the device", "joined"]
    assert shown(plant, pump)["story"] is None


def shown_services(plant: Plant, release: str) -> list[dict[str, Any]]:
    services: list[dict[str, Any]] = data(plant, operator(plant), f"/releases/{release}")["services_cards"]
    return services
