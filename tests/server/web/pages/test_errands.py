# SPDX-License-Identifier: Apache-2.0
"""Small orders on pages: what can be ordered of a device and why not, how far one is, and what it brought."""

import asyncio
import gzip
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from checkvalve.crypto import keys
from checkvalve.protocol.exchange import State
from checkvalve.server.audit.model import Kind as EntryKind
from checkvalve.server.db.database import Database
from checkvalve.server.errands.model import Errand, Kind
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Device
from checkvalve.server.web import live
from checkvalve.server.web.pages import errand_text
from tests.server.web import gear, sent
from tests.server.web.pages.streams import reading
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import Plant, User, door

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

KINDS = [kind.value for kind in Kind]
HOSTILE = "web | \x1b[31mred\x1b[0m\r\nweb | left\u202eright <b>bold</b> \x07\n"


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


@pytest.fixture
def pump(plant: Plant) -> Device:
    device = sent.able(plant, gear.site(plant, plant.organisations["north"], "Visby"), name="pump-07")
    gear.heard(plant, device, state=State.COMMITTED, active=gear.RELEASE)
    return device


def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


def viewer(plant: Plant) -> User:
    return plant.users["north", "viewer"]


def section(plant: Plant, user: User, device: Device) -> dict[str, Any]:
    """Return the part of the device's page that small orders have."""
    found: dict[str, Any] = data(plant, user, f"/devices/{device.id}")["errands"]
    return found


def buttons(plant: Plant, user: User, device: Device) -> dict[str, str]:
    """Return of each button why it cannot be pressed; nothing if it can."""
    shown = section(plant, user, device)["buttons"]
    return {one["name"]: "" if one["enabled"] else one["why"] for one in shown}


def follow(errand: Errand) -> str:
    return f"/errands/{errand.id}"


def test_logs_are_ordered_with_the_form_as_it_stands_and_the_same_again_is_the_same(plant: Plant, pump: Device) -> None:
    page = ask(plant, operator(plant), f"/devices/{pump.id}/logs")
    assert page.status_code == 200
    form = dict(re.findall(r'<input id="f-\w+" name="(\w+)"[^>]* value="([^"]*)"', page.text))
    form |= {
        name: re.findall(r'<option value="([^"]*)" selected', block)[0]
        for name, block in re.findall(r'<select id="f-(since|within)".*?>(.*?)</select>', page.text, re.DOTALL)
    }
    made = ask(plant, operator(plant), f"/devices/{pump.id}/logs", form | {"service": ""})
    again = ask(plant, operator(plant), f"/devices/{pump.id}/logs", form | {"service": ""})
    assert (made.status_code, made.headers["location"]) == (303, again.headers["location"])
    shown = data(plant, viewer(plant), made.headers["location"])
    assert shown["sentence"] == "Logs of every service: pump-07 has not been told yet."
    facts = [fact["value"] for fact in shown["facts"]]
    assert facts[:2] == ["every service", "Since 1 hour before it is read, at most 200 lines of each container"]
    assert shown["cancel"]["enabled"] is False
    assert [one["name"] for one in section(plant, operator(plant), pump)["items"]] == ["Logs of every service"]


def test_a_reboot_says_what_it_interrupts_and_asks_for_reason_and_name(plant: Plant, pump: Device) -> None:
    shown = data(plant, operator(plant), f"/devices/{pump.id}/reboot")
    assert (shown["stops"]["services"], shown["enabled"]) == (["web"], True)
    path = f"/devices/{pump.id}/reboot"
    wrong = ask(plant, operator(plant), path, {"why": "It hangs.", "typed": "pump-08"})
    assert wrong.status_code == 422
    assert "is not that of this device" in wrong.text
    assert 'value="It hangs."' in wrong.text
    silent = ask(plant, operator(plant), path, {"why": " ", "typed": "pump-07"})
    assert "says why" in silent.text
    assert data(plant, operator(plant), "/errands")["items"] == []
    assert ask(plant, operator(plant), path, {"why": "It hangs.", "typed": "PUMP-07"}).status_code == 303


def test_what_cannot_be_ordered_says_why_on_the_button_and_on_the_form(plant: Plant, pump: Device) -> None:
    assert buttons(plant, operator(plant), pump) == dict.fromkeys(KINDS, "")
    gear.hold(plant, pump.scope)
    held = buttons(plant, operator(plant), pump)
    assert (held["logs"], held["bundle"]) == ("", "")
    assert "Gun Berg" in held["restart"]
    assert held["restart"] == held["reboot"]
    form = ask(plant, operator(plant), f"/devices/{pump.id}/restart")
    assert "This cannot be ordered now." in form.text
    assert re.search(r"<button class=\"button primary\" disabled>", form.text)
    refused = ask(plant, operator(plant), f"/devices/{pump.id}/restart", {"service": "web", "why": "It hangs."})
    assert refused.status_code == 409
    plant.db.write_now("old", lambda tx: fleet_writes.visited(tx, pump.id, {"capability": 3}))
    assert all("small orders" in why for why in buttons(plant, operator(plant), pump).values())
    gear.quarantine(plant, pump.id)
    shown = section(plant, operator(plant), pump)
    assert "quarantined" in str(shown["reason"])
    assert not any(one["enabled"] for one in shown["buttons"])


