# SPDX-License-Identifier: Apache-2.0
"""Lock-out tags over HTTP: hung, listed and lifted by people, and told at once to devices that wait."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from checkvalve import clock
from checkvalve.crypto import envelope
from checkvalve.ids import HoldId, PersonId
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import Answer, State, Tag
from checkvalve.server.access.model import ScopeKind
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet.model import Hold
from checkvalve.server.web import exchange as exchanges
from tests.server.exchange import world
from tests.server.web import gear
from tests.server.web.crossing import Crossing, answer, until
from tests.server.web.plant import Plant, User

BY = PersonId("0" * 26)


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
    found = _send(plant, user, "GET", path, **query)
    assert found.status_code == 200, found.text
    return found.json()


def _code(found: httpx.Response) -> tuple[int, str]:
    return found.status_code, found.json()["code"]


# People


def test_a_tag_is_hung_listed_and_lifted_and_stays_in_the_list_of_all(plant: Plant, operator: User, visby: str) -> None:
    asked = {"scope": visby, "reason": "The pump is open.", "number": "PTW-118"}
    made = _send(plant, operator, "POST", "holds", asked)
    assert made.status_code == 201
    hold = made.json()
    assert (hold["name"], hold["reason"], hold["number"]) == (operator.person.name, *list(asked.values())[1:])
    assert (hold["scope"], hold["device"], hold["made_by"]) == (visby, None, operator.person.id)
    assert (hold["made_by_name"], hold["lifted_by_name"]) == (operator.person.name, "")
    assert _get(plant, operator, "holds", scope=visby)["items"] == [hold]
    lifted = _send(plant, operator, "POST", f"holds/{hold['id']}/lift", {})
    assert lifted.status_code == 200
    assert lifted.json()["lifted_by"] == operator.person.id
    assert lifted.json()["lifted_by_name"] == operator.person.name
    assert _get(plant, operator, "holds")["items"] == []
    assert _get(plant, operator, "holds", all="true")["items"] == [lifted.json()]
    assert _code(_send(plant, operator, "POST", f"holds/{hold['id']}/lift", {})) == (409, "hold.lifted")


def test_the_tag_of_another_is_lifted_with_a_reason_only(plant: Plant, operator: User, visby: str) -> None:
    device = gear.device(plant, visby)
    other = plant.user(plant.organisations["north"], role="operator")
    asked = {"device": device.id, "reason": "I am inside.", "name": "Ola Ek"}
    hold = _send(plant, other, "POST", "holds", asked).json()
    assert (hold["scope"], hold["device"], hold["name"]) == (visby, device.id, "Ola Ek")
    assert _code(_send(plant, operator, "POST", f"holds/{hold['id']}/lift", {})) == (422, "hold.reason")
    why = {"reason": "Ola is out; seen by two."}
    assert _send(plant, operator, "POST", f"holds/{hold['id']}/lift", why).json()["lifted_why"] == why["reason"]


@pytest.mark.parametrize("named", [{}, {"scope": "/", "device": "0" * 26}])
def test_a_tag_names_a_place_or_a_device(plant: Plant, operator: User, named: dict[str, str]) -> None:
    asked = {"reason": "The pump is open.", **named}
    assert _code(_send(plant, operator, "POST", "holds", asked)) == (422, "hold.where")


def test_who_holds_a_right_at_one_site_hangs_there_and_sees_what_hangs_above_and_lifts_nothing_there(
    plant: Plant, visby: str
) -> None:
    north = plant.organisations["north"]
    above = gear.hold(plant, north)
    elsewhere = gear.hold(plant, gear.site(plant, north))
    local = plant.user(visby, role="operator")
    found = [one["id"] for one in _get(plant, local, "holds")["items"]]
    assert above.id in found
    assert elsewhere.id not in found
    assert _send(plant, local, "POST", "holds", {"scope": visby, "reason": "Ours."}).status_code == 201
    assert _send(plant, local, "POST", "holds", {"scope": north, "reason": "All."}).status_code in {403, 404}
    why = {"reason": "In the way."}
    assert _send(plant, local, "POST", f"holds/{above.id}/lift", why).status_code in {403, 404}


def test_a_device_tells_of_both_kinds_of_tags_and_of_its_window(plant: Plant, operator: User, visby: str) -> None:
    area = plant.scope(visby, ScopeKind.AREA, "Pump hall")
    device = gear.device(plant, area)
    site, on = gear.hold(plant, visby), gear.hold(plant, device=device.id, number="")
    at = int(plant.time.timestamp() * 1000)
    own = Tag(id=plant.new_id(), name="Ola", reason="I am inside.", at=at, by="device")
    knows = Tag(id=site.id, name="Gun", reason="?", at=at, by="plane", where="Visby")
    gear.heard(plant, device, state=State.HELD, held=(own, knows), window=at + 2_700_000)
    whole = _get(plant, operator, f"devices/{device.id}")
    assert [(one["id"], one["by"], one["where"], one["known"]) for one in whole["held"]] == [
        (own.id, "device", "", True),
        (site.id, "plane", visby, True),
        (on.id, "plane", "", False),
    ]
    assert whole["window"] > whole["held"][0]["at"]
    listed = {one["id"]: one["held"] for one in _get(plant, operator, "devices", scope=visby)["items"]}
    assert listed == {device.id: whole["held"]}
    free = gear.device(plant, gear.site(plant, plant.organisations["north"]))
    held = [one["id"] for one in _get(plant, operator, "devices", held="true")["items"]]
    assert device.id in held
    assert free.id not in held


# Devices


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path) -> Crossing:
    return Crossing(world.started(database, new_id, now), tmp_path)


def _hang(here: Crossing) -> Hold:
    made = here.world
    asked = Hold(HoldId(made.new_id()), made.org, None, "Gun", "The pump is open.", "", BY, made.now)
    return made.database.write_now("hang", fleet_actions.hang, made.act(BY), asked)


def _tags(here: Crossing, given: Answer) -> list[str]:
    assert given.orders is not None
    said = exchange.orders(envelope.unseal(given.orders, exchange.ORDERS, here.plane.orders.key.public_key()))
    (item,) = (exchange.item(each) for each in said.items)
    assert isinstance(item, exchange.Hold)
    return [tag.id for tag in item.tags]


@pytest.mark.slow
@pytest.mark.parametrize("stirred", [True, False])
def test_a_tag_and_its_end_reach_devices_that_wait_within_a_second(here: Crossing, *, stirred: bool) -> None:
    machines = [here.world.machine() for _ in range(3)]

    async def wait_and_do(do: Callable[[], object], **more: Any) -> tuple[list[list[str]], float]:  # noqa: ANN401
        held = [asyncio.create_task(here.exchange(one, one.report(wait=55, **more))) for one in machines]
        slots = [here.plane.presence.of(one.id) for one in machines]
        await until(lambda: all(slot is not None and slot.poll is not None for slot in slots))
        do()
        begun = clock.monotonic()
        if stirred:
            await here.plane.presence.stir()
        told = [_tags(here, answer(each)) for each in await asyncio.gather(*held)]
        return told, clock.monotonic() - begun

    async def tell() -> None:
        hold = Later(here)
        told, took = await wait_and_do(hold.hang)
        assert told == [[hold.made.id]] * 3
        assert took < 2.0  # a look each second, and what this machine takes
        for number, machine in enumerate(machines, 1):
            tag = Tag(id=hold.made.id, name="Gun", reason="?", at=0, by="plane")
            machine.status = exchange.Status(state=State.IDLE, held=(tag,))
            await here.exchange(machine, machine.first(epoch=1, counter=number))
        machines[1:] = []
        told, took = await wait_and_do(hold.lift, epoch=1, counter=3)
        assert told == [[]]
        assert took < 2.0

    here.story(tell)


class Later:
    """A tag that is hung and lifted while devices wait."""

    def __init__(self, here: Crossing) -> None:
        self._here = here
        self.made: Hold

    def hang(self) -> None:
        self.made = _hang(self._here)

    def lift(self) -> None:
        made = self._here.world
        made.database.write_now("lift", fleet_actions.lift, made.act(BY), self.made.id, "")


def test_a_device_that_knows_its_tags_is_answered_from_memory(here: Crossing, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = here.world.machine()
    hold = _hang(here)

    async def tell() -> None:
        assert _tags(here, answer(await here.exchange(machine, machine.report()))) == [hold.id]
        tag = Tag(id=hold.id, name="Gun", reason="?", at=0, by="plane")
        machine.status = exchange.Status(state=State.IDLE, held=(tag,))
        assert (await here.exchange(machine, machine.first(epoch=1, counter=1))).status_code == 204
        monkeypatch.setattr(here.plane.db, "write", None)
        for _ in range(3):
            assert (await here.exchange(machine, machine.report(epoch=1, counter=1))).status_code == 204

    here.story(tell)


def test_devices_that_are_woken_at_once_visit_by_and_by(
    database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanges, "TURNS", 2)
    here = Crossing(world.started(database, new_id, now), tmp_path)
    machines = [here.world.machine() for _ in range(6)]
    write, at_once, most = here.plane.db.write, 0, 0

    async def counted(*asked: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever it returns
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await write(*asked, **more)
        finally:
            at_once -= 1

    async def tell() -> None:
        monkeypatch.setattr(here.plane.db, "write", counted)
        hold = _hang(here)
        held = [asyncio.create_task(here.exchange(one, one.report(wait=55))) for one in machines]
        assert [_tags(here, answer(each)) for each in await asyncio.gather(*held)] == [[hold.id]] * 6

    here.story(tell)
    assert most == 2
