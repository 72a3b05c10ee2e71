# SPDX-License-Identifier: Apache-2.0
"""Invites and devices over HTTP, as people and their programs meet them."""

import asyncio
import hashlib
import shlex
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from checkvalve import canonical
from checkvalve.crypto import envelope, tokens
from checkvalve.protocol import exchange
from checkvalve.protocol import receipt as receipts
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import Event, State
from checkvalve.server.access.model import ScopeKind
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device
from tests.server.web import gear
from tests.server.web.plant import DEVICE_ORIGINS, Plant, User, without_ids

ABSENT = "0" * 25 + "1"


@pytest.fixture
def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


@pytest.fixture
def visby(plant: Plant) -> str:
    return gear.site(plant, plant.organisations["north"], "Visby")


def _send(plant: Plant, user: User, method: str, path: str, body: object = None, **query: Any) -> httpx.Response:  # noqa: ANN401
    async def send() -> httpx.Response:
        async with plant.client(**user.headers) as client:
            return await client.request(method, f"/api/v1/{path}", json=body, params=query)

    return asyncio.run(send())


def _get(plant: Plant, user: User, path: str, **query: Any) -> Any:  # noqa: ANN401 - JSON
    answer = _send(plant, user, "GET", path, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _names(plant: Plant, user: User, **query: Any) -> list[str]:  # noqa: ANN401
    return [one["name"] for one in _get(plant, user, "devices", **query)["items"]]


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# Invites


def test_an_invite_shows_its_token_once_in_the_line_to_type(plant: Plant, operator: User, visby: str) -> None:
    body = {"scope": visby, "tags": ["pump", "line=3"], "uses": 3, "minutes": 15, "link": "async", "observe": True}
    made = _send(plant, operator, "POST", "invites", body)
    assert made.status_code == 201, made.text
    said = made.json()
    assert tokens.join_well_formed(said["token"])
    assert said["tags"] == ["line=3", "pump"]
    assert (said["uses"], said["used"], said["link"], said["observe"], said["state"]) == (3, 0, "async", True, "open")
    assert said["ends_at"].startswith((plant.time + timedelta(minutes=15)).strftime("%Y-%m-%dT%H:%M"))
    servers = [word for origin in DEVICE_ORIGINS for word in ("--server", origin)]
    line = ["checkvalve-agent", "join", *servers, "--token", said["token"], "--ca-pin", plant.plane.ca_pin]
    assert shlex.split(said["command"]) == line
    listed = _send(plant, operator, "GET", "invites")
    assert [one["id"] for one in listed.json()["items"]] == [said["id"]]
    assert said["token"] not in listed.text
    digest = tokens.digest(said["token"])
    assert digest not in listed.text
    kept = plant.db.read_now("invite", lambda tx: fleet_queries.invite_by_digest(tx, digest))
    assert kept is not None
    assert (kept.id, kept.made_by) == (said["id"], operator.person.id)
    (entry,) = plant.entries(1)
    assert (entry.action, entry.subject, entry.scope) == ("device.invite", f"invite:{said['id']}", visby)
    assert said["token"].encode() not in entry.data
    assert digest.encode() not in entry.data


def test_an_invite_is_good_for_an_hour_unless_somebody_says_otherwise(plant: Plant, operator: User, visby: str) -> None:
    said = _send(plant, operator, "POST", "invites", {"scope": visby}).json()
    assert (said["uses"], said["link"], said["observe"]) == (1, "remote", False)
    plant.later(minutes=59)
    operator = plant.sign_in(operator.person)
    assert _get(plant, operator, "invites")["items"][0]["state"] == "open"
    plant.later(minutes=1)
    assert _get(plant, operator, "invites")["items"][0]["state"] == "ended"


def test_an_invite_says_whether_it_was_used_up_or_revoked(plant: Plant, operator: User, visby: str) -> None:
    gear.device(plant, visby)
    other, _ = gear.invite(plant, visby)
    assert _send(plant, operator, "DELETE", f"invites/{other.id}").status_code == 204
    found = _get(plant, operator, "invites")["items"]
    assert [one["state"] for one in found] == ["revoked", "used"]
    assert found[1]["used"] == 1
    again = _send(plant, operator, "DELETE", f"invites/{other.id}")
    assert again.status_code == 409, "it says so"
    (entry,) = plant.entries(1)
    assert (entry.action, entry.kind) == ("device.revoke_invite", "refused")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"uses": 0}, "request.invalid"),
        ({"uses": 1_001}, "request.invalid"),
        ({"minutes": 0}, "request.invalid"),
        ({"minutes": 7 * 24 * 60 + 1}, "request.invalid"),
        ({"link": "usb"}, "request.invalid"),
        ({"tags": ["Pump"]}, "tag.form"),
        ({"tags": ["a\0"]}, "request.invalid"),
        ({"secret": "x"}, "request.invalid"),
    ],
)
def test_an_invite_that_is_none_is_refused(
    plant: Plant, operator: User, visby: str, body: dict[str, Any], code: str
) -> None:
    answer = _send(plant, operator, "POST", "invites", {"scope": visby} | body)
    assert answer.status_code in {400, 422}
    assert answer.json()["code"] == code
    assert _get(plant, operator, "invites")["items"] == []