def test_who_may_only_look_orders_and_cancels_nothing(plant: Plant, pump: Device) -> None:
    assert all("device." in why for why in buttons(plant, viewer(plant), pump).values())
    errand = sent.order(plant, pump.id, Kind.REBOOT)
    for path in (*(f"/devices/{pump.id}/{kind}" for kind in KINDS), f"{follow(errand)}/cancel"):
        refused = ask(plant, viewer(plant), path, {"service": "web", "why": "x", "typed": "pump-07"})
        assert refused.status_code == 403, path
        assert plant.entries()[0].kind is EntryKind.REFUSED
    south = plant.users["south", "operator"]
    assert ask(plant, south, follow(errand)).status_code == 404
    assert ask(plant, south, f"{follow(errand)}/cancel", {}).status_code == 404
    assert ask(plant, south, f"/devices/{pump.id}/logs").status_code == 404
    assert data(plant, south, "/errands")["items"] == []


def test_one_that_waits_is_cancelled_with_its_reason_and_one_that_ended_is_not(plant: Plant, pump: Device) -> None:
    errand = sent.order(plant, pump.id, Kind.RESTART, service="web")
    path = f"{follow(errand)}/cancel"
    assert ask(plant, operator(plant), path, {"why": "x" * 2_000}).status_code == 422
    assert ask(plant, operator(plant), path, {"why": "It runs again."}).headers["location"] == follow(errand)
    shown = data(plant, operator(plant), follow(errand))
    assert (shown["sentence"], shown["next_why"]) == ("Restart of web: cancelled.", "It runs again.")
    assert f"/devices/{pump.id}/restart?service=web" in shown["again"]
    again = ask(plant, operator(plant), path, {"why": ""})
    assert again.status_code == 409
    assert "has come to its end" in again.text


def test_logs_are_shown_as_text_with_nothing_hidden_in_it(plant: Plant, pump: Device) -> None:
    errand = sent.fetched(plant, pump.id, HOSTILE.encode() + b"\xff\n")
    shown = ask(plant, operator(plant), follow(errand))
    assert "pump-07 brought the logs of every service." in shown.text
    assert "web | red\nweb | left\\u202eright &lt;b&gt;bold&lt;/b&gt; \\u0007\n\ufffd</pre>" in shown.text
    assert f'href="/api/v1/errands/{errand.id}/content"' in shown.text
    assert "the signature holds" in shown.text
    hidden = ask(plant, viewer(plant), follow(errand))
    assert "takes the right device.logs" in hidden.text
    assert "web | red" not in hidden.text
    plant.later(days=31)
    user = plant.sign_in(operator(plant).person)
    assert "kept for 30 days, and is gone" in ask(plant, user, follow(errand)).text
    assert data(plant, user, "/errands")["items"][0]["nothing"] == "gone by now"


def test_a_file_that_is_no_logs_is_said_to_be_so(plant: Plant, pump: Device) -> None:
    errand = sent.order(plant, pump.id)
    sent.ends(plant, errand, content=sent.brings(plant, errand, b"this is no gzip file"))
    page = ask(plant, operator(plant), follow(errand))
    assert page.status_code == 200
    assert "not packed as logs are" in page.text


