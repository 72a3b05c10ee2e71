# SPDX-License-Identifier: Apache-2.0
"""Lock-out tags: where they hang, what devices are to know of them, who lifts them, and that nothing is forgotten."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import ConflictError, InvalidError, NotFoundError
from checkvalve.ids import DeviceId, HoldId, PersonId
from checkvalve.protocol.exchange import Status, Tag
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import actions, holds, queries, writes
from checkvalve.server.fleet.model import Device, Hold, Trust
from tests.server.fleet.world import BY, World

OTHER = PersonId("1" * 26)
NEW = 3  # capability of an agent that knows of tags


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def hang(world: World, scope: str = "", device: DeviceId | None = None, by: PersonId = BY, **said: Any) -> Hold:  # noqa: ANN401 - of the tag
    fields: dict[str, Any] = {"name": "Gun Berg", "reason": "The pump is open.", "number": "PTW-118"} | said
    hold = Hold(HoldId(world.new_id()), scope, device, made_by=OTHER, made_at=world.now, **fields)
    return world.database.write_now("hang", actions.hang, world.act(by), hold)


def lift(world: World, hold: Hold, by: PersonId = BY, why: str = "") -> Hold:
    return world.database.write_now("lift", actions.lift, world.act(by), hold.id, why)


def hung(world: World, device: Device) -> list[HoldId]:
    found = world.database.read_now("holds", queries.holds_for, [world.device(device.id)])
    return [one.id for one in found[device.id]]


def listed(world: World, scope: str, *, lifted: bool | None = False) -> set[HoldId]:
    seen = Visibility((scope,))
    return {one.id for one in world.database.read_now("holds", lambda tx: queries.holds(tx, seen, lifted=lifted))}


# Where they hang


def test_a_tag_hangs_for_all_below_its_place_and_one_of_a_device_for_that_device(world: World) -> None:
    here, below, beside = world.stand(), world.stand(scope=world.area), world.stand(scope=world.other)
    foreign = world.stand(scope=world.foreign)
    for everywhere in (hang(world, world.org), hang(world, world.site), hang(world, world.area)):
        assert everywhere.made_by == BY
    on = hang(world, device=here.id)
    assert on.scope == here.scope
    names = {one.id: one.scope for one in (world.database.read_now("holds", queries.holds, Visibility(("/",))))}
    assert [names[each] for each in hung(world, here)] == [world.org, world.site, world.site]
    assert hung(world, here)[-1] == on.id
    assert [names[each] for each in hung(world, below)] == [world.org, world.site, world.area]
    assert [names[each] for each in hung(world, beside)] == [world.org]
    assert hung(world, foreign) == []


def test_what_is_counted_as_held_is_what_a_tag_hangs_for(world: World) -> None:
    here, locked = world.stand(), world.stand(scope=world.other, locked=True)
    on, free = world.stand(scope=world.other), world.stand(scope=world.foreign)

    def held() -> set[str]:
        seen = Visibility(("/",))
        return {one.id for one in world.database.read_now("held", lambda tx: queries.devices(tx, seen, held=True))}

    assert held() == {locked.id}
    hang(world, world.site)
    hang(world, device=on.id)
    assert held() == {here.id, locked.id, on.id}
    assert free.id not in held()


def test_whoever_sees_a_site_sees_the_tags_above_it_that_hang_for_it(world: World) -> None:
    elsewhere = world.stand(scope=world.other)
    above, there = hang(world, world.org), hang(world, world.area)
    hang(world, device=elsewhere.id)
    hang(world, world.other)
    assert listed(world, world.site) == {above.id, there.id}
    assert listed(world, world.foreign) == set()


def test_the_tag_of_a_device_goes_with_it_and_those_of_its_place_do_not(world: World) -> None:
    device = world.stand(capability=NEW)
    on, site = hang(world, device=device.id), hang(world, world.site)
    assert hung(world, device) == [on.id, site.id]
    before = world.revision()
    world.describe(device.id, scope=world.other)
    assert hung(world, device) == [on.id]
    assert world.database.read_now("hold", queries.hold, on.id).scope == world.other
    assert world.revision() > before
    assert world.standing_of(device.id).hung == holds.digest([on.id])


def test_no_tag_hangs_on_the_whole_plane_on_nothing_or_on_what_is_retired(world: World) -> None:
    gone = world.stand()
    world.retire(gone.id)
    with pytest.raises(InvalidError, match="organisation") as place:
        hang(world, "/")
    assert place.value.code == "hold.place"
    with pytest.raises(NotFoundError):
        hang(world, f"{world.org}{world.new_id()}/")
    with pytest.raises(NotFoundError):
        hang(world, device=DeviceId(world.new_id()))
    with pytest.raises(ConflictError):
        hang(world, device=gone.id)
    assert listed(world, "/", lifted=None) == set()


def test_a_place_takes_a_hundred_tags_and_no_more(world: World) -> None:
    for _ in range(holds.MOST):
        hang(world, world.site)
    with pytest.raises(ConflictError) as many:
        hang(world, world.site)
    assert many.value.code == "hold.many"
    hang(world, world.area)


# What they say


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"name": " "}, "hold.name"),
        ({"name": "x" * 101}, "hold.name"),
        ({"name": "a\nb"}, "hold.name"),
        ({"reason": ""}, "hold.reason"),
        ({"reason": "x" * 1_001}, "hold.reason"),
        ({"reason": "a\x1b[2Jb"}, "hold.reason"),
        ({"number": "1\u202e2"}, "hold.number"),
        ({"number": "x" * 101}, "hold.number"),
    ],
)
def test_a_tag_says_who_and_why_in_a_line_that_reads_as_what_it_is(
    world: World, said: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        hang(world, world.site, **said)
    assert refused.value.code == code


def test_a_tag_needs_no_number(world: World) -> None:
    assert hang(world, world.site, number="  ").number == ""


# Lifting


def test_one_lifts_ones_own_tag_without_a_reason_and_that_of_another_with_one(world: World) -> None:
    own, foreign = hang(world, world.site), hang(world, world.site, by=OTHER)
    assert lift(world, own).lifted_by == BY
    with pytest.raises(InvalidError) as refused:
        lift(world, foreign, why="  ")
    assert refused.value.code == "hold.reason"
    assert "Gun Berg" in refused.value.sentence
    assert listed(world, world.site) == {foreign.id}
    lifted = lift(world, foreign, why="Gun went home; the pump was looked at.")
    assert (lifted.lifted_by, lifted.lifted_at) == (BY, world.now)
    assert world.database.read_now("hold", queries.hold, foreign.id) == lifted


def test_a_tag_is_lifted_once_and_stays_in_the_history(world: World) -> None:
    hold = hang(world, world.site)
    lift(world, hold)
    with pytest.raises(ConflictError) as again:
        lift(world, hold, by=OTHER, why="It is in the way.")
    assert again.value.code == "hold.lifted"
    assert world.database.read_now("hold", queries.hold, hold.id).lifted_by == BY
    assert listed(world, world.site) == set()
    assert listed(world, world.site, lifted=True) == listed(world, world.site, lifted=None) == {hold.id}


def test_each_deed_leaves_one_entry_that_says_it_all(world: World) -> None:
    hold = hang(world, world.site, by=OTHER)
    lift(world, hold, why="It was looked at.")
    (hanged,), (lifted,) = world.entries("hold.hang"), world.entries("hold.lift")
    assert {hanged.subject, lifted.subject} == {f"hold:{hold.id}"}
    assert (hanged.action, lifted.action) == ("hold.hang", "hold.lift")
    tag = {"device": None, "name": "Gun Berg", "number": "PTW-118", "reason": "The pump is open.", "scope": world.site}
    assert hanged.facts == {"after": tag}
    assert lifted.facts == {"before": tag, "own": False, "reason": "It was looked at."}
    assert hanged.scope == lifted.scope == world.site


def test_hanging_and_lifting_tell_the_planes_memories_that_they_are_old(world: World) -> None:
    before = world.revision()
    hold = hang(world, world.site)
    between = world.revision()
    lift(world, hold)
    assert before < between < world.revision()


# What devices are to know


def test_a_device_is_to_know_of_the_tags_that_hang_for_it_in_one_look_at_all_as_in_one_at_it_alone(
    world: World,
) -> None:
    places = (world.site, world.area, world.other, world.foreign)
    devices = [world.stand(scope=scope, capability=NEW) for scope in places for _ in range(2)]
    hang(world, world.org)
    hang(world, world.area)
    hang(world, device=devices[0].id)
    lift(world, hang(world, world.other))
    whole = world.database.read_now("standings", queries.standings)
    for device in devices:
        assert whole[device.id] == world.standing_of(device.id)
        assert whole[device.id].hung == holds.digest(hung(world, device))
    assert whole[devices[-1].id].hung == ""


def test_it_is_known_how_many_do_not_know_yet_of_what_hangs_for_them(world: World) -> None:
    here, beside, on = world.stand(), world.stand(), world.stand(scope=world.area)
    world.stand(trust=Trust.QUARANTINED)
    site = hang(world, world.site)

    def unaware() -> dict[str, int]:
        return world.database.read_now("unaware", queries.unaware, Visibility((world.org,)))

    def knows(device: Device, *tags: Hold) -> None:
        said = {"held": holds.digest(tag.id for tag in tags)}
        world.database.write_now("knows", lambda tx: writes.visited(tx, device.id, said))  # type: ignore[arg-type]

    assert unaware() == {world.site: 2, world.area: 1}
    for each in (here, on):
        knows(each, site)
    assert unaware() == {world.site: 1}
    own = hang(world, device=on.id)
    assert unaware() == {world.site: 1, world.area: 1}
    knows(on, site, own)
    knows(beside, site)
    assert unaware() == {}


def test_nothing_is_ordered_of_an_agent_that_knows_of_no_tags_while_one_hangs(world: World) -> None:
    old, new = world.stand(capability=2), world.stand(capability=NEW)
    wanted = {each.id: world.assign(each.id).attempt for each in (old, new)}
    hold = hang(world, world.site)
    for standings in (
        world.database.read_now("standings", queries.standings),
        {each.id: world.standing_of(each.id) for each in (old, new)},
    ):
        assert (standings[old.id].wanted, standings[old.id].hung) == ("", "")
        assert (standings[new.id].wanted, standings[new.id].hung) == (wanted[new.id], holds.digest([hold.id]))
    lift(world, hold)
    assert world.standing_of(old.id).wanted == wanted[old.id]


IDS = st.lists(st.integers(0, 2**80 - 1).map(lambda number: HoldId(f"{number:026d}")), max_size=40)


@given(IDS, st.randoms(use_true_random=False))
def test_the_digest_of_tags_is_of_which_they_are_and_not_of_their_order(tags: list[HoldId], chance: object) -> None:
    shuffled = [*tags]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert holds.digest(shuffled) == holds.digest(tags)
    assert (holds.digest(tags) == "") == (not tags)
    for one in set(tags):
        assert holds.digest(set(tags) - {one}) != holds.digest(tags)


@given(IDS)
def test_a_device_is_told_the_oldest_tags_and_of_one_at_least_if_any_hangs(tags: list[HoldId]) -> None:
    told = holds.told(tags)
    assert told == sorted(tags)[: holds.TOLD]
    assert bool(told) == bool(tags)


def test_what_a_device_says_it_knows_compares_with_what_it_is_told(world: World) -> None:
    there = [hang(world, world.site, name=f"Gun {number}") for number in range(3)]
    tags = tuple(holds.tag(one, "Norra Water / Visby") for one in there)
    own = replace(there[0], id=HoldId(world.new_id()))
    local = Tag(id=own.id, name="Ola", reason="I am inside.", at=5, by="device")
    for said in itertools.permutations((*tags, local)):
        status = Status(state="held", held=said)  # type: ignore[arg-type]
        assert holds.known(status) == holds.digest(one.id for one in there)
        assert holds.locked(status)
    assert holds.known(Status(state="idle", held=(local,))) == ""  # type: ignore[arg-type]
    assert not holds.locked(Status(state="idle", held=tags))  # type: ignore[arg-type]


def test_the_tag_that_a_device_gets_fits_its_message_however_deep_the_place_lies(world: World) -> None:
    hold = hang(world, world.site)
    tag = holds.tag(hold, " / ".join(["A place with a long name"] * 10))
    assert (len(tag.where), tag.where[0], tag.by, tag.number) == (100, "…", "plane", "PTW-118")
    assert tag.at == int(world.now.timestamp() * 1000)