def test_devices_are_invited_to_sites_and_areas_only(plant: Plant, operator: User) -> None:
    north = plant.organisations["north"]
    assert _code(_send(plant, operator, "POST", "invites", {"scope": north})) == (422, "invite.scope")
    area = plant.scope(gear.site(plant, north), ScopeKind.AREA, "intake")
    assert _send(plant, operator, "POST", "invites", {"scope": area}).status_code == 201
    absent = _send(plant, operator, "POST", "invites", {"scope": f"{north}{ABSENT}/"})
    assert absent.status_code == 404


def test_who_may_invite_at_one_site_sees_the_invites_of_that_site_only(plant: Plant, visby: str) -> None:
    gear.invite(plant, gear.site(plant, plant.organisations["north"]))
    here, _ = gear.invite(plant, visby)
    local = plant.user(plant.organisations["north"])
    plant.bind(local.person, "operator", visby)
    assert [one["id"] for one in _get(plant, local, "invites")["items"]] == [here.id]


def test_invites_come_newest_first_in_stretches(plant: Plant, operator: User, visby: str) -> None:
    made = [gear.invite(plant, visby)[0].id for _ in range(3)]
    first = _get(plant, operator, "invites", limit=2)
    assert [one["id"] for one in first["items"]] == [made[2], made[1]]
    rest = _get(plant, operator, "invites", limit=2, before=first["next"])
    assert ([one["id"] for one in rest["items"]], rest["next"]) == ([made[0]], None)
    assert _get(plant, operator, "invites", before="nothing")["items"] == []


# Devices


def test_a_device_shows_what_it_runs_and_what_it_said(plant: Plant, operator: User, visby: str) -> None:
    device = gear.device(plant, visby, "pump-3", tags=("pump",))
    said = _get(plant, operator, f"devices/{device.id}")
    assert (said["name"], said["liveness"], said["trust"], said["status"]) == ("pump-3", "never_seen", "accepted", None)
    assert said["public"].startswith("-----BEGIN PUBLIC KEY-----")
    attempt = plant.new_id()
    gear.heard(plant, device, state=State.COMMITTED, attempt=attempt, active=gear.RELEASE)
    said = _get(plant, operator, f"devices/{device.id}")
    assert (said["liveness"], said["state"], said["attempt"]) == ("online", "committed", attempt)
    assert said["active"] == gear.RELEASE
    assert said["status"]["workloads"][0]["service"] == "web"
    assert (said["key"], said["generation"], said["link"], said["interval"]) == (device.key, 1, "remote", 60)
    (listed,) = _get(plant, operator, "devices")["items"]
    assert {name: said[name] for name in listed} == listed, "a list says the same, and less"


