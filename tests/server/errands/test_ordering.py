# SPDX-License-Identifier: Apache-2.0
"""What is ordered of which device, what is refused and in which words, and what the row of the device says of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from checkvalve.errors import InvalidError
from checkvalve.ids import DeviceId, ErrandId, InviteId
from checkvalve.protocol import errand as messages
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import State as Step
from checkvalve.protocol.exchange import Status, Tag
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.errands import decide, queries
from checkvalve.server.errands.model import CAPABILITY, GOOD, LONGEST, Kind, State
from checkvalve.server.fleet import admit
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Invite, Trust
from tests.conftest import NOON
from tests.server.errands.world import World, asked
from tests.server.fleet.world import BY

LOCAL = Tag(id="0" * 26, name="Ola", reason="I am inside.", at=5, by="device")
DEVICE = admit.newcomer(
    Invite(
        InviteId(""), "/", (), LinkClass.REMOTE, observe=False, uses=1, used=0, made_by=BY, made_at=NOON, ends_at=NOON
    ),
    id=DeviceId("1" * 26),
    name="edge",
    public=b"",
    key="",
    machine="",
    capability=CAPABILITY,
    now=NOON,
)
LOCKED = msgspec.json.encode(Status(state=Step.IDLE, held=(LOCAL,)))


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def test_what_is_ordered_waits_wakes_the_device_and_leaves_one_entry(world: World) -> None:
    device, other = world.able(), world.able()
    before = world.revision()
    errand = world.order(device, since=3_600, service=" web ", why="")
    assert (errand.state, errand.made_by, errand.made_at) == (State.WAITING, BY, world.now)
    assert (errand.service, errand.since, errand.lines, errand.scope) == ("web", 3_600, 200, device.scope)
    assert errand.until == world.now + GOOD[LinkClass.REMOTE]
    assert world.errand(errand) == errand
    assert world.revision() > before
    assert (world.to_order(device), world.to_order(other)) == ([errand.id], [])
    whole = world.database.read_now("standings", fleet_queries.standings)
    assert whole[device.id] == world.standing_of(device.id)
    (entry,) = world.entries("errand.")
    assert (entry.action, entry.subject, entry.scope) == ("errand.order", f"errand:{errand.id}", device.scope)
    said = {"device": device.id, "kind": "logs", "service": "web", "why": "", "again": False}
    assert entry.facts == said | {"until": "2026-11-03T12:15:00.000Z"}


def test_a_device_that_comes_seldom_has_a_day_unless_somebody_says_otherwise(world: World) -> None:
    device = world.able(link=LinkClass.ASYNC)
    assert world.order(device).until == world.now + timedelta(hours=24)
    assert world.order(device, Kind.BUNDLE, within=LONGEST).until == world.now + timedelta(days=7)


def test_the_same_asked_again_is_the_one_that_waits_until_that_is_not_begun_any_more(world: World) -> None:
    device = world.able()
    first = world.order(device, Kind.RESTART, why="It hangs.")
    world.given(first)
    again = world.order(device, Kind.RESTART, why="It still hangs.")
    assert again == world.errand(first)
    assert [entry.facts["again"] for entry in world.entries("errand.order")] == [True, False]
    assert world.entries("errand.order")[0].facts["why"] == "It still hangs."
    other = world.order(device, Kind.RESTART, service="db")
    world.after(first)
    anew = world.order(device, Kind.RESTART)
    assert world.to_order(device) == [first.id, other.id, anew.id]


def test_eight_may_be_open_of_a_device(world: World) -> None:
    device = world.able()
    there = [world.order(device, lines=lines) for lines in range(1, messages.MOST + 1)]
    wanted = world.asking(device, Kind.BUNDLE)
    world.refused("errand.many", world.order, device, Kind.BUNDLE)
    assert world.order(device, lines=3) == there[2], "what waits already may be asked again"
    world.take_back(there[0])
    assert world.order(device, Kind.BUNDLE).id > wanted.id


@pytest.mark.parametrize(
    ("changes", "kinds", "code", "said"),
    [
        pytest.param({"trust": Trust.RETIRED}, set(Kind), "errand.device", "retired", id="retired"),
        pytest.param({"trust": Trust.QUARANTINED}, set(Kind), "errand.device", "quarantined", id="quarantined"),
        pytest.param({"trust": Trust.OBSERVE}, set(Kind), "errand.observes", "observes", id="observing"),
        pytest.param({"capability": 3}, set(Kind), "errand.agent", "capability 3", id="old-agent"),
        pytest.param({"locked": True, "status": LOCKED}, decide.STOPS, "errand.held", "Ola, at the device", id="held"),
    ],
)
def test_a_device_that_cannot_or_must_not_is_ordered_nothing_and_it_is_said_why(
    world: World, changes: dict[str, Any], kinds: set[Kind], code: str, said: str
) -> None:
    device = world.able(**changes)
    refusals = world.database.read_now("refusals", queries.refusals, device)
    assert {kind for kind, refusal in refusals.items() if refusal is not None} == kinds
    for kind in kinds:
        assert said in world.refused(code, world.order, device, kind).sentence
    for kind in set(Kind) - kinds:
        world.order(device, kind)


def test_a_tag_of_a_place_stops_what_stops_something_and_names_who_hung_it(world: World) -> None:
    device = world.able(scope=world.area)
    for name in ("Gun Berg", "Gun Berg", "Ola", "Eva", "Per"):
        world.hang(world.site, name)
    refused = world.refused("errand.held", world.order, device, Kind.REBOOT)
    assert "Gun Berg, Ola and 2 more" in refused.sentence
    assert world.order(device, Kind.LOGS).state is State.WAITING
    assert world.order(world.able(scope=world.other), Kind.REBOOT).state is State.WAITING


@pytest.mark.parametrize(
    ("kind", "changes", "code"),
    [
        pytest.param(Kind.RESTART, {"service": " "}, "errand.service", id="restart-of-none"),
        pytest.param(Kind.RESTART, {"service": "w\nb"}, "errand.service", id="two-lines"),
        pytest.param(Kind.LOGS, {"service": "w" * 101}, "errand.service", id="long-service"),
        pytest.param(Kind.BUNDLE, {"service": "web"}, "errand.service", id="bundle-of-one"),
        pytest.param(Kind.REBOOT, {"service": "web"}, "errand.service", id="reboot-of-one"),
        pytest.param(Kind.RESTART, {"why": ""}, "errand.why", id="restart-without-why"),
        pytest.param(Kind.REBOOT, {"why": " "}, "errand.why", id="reboot-without-why"),
        pytest.param(Kind.LOGS, {"why": "w" * 1_001}, "errand.why", id="long-why"),
        pytest.param(Kind.LOGS, {"since": -1}, "errand.since", id="before-now"),
        pytest.param(Kind.LOGS, {"since": messages.LONGEST + 1}, "errand.since", id="long-ago"),
        pytest.param(Kind.LOGS, {"lines": 0}, "errand.lines", id="no-lines"),
        pytest.param(Kind.LOGS, {"lines": messages.MOST_LINES + 1}, "errand.lines", id="all-lines"),
        pytest.param(Kind.LOGS, {"within": timedelta(seconds=59)}, "errand.within", id="at-once"),
        pytest.param(Kind.LOGS, {"within": LONGEST + timedelta(seconds=1)}, "errand.within", id="for-ever"),
    ],
)
def test_what_is_asked_for_in_a_wrong_form_is_refused(kind: Kind, changes: dict[str, Any], code: str) -> None:
    wanted = asked(ErrandId("0" * 26), DEVICE.id, kind, **changes)
    with pytest.raises(InvalidError) as caught:
        decide.ordered(wanted, DEVICE, BY, NOON)
    assert caught.value.code == code
    assert caught.value.remedy.endswith(".")


def test_errands_are_seen_where_the_device_stood_and_where_it_stands(world: World) -> None:
    device, beside = world.able(scope=world.area), world.able(scope=world.other)
    first, second = world.order(device), world.order(device, Kind.BUNDLE)
    third = world.order(beside)
    world.describe(device.id, scope=world.other)

    def seen(place: str, **wanted: Any) -> list[ErrandId]:  # noqa: ANN401 - of Wanted
        found = world.database.read_now("list", lambda tx: queries.errands(tx, Visibility((place,)), **wanted))
        return [one.id for one in found]

    assert seen(world.area) == [second.id, first.id]
    assert seen(world.other) == [third.id, second.id, first.id]
    assert seen("/", scope=world.area) == [second.id, first.id]
    assert seen(world.foreign) == []
    assert seen("/", device=beside.id) == [third.id]
    assert seen("/", device=DeviceId("' or 1")) == []
    assert seen("/", limit=1, before=second.id) == [first.id]
    world.take_back(first)
    assert seen("/", states=(State.CANCELLED,)) == [first.id]
    world.refused(
        "errand.not_found", world.database.read_now, "one", queries.errand, first.id, Visibility((world.foreign,))
    )
    world.refused("errand.not_found", world.database.read_now, "one", queries.errand, ErrandId("x"))