def test_a_word_whose_signature_does_not_hold_is_nothing_green(
    plant: Plant, pump: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    errand = sent.order(plant, pump.id, Kind.RESTART, service="web")
    monkeypatch.setitem(gear.KEYS, pump.id, keys.make())
    sent.ends(plant, errand)
    shown = data(plant, operator(plant), follow(errand))
    assert (shown["shape"], shown["signed"]["good"]) == ("bad", False)
    assert shown["next"] == "What is kept here is not what the device signed."


def test_who_saw_a_device_before_it_was_moved_is_not_told_where_it_stands_now(plant: Plant, pump: Device) -> None:
    errand = sent.order(plant, pump.id)
    person = plant.person(plant.organisations["north"])
    plant.bind(person, "viewer", pump.scope)
    elsewhere = gear.site(plant, plant.organisations["north"], "Secret site")
    plant.db.write_now("move", lambda tx: fleet_actions.describe(tx, plant.act(), pump.id, scope=elsewhere))
    page = ask(plant, plant.sign_in(person), follow(errand)).text
    assert "Logs of every service" in page
    assert "Secret site" not in page
    assert f"/devices/{pump.id}" not in page


def test_the_end_of_long_logs_begins_with_a_whole_line(plant: Plant) -> None:
    blobs = plant.plane.blobs
    lines = [f"web | line {number}" for number in range(5_000)]
    digest = blobs.put(gzip.compress("\n".join(lines).encode())).digest
    found = errand_text.tail(blobs, digest, most=1_000)
    assert found.cut
    assert found.text.splitlines() == lines[-len(found.text.splitlines()) :]
    assert 900 < len(found.text) <= 1_000
    assert errand_text.tail(blobs, digest).text.splitlines() == lines


@pytest.mark.parametrize(
    ("outcome", "code", "shape", "said"),
    [
        ("refused", "hold.hung", "warn", "Nothing was done there."),
        ("failed", "engine.away", "bad", "It was begun, and did not come to its end."),
    ],
    ids=["refused", "failed"],
)
def test_a_no_of_the_device_says_its_reason_and_what_to_do(
    plant: Plant, pump: Device, outcome: str, code: str, shape: str, said: str
) -> None:
    errand = sent.order(plant, pump.id, Kind.RESTART, service="web")
    sent.ends(plant, errand, outcome, code=code, reason="Ola Ek holds it\u202e: I am inside.")
    shown = data(plant, operator(plant), follow(errand))
    assert (shown["shape"], shown["next"]) == (shape, said)
    assert shown["next_why"].startswith("Ola Ek holds it\\u202e: I am inside. ")
    assert len(shown["next_why"]) > len("Ola Ek holds it\\u202e: I am inside. ") + 10
    (row,) = data(plant, operator(plant), "/errands?show=missed")["items"]
    assert (row["word"], row["reason"]) == (outcome, "Ola Ek holds it\\u202e: I am inside.")


def test_what_waits_says_when_its_device_is_expected(plant: Plant, pump: Device) -> None:
    errand = sent.order(plant, pump.id)
    shown = data(plant, operator(plant), follow(errand))
    assert shown["next_why"] == "The device is linked and hears of it within seconds."
    sent.given(plant, errand)
    assert data(plant, operator(plant), follow(errand))["word"] == "told to the device"
    plant.later(minutes=16)
    user = plant.sign_in(operator(plant).person)
    late = data(plant, user, follow(errand))
    assert late["sentence"] == "Logs of every service: nothing was heard of it in time."
    again = sent.order(plant, pump.id, Kind.BUNDLE)
    assert data(plant, user, follow(again))["next"] == "It waits for the device."


def test_the_list_is_narrowed_to_a_device_and_a_state_and_paged(
    plant: Plant, pump: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkvalve.server.web.pages.errands.SHOWN", 2)
    other = sent.able(plant, pump.scope, name="pump-08")
    first, _ = sent.fetched(plant, pump.id), sent.order(plant, other.id)
    sent.order(plant, pump.id, Kind.BUNDLE)
    listed = data(plant, operator(plant), "/errands")
    assert (listed["sentence"], len(listed["items"])) == ("2 small orders wait for their devices.", 2)
    older = data(plant, operator(plant), listed["older_href"])
    assert [one["id"] for one in older["items"]] == [first.id]
    of_pump = data(plant, operator(plant), f"/errands?device={pump.id}&show=waiting")
    assert [(one["device"], one["name"]) for one in of_pump["items"]] == [("pump-07", "Support bundle")]
    assert ask(plant, operator(plant), f"/errands?device={plant.new_id()}").status_code == 404


def test_the_page_of_one_that_waits_follows_it_to_its_end(
    plant: Plant, pump: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WITHIN", 0.02)
    errand = sent.order(plant, pump.id)
    known = re.search(r"known=([^&\"]+)", data(plant, operator(plant), follow(errand))["events"])
    assert known

    async def work() -> None:
        async with reading(plant, operator(plant), follow(errand), known=known[1]) as reader:
            await reader.until(lambda it: len(it.named("beat")) >= 2)
            assert {name for name, _ in reader.events} == {"beat"}
            sent.ends(plant, errand, content=sent.brings(plant, errand, gzip.compress(sent.TEXT)))
            await reader.until(lambda it: it.ended)
            assert "pump-07 brought the logs of every service." in reader.named("head")[0]
            assert "web | 3 pumps" in reader.named("body")[0]
            assert "Cancel" not in reader.named("side")[-1]

    asyncio.run(work())
    assert data(plant, operator(plant), follow(errand))["events"] == ""