def test_devices_are_found_by_place_tag_trust_liveness_and_text(plant: Plant, operator: User, visby: str) -> None:
    ronneby = gear.site(plant, plant.organisations["north"], "Ronneby")
    gear.device(plant, visby, "Pump 1", tags=("pump", "old"))
    two = gear.device(plant, visby, "pump 2", tags=("pump",))
    three = gear.device(plant, ronneby, "gate 3", tags=("gate",))
    gear.device(plant, plant.organisations["south"], "pump south", tags=("pump",))
    plant.later(hours=-1)
    gear.heard(plant, three)
    plant.later(hours=1)
    gear.heard(plant, two)
    gear.quarantine(plant, three.id)
    assert _names(plant, operator) == ["gate 3", "Pump 1", "pump 2"]
    assert _names(plant, operator, scope=visby) == ["Pump 1", "pump 2"]
    assert _names(plant, operator, tag="pump") == ["Pump 1", "pump 2"]
    assert _names(plant, operator, tag=["pump", "old"]) == ["Pump 1"]
    assert _names(plant, operator, tag='pump"') == []
    assert _names(plant, operator, trust="quarantined") == ["gate 3"]
    assert _names(plant, operator, liveness="online") == ["pump 2"]
    assert _names(plant, operator, liveness="never_seen") == ["Pump 1"]
    assert _names(plant, operator, liveness="offline") == ["gate 3"]
    assert _names(plant, operator, text="PUMP") == ["Pump 1", "pump 2"]
    assert _names(plant, operator, text="%") == []
    assert _names(plant, operator, sort="silent") == ["Pump 1", "gate 3", "pump 2"]
    dying = exchange.Workload(service="web", image=gear.IMAGE, state="running", crashes=3)
    gear.heard(plant, two, state=State.COMMITTED, workloads=(dying,))
    assert _names(plant, operator, condition="crashing") == ["pump 2"]
    assert _names(plant, operator, condition=["crashing", "quarantined"]) == ["gate 3", "pump 2"]
    assert _names(plant, operator, sort="crashing")[0] == "pump 2"
    found = _get(plant, operator, f"devices/{two.id}")
    assert (found["condition"], found["crashing"]) == ("crashing", 1)
    for wrong in ({"trust": "loved"}, {"liveness": "dead"}, {"condition": "fine"}, {"sort": "size"}, {"limit": 0}):
        assert _code(_send(plant, operator, "GET", "devices", **wrong)) == (400, "request.invalid")


@pytest.mark.parametrize("sort", ["name", "silent", "crashing"])
def test_a_list_of_devices_goes_on_where_it_ended(plant: Plant, operator: User, visby: str, sort: str) -> None:
    devices = [gear.device(plant, visby, f"pump {number}") for number in range(5)]
    for device in devices[:3]:
        gear.heard(plant, device)
        plant.later(minutes=1)
    whole = _names(plant, operator, sort=sort)
    got: list[str] = []
    onward: str | None = ""
    while onward is not None:
        page = _get(plant, operator, "devices", sort=sort, limit=2, after=onward)
        got += [one["name"] for one in page["items"]]
        onward = page["next"]
    assert got == whole
    assert len(set(got)) == 5
    assert _names(plant, operator, after="nonsense") == []


def test_a_device_is_renamed_tagged_and_moved(plant: Plant, operator: User, visby: str) -> None:
    device = gear.device(plant, visby, "pump-3", tags=("pump",))
    ronneby = gear.site(plant, plant.organisations["north"], "Ronneby")
    named = _send(plant, operator, "PATCH", f"devices/{device.id}", {"name": "Pump 3"}).json()
    assert (named["name"], named["tags"], named["scope"]) == ("Pump 3", ["pump"], visby)
    tagged = _send(plant, operator, "PATCH", f"devices/{device.id}", {"tags": []}).json()
    assert (tagged["name"], tagged["tags"]) == ("Pump 3", [])
    moved = _send(plant, operator, "PATCH", f"devices/{device.id}", {"scope": ronneby}).json()
    assert (moved["name"], moved["scope"]) == ("Pump 3", ronneby)
    assert [entry.action for entry in plant.entries(3)] == ["device.describe"] * 3
    gear.device(plant, ronneby, "pump 4")
    taken = _send(plant, operator, "PATCH", f"devices/{device.id}", {"name": "PUMP 4"})
    assert _code(taken) == (409, "device.name_taken")


def test_moving_a_device_takes_the_right_at_both_places(plant: Plant, visby: str) -> None:
    north, south = plant.organisations["north"], plant.organisations["south"]
    device, ronneby = gear.device(plant, visby), gear.site(plant, north, "Ronneby")
    local = plant.user(north)
    plant.bind(local.person, "operator", visby)
    there = _send(plant, local, "PATCH", f"devices/{device.id}", {"scope": ronneby})
    assert _code(there) == (403, "access.denied")
    hidden = gear.site(plant, south)
    answers = [
        without_ids(_send(plant, local, "PATCH", f"devices/{device.id}", {"scope": path}))
        for path in (hidden, f"{south}{ABSENT}/")
    ]
    assert answers[0] == answers[1], "a place one may not see reads like one that is not there"
    assert _get(plant, local, f"devices/{device.id}")["scope"] == visby


