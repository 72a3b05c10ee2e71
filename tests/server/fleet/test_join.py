# SPDX-License-Identifier: Apache-2.0
"""Joining: what a device becomes, who is refused, and the last use of an invite."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from checkvalve.crypto import keys
from checkvalve.errors import CheckvalveError, ConflictError, ForbiddenError
from checkvalve.ids import InviteId
from checkvalve.protocol.enrol import LinkClass
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import actions, admit, queries
from checkvalve.server.fleet.model import Device, Invite, Trust
from tests.conftest import NOON
from tests.server.fleet.world import World

KEY = keys.make().public_key()


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def _spent(world: World) -> InviteId:
    invite = world.invite()
    world.join(invite)
    return invite.id


def _ended(world: World) -> InviteId:
    invite = world.invite()
    world.later(hours=1)
    return invite.id


def _revoked(world: World) -> InviteId:
    invite = world.invite()
    world.revoke(invite.id)
    return invite.id


def _judged(world: World, token: str, key: keys.PublicKey) -> admit.New | admit.Again:
    """Judge who comes with a token and a key, as the exchange does."""
    known = world.database.read_now("by_key", queries.by_key, keys.fingerprint(key))
    return admit.judge(world.by_token(token), known, world.now)


def test_a_device_becomes_what_its_invite_says(world: World) -> None:
    invite = world.invite(world.asked(world.area, tags=["line=3", "press"], link=LinkClass.ASYNC, observe=True))
    before = world.revision()
    device = world.join(invite, "Press-07", KEY)
    assert world.device(device.id) == device
    assert (device.scope, device.name, device.tags) == (world.area, "Press-07", ("line=3", "press"))
    assert (device.trust, device.link, device.interval) == (Trust.OBSERVE, LinkClass.ASYNC, 900)
    assert (device.generation, device.pending, device.capability, device.machine) == (1, 1, 2, "a machine")
    assert device.certificate_ends_at == world.now + timedelta(days=30)
    assert (device.joined_at, device.changed_at, device.seen_at) == (world.now, world.now, None)
    assert (device.invite, device.key, device.public) == (invite.id, keys.fingerprint(KEY), keys.dump_public(KEY))
    assert world.database.read_now("by_key", queries.by_key, device.key) == device
    assert world.revision() > before


def test_a_device_says_nothing_of_its_place_or_trust_by_itself(world: World) -> None:
    invite = world.invite()
    claim = replace(
        world.newcomer(invite), scope="/", tags=("free",), trust=Trust.OBSERVE, interval=1, generation=9, known=7
    )
    made = world.database.write_now("join", actions.join, world.by_device(claim.id), invite.id, claim)
    assert (made.scope, made.tags, made.trust, made.interval) == (world.site, (), Trust.ACCEPTED, 60)
    assert (made.generation, made.known) == (1, 0)


def test_the_record_tells_who_joined_where_and_with_which_key(world: World) -> None:
    invite = world.invite(world.asked(tags=["press"]))
    device = world.join(invite, "Press-07")
    [entry] = world.entries("device.join")
    assert (entry.subject, entry.scope, entry.actor.kind) == (f"device:{device.id}", world.site, "device")
    assert entry.facts == {
        "after": {
            "link": "remote",
            "name": "Press-07",
            "scope": world.site,
            "tags": ["press"],
            "trust": "accepted",
        },
        "invite": invite.id,
        "key": device.key,
        "machine": "a machine",
    }


@pytest.mark.parametrize("make", [_spent, _ended, _revoked])
def test_a_token_that_is_used_up_ended_or_revoked_brings_in_nobody(
    world: World, make: Callable[[World], InviteId]
) -> None:
    ident = make(world)
    with pytest.raises(ForbiddenError) as unknown:
        _judged(world, "no such token", KEY)
    with pytest.raises(ForbiddenError) as caught:
        _judged(world, ident, KEY)
    told = [(error.value.code, error.value.sentence, error.value.remedy) for error in (unknown, caught)]
    assert told[0] == told[1]
    assert told[0][0] == "invite.refused"
    invite = world.database.read_now("invite", queries.invite, ident)
    world.refused("invite.refused", world.join, invite)


def test_each_use_lets_one_device_in(world: World) -> None:
    invite = world.invite(world.asked(uses=3))
    names = [world.join(invite).name for _ in range(3)]
    assert names == ["edge", "edge-2", "edge-3"]
    assert world.database.read_now("invite", queries.invite, invite.id).used == 3
    world.refused("invite.refused", world.join, invite)


def test_many_at_once_never_share_a_use_or_a_name(world: World) -> None:
    invite = world.invite(world.asked(uses=5))
    comers = [world.newcomer(invite) for _ in range(12)]
    acts = [world.by_device(comer.id) for comer in comers]

    async def all_at_once() -> list[Device | BaseException]:
        tasks = [
            world.database.write("join", actions.join, act, invite.id, comer)
            for act, comer in zip(acts, comers, strict=True)
        ]
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(all_at_once())
    refused = [answer for answer in answers if isinstance(answer, CheckvalveError)]
    joined = [answer for answer in answers if isinstance(answer, Device)]
    assert (len(joined), {error.code for error in refused}) == (5, {"invite.refused"})
    assert {device.name for device in joined} == {"edge", *(f"edge-{number}" for number in range(2, 6))}
    assert world.database.read_now("invite", queries.invite, invite.id).used == 5
    assert world.database.read_now("count", queries.count, queries.EVERYWHERE) == 5


def _used_up(world: World, invite: Invite) -> None:
    assert world.database.read_now("invite", queries.invite, invite.id).used == invite.uses


def _over(world: World, invite: Invite) -> None:
    world.now = invite.ends_at


def _taken_away(world: World, invite: Invite) -> None:
    world.revoke(invite.id)


@pytest.mark.parametrize("meanwhile", [_used_up, _over, _taken_away])
def test_the_same_token_and_key_are_the_same_device_whatever_became_of_the_invite(
    world: World, meanwhile: Callable[[World, Invite], None]
) -> None:
    invite = world.invite()
    device = world.join(invite, key=KEY)
    meanwhile(world, invite)
    assert _judged(world, invite.id, KEY) == admit.Again(device)
    world.refused("device.joined", world.join, invite, "edge", KEY)


def test_a_key_that_came_in_with_another_invite_does_not_come_in_twice(world: World) -> None:
    world.join(world.invite(), key=KEY)
    other = world.invite()
    with pytest.raises(ConflictError) as caught:
        _judged(world, other.id, KEY)
    assert caught.value.code == "device.known"
    world.refused("device.known", world.join, other, "edge", KEY)


@pytest.mark.parametrize("same_invite", [True, False])
def test_a_retired_key_never_joins_again(world: World, *, same_invite: bool) -> None:
    invite = world.invite(world.asked(uses=2))
    world.retire(world.join(invite, key=KEY).id)
    again = invite if same_invite else world.invite()
    with pytest.raises(ForbiddenError) as caught:
        _judged(world, again.id, KEY)
    assert caught.value.code == "device.retired"
    world.refused("device.retired", world.join, again, "edge", KEY)


def test_a_quarantined_device_does_not_get_out_by_joining_again(world: World) -> None:
    invite = world.invite(world.asked(uses=2))
    world.quarantine(world.join(invite, key=KEY).id)
    with pytest.raises(ForbiddenError) as caught:
        _judged(world, invite.id, KEY)
    assert caught.value.code == "device.quarantined"


def test_a_key_alone_tells_nothing_to_who_has_no_token(world: World) -> None:
    world.retire(world.join(world.invite(), key=KEY).id)
    with pytest.raises(ForbiddenError) as caught:
        _judged(world, "no such token", KEY)
    assert caught.value.code == "invite.refused"


def test_a_name_is_free_in_another_place_and_after_its_device_was_retired(world: World) -> None:
    old = world.join(world.invite(), "Press")
    assert world.join(world.invite(world.asked(world.area)), "press").name == "press"
    assert world.join(world.invite(), "PRESS").name == "PRESS-2"
    world.retire(old.id)
    assert world.join(world.invite(), "Press").name == "Press"


def test_names_with_signs_of_a_pattern_are_only_names(world: World) -> None:
    world.join(world.invite(), "a_b")
    assert world.join(world.invite(), "axb").name == "axb"
    assert world.join(world.invite(), "a_b").name == "a_b-2"
    assert world.join(world.invite(), "a%").name == "a%"


def test_an_invite_that_ends_between_judging_and_joining_is_judged_again(world: World) -> None:
    invite = world.invite()
    assert _judged(world, invite.id, KEY) == admit.New(invite)
    world.now = NOON + timedelta(days=1)
    world.refused("invite.refused", world.join, invite, "edge", KEY)