def test_what_is_shut_out_and_let_in_again_says_why(plant: Plant, operator: User, visby: str) -> None:
    device = gear.device(plant, visby)
    why = {"reason": "The cabinet was found open."}
    out = _send(plant, operator, "POST", f"devices/{device.id}/quarantine", why)
    assert out.status_code == 200
    assert (out.json()["trust"], out.json()["trust_reason"]) == ("quarantined", why["reason"])
    again = _send(plant, operator, "POST", f"devices/{device.id}/quarantine", why)
    assert _code(again) == (409, "device.already_quarantined")
    back = _send(plant, operator, "POST", f"devices/{device.id}/accept", {"reason": "Looked at it on site."})
    assert back.json()["trust"] == "accepted"
    gone = _send(plant, operator, "POST", f"devices/{device.id}/retire", {"reason": "Replaced."})
    assert gone.json()["trust"] == "retired"
    for move in ("accept", "quarantine", "retire"):
        answer = _send(plant, operator, "POST", f"devices/{device.id}/{move}", why)
        assert _code(answer) == (409, "device.already_retired")
    assert _get(plant, operator, f"devices/{device.id}")["trust"] == "retired"
    empty = _send(plant, operator, "POST", f"devices/{gear.device(plant, visby).id}/quarantine", {"reason": " "})
    assert _code(empty) == (422, "device.reason")


def test_the_listeners_memory_knows_of_a_change_when_its_answer_is_given(
    plant: Plant, operator: User, visby: str
) -> None:
    device = gear.device(plant, visby)

    async def play() -> list[str]:
        presence, stop = plant.plane.presence, asyncio.Event()
        watching = asyncio.create_task(presence.watch(plant.db, stop))
        seen = []
        async with plant.client(**operator.headers) as client:
            for move in ("quarantine", "accept", "retire"):
                await client.post(f"/api/v1/devices/{device.id}/{move}", json={"reason": "To see it."})
                slot = presence.of(device.id)
                seen.append("" if slot is None else slot.standing.trust.value)
        stop.set()
        await watching
        return seen

    assert asyncio.run(play()) == ["quarantined", "accepted", "retired"]


# What they told and signed


def _events(plant: Plant, device: Device, journal: str, attempt: str) -> list[bytes]:
    at = int(plant.time.timestamp() * 1000)
    return gear.told(
        plant,
        device,
        journal,
        Event(seq=1, at=at, kind="boot"),
        Event(seq=2, at=at + 5, kind="order", attempt=attempt, facts={"epoch": 1, "counter": 4}),
        Event(seq=3, at=2**53 - 1, kind="state", attempt=attempt, state=State.OFFERED, release=gear.RELEASE),
    )


def test_what_a_device_told_is_listed_newest_first(plant: Plant, operator: User, visby: str) -> None:
    device, other = gear.device(plant, visby), gear.device(plant, visby)
    attempt = plant.new_id()
    lines = _events(plant, device, plant.new_id(), attempt)
    _events(plant, other, plant.new_id(), plant.new_id())
    found = _get(plant, operator, f"devices/{device.id}/events")["items"]
    assert [one["seq"] for one in found] == [3, 2, 1]
    assert [one["digest"] for one in found] == [hashlib.sha256(line).hexdigest() for line in reversed(lines)]
    assert [one["kind"] for one in found] == ["state", "order", "boot"]
    assert (found[0]["state"], found[0]["release"], found[0]["attempt"]) == ("offered", gear.RELEASE, attempt)
    assert found[0]["at"] is None, "a clock may show a date that there is not"
    assert found[2]["at"].startswith("2026-11-03T12:00")
    of_attempt = _get(plant, operator, f"devices/{device.id}/events", attempt=attempt)["items"]
    assert [one["seq"] for one in of_attempt] == [3, 2]
    first = _get(plant, operator, f"devices/{device.id}/events", limit=2)
    rest = _get(plant, operator, f"devices/{device.id}/events", limit=2, before=first["next"])
    assert [one["seq"] for one in rest["items"]] == [1]
    for odd in ("x", "x:y", ":1", "\0:1", f"{'0' * 26}:99999999999999999999"):
        assert _get(plant, operator, f"devices/{device.id}/events", before=odd)["items"] == []


def test_a_receipt_is_handed_out_in_the_bytes_that_were_signed(plant: Plant, operator: User, visby: str) -> None:
    device = gear.device(plant, visby)
    older = gear.receipt(plant, device, outcome=State.COMMITTED, code="", reason="")
    plant.later(minutes=1)
    kept = gear.receipt(plant, device)
    found = _get(plant, operator, f"devices/{device.id}/receipts")["items"]
    assert [one["digest"] for one in found] == [kept.digest, older.digest]
    assert (found[0]["outcome"], found[0]["code"], found[0]["device"]) == ("rolled_back", "gate.exited", device.id)
    answer = _send(plant, operator, "GET", f"receipts/{kept.digest}")
    assert answer.content == kept.envelope
    key = gear.KEYS[device.id].public_key()
    assert receipts.verified(envelope.read(answer.content), key).attempt == kept.attempt
    first = _get(plant, operator, f"devices/{device.id}/receipts", limit=1)
    rest = _get(plant, operator, f"devices/{device.id}/receipts", limit=1, before=first["next"])
    assert [one["digest"] for one in rest["items"]] == [older.digest]
    one = _get(plant, operator, f"devices/{device.id}/receipts", attempt=older.attempt)["items"]
    assert [each["digest"] for each in one] == [older.digest]


def test_what_a_device_said_of_itself_is_shown_as_it_said_it(plant: Plant, operator: User, visby: str) -> None:
    device = gear.device(plant, visby, link=LinkClass.ASYNC)
    gear.heard(plant, device, state=State.IDLE)
    status = _get(plant, operator, f"devices/{device.id}")["status"]
    form = msgspec.convert(status, exchange.Status)
    # Left out where they say nothing.
    later = {"values", "held", "window", "copied", "aside", "crashes", "since", "exit", "oom"}
    said = {name: value for name, value in status.items() if name not in later or value}
    boxes = [{key: value for key, value in box.items() if key not in later or value} for box in said["workloads"]]
    said["workloads"] = boxes
    assert exchange.digest(form) == hashlib.sha256(canonical.dumps(said)).hexdigest()
    assert _get(plant, operator, f"devices/{device.id}")["interval"] == 900


def test_a_device_of_another_organisation_tells_nothing(plant: Plant, operator: User) -> None:
    device = gear.device(plant, plant.organisations["south"])
    kept = gear.receipt(plant, device)
    for path in (f"devices/{device.id}", f"devices/{device.id}/events", f"devices/{device.id}/receipts"):
        answer = _send(plant, operator, "GET", path)
        assert _code(answer) == (404, "device.not_found")
    assert _code(_send(plant, operator, "GET", f"receipts/{kept.digest}")) == (404, "receipt.not_found")


def test_a_viewer_reads_and_changes_nothing(plant: Plant, visby: str) -> None:
    viewer, device = plant.users["north", "viewer"], gear.device(plant, visby)
    assert _names(plant, viewer) == [device.name]
    for method, path, body in (
        ("PATCH", f"devices/{device.id}", {"name": "mine"}),
        ("POST", f"devices/{device.id}/retire", {"reason": "mine"}),
        ("POST", "invites", {"scope": visby}),
        ("GET", "invites", None),
    ):
        assert _code(_send(plant, viewer, method, path, body)) == (403, "access.denied")
    assert plant.db.read_now("device", lambda tx: fleet_queries.device(tx, device.id)) == device


def test_a_retired_devices_name_is_free_again(plant: Plant, operator: User, visby: str) -> None:
    old = gear.device(plant, visby, "pump-3")
    plant.db.write_now("retire", fleet_actions.retire, plant.act(), old.id, "Replaced.")
    gear.device(plant, visby, "pump-3")
    assert sorted(one["trust"] for one in _get(plant, operator, "devices", text="pump-3")["items"]) == [
        "accepted",
        "retired",
    ]
